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


class Refund(BaseModel):
    """Money that was asked to be sent back. While it is `requested` its amount is not free for anything else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    amount: Amount
    requested_at: Instant
    payment: str = ""
    """The id of the result whose money is meant; empty for any."""
    state: Literal["requested", "refunded", "failed"] = "requested"
    aside: Amount = ZERO
    """What of it was set aside: it is in `due_back`. The rest counts as paid until it is gone."""
    from_balance: Amount = ZERO
    """What of that came from the customer's balance, and goes back there if the refund fails."""
    owed_again: Amount = ZERO
    """What of it counted as paid, and is owed again since it was sent back."""
    detail: str = ""


class Apart(BaseModel):
    """Money that came and that no document takes: `unapplied`, until somebody sends it back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payment: str
    """The id of the result that told of it."""
    currency: str
    amount: Amount
    """What of it was not sent back."""
    refunds: tuple[Refund, ...] = ()

    @property
    def free(self) -> Decimal:
        """What no refund that is on its way will take."""
        return self.amount - sum((each.amount for each in self.refunds if each.state == "requested"), ZERO)


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
    """What the customer's balance holds because of it: overpaid, or set free by credit notes that keep it."""
    due_back: Amount = ZERO
    """What is to be sent back and no invoice may use: by credit notes that refund, or asked for and on its way."""
    refunds: tuple[Refund, ...] = ()
    """What was asked to be sent back."""
    apart: tuple[Apart, ...] = ()
    """Money that came for it in other currencies."""
    early_refunds: Amount = ZERO
    """Refunds that were told before the payment that they send back."""
    disputes: tuple[Dispute, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    held_until: Instant | None = None
    """Dunning rests until then: it was paused, or a payment was promised."""
    given_up: bool = False
    """Whether dunning has ended without success, though the policy does not write it off."""
    subscriptions: tuple[str, ...] = ()
    """Whose service the invoice bills: what is past due with it. One of an earlier version has none, nor has a sale."""
    order: str = ""
    """Of a sale of credits: which order it is the invoice of."""
    results: tuple[str, ...] = ()
    """Ids of the results that were booked; a repetition changes nothing."""

    @property
    def open(self) -> Decimal:
        """What is still to be paid."""
        return self.owed - self.credited - self.paid - self.written_off

    @property
    def rests(self) -> bool:
        """Whether money for it was sent back because we asked for that: nobody is asked for it again by itself."""
        return any(refund.owed_again for refund in self.refunds)

    @property
    def held_back(self) -> Decimal:
        """Of what was paid, what open disputes hold back."""
        return sum((dispute.amount for dispute in self.disputes if dispute.state == "opened"), ZERO)

    @property
    def awaits_outcome(self) -> bool:
        """Whether the outcome of an attempt is unknown: then no other may be made, or it could be charged twice."""
        return any(attempt.state in ("requested", "requires_action") for attempt in self.attempts)
