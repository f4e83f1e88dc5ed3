"""How an invoice is collected, and what becomes of it if nothing helps. Part of a plan."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from schemas.faults import Strict, contradiction
from schemas.time_span import WRITTEN_SPAN, span

Day = Annotated[int, Field(ge=0, le=366, strict=True)]


class DunningPolicy(Strict):
    """When a payment is requested, and what follows if none comes.

    `days` count from the due date and ascend: the first request is at the first of them. `patience` after the last the
    invoice is given up, and the subscription goes the way that `at_end` says.
    """

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = (0, 3, 7, 14)
    patience: Annotated[timedelta, BeforeValidator(span), WRITTEN_SPAN] = timedelta(days=7)
    at_end: Literal["cancel", "pause", "leave"] = "leave"
    writes_off: bool = True
    """Whether the invoice becomes uncollectible; else it stays open."""

    @field_validator("days")
    @classmethod
    def _ascend(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(days)):
            raise contradiction("must ascend")
        return days

    @field_validator("patience")
    @classmethod
    def _waits(cls, patience: timedelta) -> timedelta:
        if patience < timedelta(0):
            raise contradiction("must not be negative: it is how long after the last attempt nothing happens")
        return patience
