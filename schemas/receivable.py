"""A final invoice as money that is owed: what was paid, and what was tried to collect it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.period import Instant
from schemas.quantity import ZERO, Amount

AttemptState = Literal["requested", "requires_action", "failed", "succeeded"]
ReceivableState = Literal["open", "paid", "uncollectible", "void"]


class DunningPolicy(BaseModel):
    """When it is tried to collect an invoice, and what becomes of it if nothing helps.

    `days` count from the due date, ascending: the first attempt is at the first of them. `patience` after the last the
    invoice is given up, and with it the subscription, as `at_end` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: Annotated[tuple[Annotated[int, Field(ge=0, le=366)], ...], Field(min_length=1)] = (0, 3, 7, 14)
    patience: timedelta = timedelta(days=7)
    at_end: Literal["cancel", "pause", "leave"] = "leave"
    writes_off: bool = True

    @field_validator("days")
    @classmethod
    def _ascend(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(days)):
            raise ValueError("must ascend")
        return days


class Attempt(BaseModel):
    """One request to collect. Its outcome is unknown while it is `requested`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    requested_at: Instant
    state: AttemptState = "requested"
    detail: str = ""


class Dispute(BaseModel):
    """Money of a payment that the network holds back, by the service's own id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    amount: Amount
    state: Literal["opened", "won", "lost"]


class Receivable(BaseModel):
    """What one final invoice still brings: a function of the customer's commands and ticks.

    `open` = owed - credited - paid - written_off; never negative: what is more goes to the customer's balance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str
    number: str
    currency: str
    due_at: Instant
    policy: DunningPolicy = DunningPolicy()
    state: ReceivableState = "open"
    owed: Amount
    credited: Amount = ZERO
    paid: Amount = ZERO
    """Money that counts for it: that came, and was neither sent back, lost in a dispute nor set free."""
    written_off: Amount = ZERO
    returnable: Amount = ZERO
    """Money that came for it and is the customer's balance: overpaid, or set free by credit notes."""
    early_refunds: Amount = ZERO
    """Refunds that were told before the payment that they send back."""
    disputes: tuple[Dispute, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    held_until: Instant | None = None
    """Dunning rests until then: it was paused, or a payment was promised."""
    given_up: bool = False
    """Whether dunning has ended without success, though the policy does not write it off."""
    results: tuple[str, ...] = ()
    """Ids of the results that were booked; a repetition changes nothing."""

    @property
    def open(self) -> Decimal:
        """What is still to be paid."""
        return self.owed - self.credited - self.paid - self.written_off

    @property
    def awaits_outcome(self) -> bool:
        """Whether the outcome of an attempt is unknown: then no other may be made, or it could be charged twice."""
        return any(attempt.state in ("requested", "requires_action") for attempt in self.attempts)
