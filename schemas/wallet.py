"""A customer's prepaid credits as the books keep them: what was granted, burnt, given back, what expired, what is left.

A wallet is never stored: it is the fold of its entries (`pipeline.wallets.wallet`), which follow from
billing.finalisations.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.credit import CreditGrant
from schemas.period import Instant
from schemas.quantity import ZERO, Amount, Positive

EntryKind = Literal[
    "ordered", "sold", "granted", "burnt", "returned", "expired", "revoked", "withdrawn", "closed", "recharge_rule"
]
"""What happened. `withdrawn`: the money that paid for it went back; `closed`: a sale that nobody paid is given up."""

OrderState = Literal["ordered", "open", "paid", "unpaid", "closed"]
"""Of a sale of credits: without its invoice yet, to be paid, paid, owed again, given up."""

Revoking = Literal["forfeited", "refunded"]
"""What becomes of credit that is taken back and was paid for: the seller keeps the money, or sent it back."""


class CreditOrder(BaseModel):
    """Credits that a customer buys: a sale with an invoice of its own. They can be used once it is paid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The request that asked for it; the grant has the same id."""
    currency: str
    amount: Amount
    """What can be used; before tax, if the sale is taxed."""
    taxed: bool = False
    """Whether tax is due on the sale: then what is burnt is drawn before tax. Else tax is due on what it pays for."""
    priority: int | None = None
    applies_to: tuple[str, ...] = ()
    valid_days: Annotated[int | None, Field(ge=1)] = None
    """How long it can be used, from when it was paid."""
    at: Instant
    """Billing time of the request."""
    recharge: bool = False
    """Whether the recharge rule asked for it, not a person."""


class RechargeRule(BaseModel):
    """Buys credits whenever fewer than `below` can be used, within its caps.

    It asks for the next sale only when the one before is paid; after a sale that was given up it rests until it is set
    anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    below: Positive
    amount: Positive
    per_day: Positive | None = None
    """At most so much a day of the customer's time zone; None for no cap."""
    per_month: Positive | None = None
    time_zone: str = "UTC"
    taxed: bool = False
    valid_days: Annotated[int | None, Field(ge=1)] = None
    at: Instant
    """When it was set."""


class WalletEntry(BaseModel):
    """One thing that happened to a wallet. `amount` is what it adds to what is left of a grant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EntryKind
    customer: str
    currency: str
    grant: str = ""
    """Empty for a recharge rule."""
    amount: Amount = ZERO
    on_order: Amount = ZERO
    """What it adds to the credits that are sold and not paid."""
    at: Instant
    """Billing time."""
    document: str = ""
    reason: str = ""
    terms: CreditGrant | None = None
    """Of what is granted."""
    order: CreditOrder | None = None
    """Of what is ordered."""
    rule: RechargeRule | None = None
    """None ends the rule that there was."""
    revoking: Revoking | None = None
