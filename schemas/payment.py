"""What Tally asks of a payment service, and what comes back: records of billing.payment-requests and of commands.

Any payment service can be attached: it consumes requests, and answers with results for the customer's commands. A
request has one key for ever; a service that has seen the key must not charge, or send back, again.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.identity import derived_id
from schemas.period import Instant
from schemas.quantity import Amount

Positive = Annotated[Amount, Field(gt=0)]
Outcome = Literal["succeeded", "failed", "requires_action", "refunded", "dispute_opened", "dispute_won", "dispute_lost"]
"""What a payment service, or a bank, says of money."""


class PaymentRequest(BaseModel):
    """Collect an amount for a document. The same attempt has the same key, however often the request is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    key: str
    document: str
    number: str
    customer: str
    attempt: Annotated[int, Field(ge=1)]
    amount: Positive
    currency: str
    tick: int
    """Number of the tick that made it due."""
    at: Instant


class RefundRequest(BaseModel):
    """Send an amount back. The same refund has the same key, however often it is asked for.

    It has no `attempt` and no `amount`: a service that knows payment requests only stops at it, and does not charge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    kind: Literal["refund"] = "refund"
    key: str
    document: str
    """The invoice, or the id that money without an invoice came with."""
    number: str = ""
    """Of the invoice."""
    customer: str
    payment: str | None = None
    """The id of the result whose money is meant; None for any that was paid for the document."""
    requests: tuple[str, ...] = ()
    """Keys of the payment requests of the document that succeeded, the latest first; none if all of it came unasked."""
    refund_amount: Positive
    currency: str
    reason: str
    tick: int
    """Number of the tick under which it was asked for."""
    at: Instant


class PaymentResult(BaseModel):
    """What became of a payment, a refund or a dispute. `id` is the service's own and makes a repetition known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=200)]
    outcome: Outcome
    document: str | None = None
    """Id of the invoice; None for money that came without saying what for."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Of the request it answers; None for money that was not asked for, such as a bank transfer."""
    refund: Annotated[str | None, Field(max_length=200)] = None
    """The key of the refund request that it answers: it was sent back, or could not be (`failed`)."""
    amount: Positive | None = None
    """None where no money moved: failed, requires_action."""
    currency: str
    dispute: Annotated[str | None, Field(max_length=200)] = None
    """The service's own id of the dispute that was opened, won or lost."""
    detail: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _says_what_it_must(self) -> PaymentResult:
        moves = self.outcome not in ("failed", "requires_action")
        if moves != (self.amount is not None):
            raise ValueError(f"amount: {'is missing' if moves else 'must be left out'}: outcome {self.outcome}")
        if self.outcome.startswith("dispute") != (self.dispute is not None):
            raise ValueError("dispute: the id of the dispute goes with dispute_opened, dispute_won and dispute_lost")
        if self.refund is not None and (self.outcome not in ("refunded", "failed") or self.attempt is not None):
            raise ValueError(
                "refund: the key of a refund request goes with refunded and failed, and without an attempt"
            )
        return self


def request_key(document: str, attempt: int) -> str:
    """The idempotency key of an attempt, derived from what it stands for."""
    return str(derived_id("payment request", document, attempt))


def refund_key(customer: str, document: str, payment: str, number: int) -> str:
    """The idempotency key of a refund: the how-manieth of a document, or of money that has none."""
    return str(derived_id("refund request", customer, document, payment, number))


def moved(result: PaymentResult) -> Decimal:
    """The money of a result; 0 where none moved."""
    return result.amount if result.amount is not None else Decimal(0)
