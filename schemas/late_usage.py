"""What becomes of usage that comes after its period was closed. Source: rating.md §8, design.md §6."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, field_validator

from schemas.faults import Strict, contradiction
from schemas.quantity import ZERO, NonNegative
from schemas.time_span import WRITTEN_SPAN, span

LatePolicy = Literal["next_invoice", "adjustment_invoice", "credit_note", "ignore"]


class LateUsage(Strict):
    """A plan's policy for usage, corrections and attributions beyond the vector of a close.

    `next_invoice`: the difference is a line of the customer's next invoice, what is given back a credit note.
    `adjustment_invoice`: the same, on an invoice of its own. `credit_note`: only what is given back is settled; more
    usage is counted and not billed. `ignore`: everything is counted and nothing is billed.
    """

    policy: LatePolicy = "next_invoice"
    minimum: NonNegative = ZERO
    """A difference of a period that comes to less, either way, is counted and not settled."""
    horizon: Annotated[timedelta, BeforeValidator(span), WRITTEN_SPAN] = timedelta(days=90)
    """How long after its end a period is looked at again; later usage is kept and listed, not billed."""

    @field_validator("horizon")
    @classmethod
    def _looks_back(cls, horizon: timedelta) -> timedelta:
        if horizon < timedelta(0):
            raise contradiction("must not be negative: it is how long after its end a period is looked at again")
        return horizon
