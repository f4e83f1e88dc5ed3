"""A final invoice as money that is owed: what was paid, and what was tried to collect it."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.dunning import DunningPolicy
from schemas.period import Instant
from schemas.quantity import ZERO, Amount

AttemptState = Literal["requested", "requires_action", "failed", "succeeded"]
ReceivableState = Literal["open", "paid", "uncollectible", "void"]


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
    policy: DunningPolicy | None = None
    """How it is collected; None for an invoice that the customer pays by itself."""
    state: ReceivableState = "open"
    owed: Amount
    """When it became final: the amount due less what was set off and what the customer's balance paid."""
    credited: Amount = ZERO
    paid: Amount = ZERO
    """Money that counts for it: that came, and was neither sent back, lost in a dispute nor set free."""
    set_free: Amount = ZERO
    """Money that credit notes took from it; it counted as paid before."""
    written_off: Amount = ZERO
    returnable: Amount = ZERO
    """What the customer's balance holds because of it: overpaid, or set free by credit notes."""
    early_refunds: Amount = ZERO
    """Refunds that were told before the payment that they send back."""
    disputes: tuple[Dispute, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    held_until: Instant | None = None
    """Dunning rests until then: it was paused, or a payment was promised."""
    given_up: bool = False
    """Whether dunning has ended without success, though the policy does not write it off."""
    order: str = ""
    """Of a sale of credits: which order it is the invoice of."""
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
