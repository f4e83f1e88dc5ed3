"""Records of billing.finalisations: the one order in which documents become final and change how they stand.

Numbers, issue dates, what a credit note takes back and whether an action is accepted are functions of this log.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.credit import CreditGrant
from schemas.identity import derived_id
from schemas.party import Party
from schemas.payment import PaymentResult
from schemas.period import Instant
from schemas.quantity import NonNegative
from schemas.wallet import CreditOrder, RechargeRule, Revoking

ActionKind = Literal[
    "release", "reject", "void", "reissue", "uncollectible", "past_due", "payment", "collect", "give_up", "hold",
    "refund",
]  # fmt: skip


class Finalisation(BaseModel):
    """A draft becomes final. Its number is its place among first occurrences in its series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record: Literal["final"] = "final"
    document_id: str
    series: str
    customer: str
    tick: int


class DocumentAction(BaseModel):
    """A command about one document, with its place in billing.commands and the billing time that it was given at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record: Literal["action"] = "action"
    action: ActionKind
    document_id: str
    customer: str
    request_id: str
    actor: str
    reason: str
    tick: int
    time: Instant
    partition: int
    offset: int
    amount: NonNegative | None = None
    """Of a payment that came without a service's result; of `refund` what is sent back."""
    payment: str | None = None
    """Of `refund`: the id of the result whose money is meant."""
    result: PaymentResult | None = None
    """What a payment service said."""
    attempt: int | None = None
    """Of `collect`: the attempt that dunning asks for; None for one by hand."""
    until: Instant | None = None
    """Of `hold`: how long dunning rests."""
    unknown: bool = False
    """Whether no document had that id when the action was put into the order: decided then, once."""
    buyer: Party | None = None
    """For a document that takes the place of a void one: the customer's details then."""

    @property
    def id(self) -> str:
        """What stands for it where documents are listed by id."""
        return str(derived_id("document action", self.customer, self.request_id))

    @property
    def request(self) -> tuple[str, str]:
        """What makes it one: the first record of a request counts."""
        return self.customer, self.request_id


class CreditAction(BaseModel):
    """Something that happens to a customer's prepaid credits: a command that was accepted, or what a tick makes due.

    `grant`, `revoke`, `order` and `recharge_rule` have their place in billing.commands; `expire` and `recharge` are
    proposed under a tick and decided here, by what is left at this place of the log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    record: Literal["credit"] = "credit"
    action: Literal["grant", "revoke", "order", "recharge_rule", "expire", "recharge"]
    customer: str
    request_id: str
    actor: str
    reason: str
    tick: int
    time: Instant
    partition: int = 0
    offset: int = 0
    grant_id: str = ""
    """Of what is revoked or has expired."""
    currency: str = ""
    """Of `recharge_rule` and `recharge`."""
    terms: CreditGrant | None = None
    """Of `grant`."""
    revoking: Revoking | None = None
    order: CreditOrder | None = None
    rule: RechargeRule | None = None
    """Of `recharge_rule`; None ends the one that there is."""

    @property
    def id(self) -> str:
        """What stands for it where documents are listed by id."""
        return str(derived_id("credit action", self.customer, self.request_id))

    @property
    def request(self) -> tuple[str, str]:
        """What makes it one: the first record of a request counts."""
        return self.customer, self.request_id


LogRecord = Finalisation | DocumentAction | CreditAction
DocumentRecord = Annotated[LogRecord, Field(discriminator="record")]
DOCUMENT_RECORD: TypeAdapter[LogRecord] = TypeAdapter(DocumentRecord)
