"""The invoice as consumers get it: a function of the log up to its tick, with the proof of what it rests on."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.credit import CreditUse
from schemas.customer_state import Late
from schemas.discount import DiscountPart
from schemas.dunning import DunningPolicy
from schemas.engine import ENGINE
from schemas.identity import content_hash
from schemas.party import Party
from schemas.period import Instant, Period
from schemas.quantity import ZERO, Amount
from schemas.rated_line import RatedLine
from schemas.tax import AppliedTax, TaxGroup
from schemas.tick import Clock


class InvoiceLine(BaseModel):
    """A rated line with its key and what discounts and taxes make of it.

    `net` = `amount` - `discount`; where prices include tax, less `tax` too. `tax` is the line's share of the taxes of
    the invoice, for display: totals come from the groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    subscription: str
    plan: str
    plan_version: str
    charge_number: int = 0
    """Which charge of the rate card: each change of plan, quantity or price begins another."""
    adjusts: Period | None = None
    """The full period that was billed before and is corrected by this line."""
    late: Late | None = None
    """What came after the close of that period and caused this line."""
    span: Period | None = None
    """What was given back, on a credit; else the service of the rated line."""
    rated: RatedLine
    amount: Amount
    discounts: tuple[DiscountPart, ...] = ()
    discount: Amount
    net: Amount
    taxes: tuple[AppliedTax, ...] = ()
    tax_behavior: Literal["exclusive", "inclusive"] = "exclusive"
    tax: Amount


class Deduction(BaseModel):
    """What an interim invoice billed of a period, taken off the invoice of all of it: net and tax per rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str
    """The id of the interim invoice."""
    period: Period
    net: Amount
    tax: Amount
    tax_by_rate: tuple[TaxGroup, ...] = ()
    total: Amount


class InvoiceTotals(BaseModel):
    """Sums of rounded lines; `tax` is the sum of `tax_by_rate`, each rounded once. Source: rating.md §7.

    `net` = `subtotal` - `discount_total`, where prices include tax less that tax; `total` = `net` + `tax`;
    `amount_due` = `total` - `deducted` + `excess` - `credits_applied`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subtotal: Amount
    discount_total: Amount
    net: Amount
    tax: Amount
    tax_by_rate: tuple[TaxGroup, ...] = ()
    total: Amount
    credits_applied: Amount
    amount_due: Amount
    deducted: Annotated[Amount, Field(exclude_if=operator.not_)] = ZERO
    """The totals of interim invoices of its periods."""
    excess: Annotated[Amount, Field(exclude_if=operator.not_)] = ZERO
    """What those billed beyond the total: kept for the customer's next invoice."""


class Basis(BaseModel):
    """What an invoice rests on: the tick that made it due, the close that froze its usage, the log it covers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick: int
    clock: Clock
    close_id: str
    revision: int
    events: int
    usage_fingerprint: str
    vector: Mapping[str, tuple[int, ...]]


Status = Literal["draft", "rejected", "open", "past_due", "paid", "uncollectible", "voided"]
FINAL: tuple[Status, ...] = ("open", "past_due", "paid", "uncollectible", "voided")


class Balance(BaseModel):
    """How a final invoice stands: `open` = amount due - `set_off` - `from_balance` - `cancelled` - `paid`.

    It changes with payments and credit notes; what was billed does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_off: Amount = ZERO
    """By credit notes of the same run, before anything was asked for."""
    from_balance: Amount = ZERO
    """Paid from what earlier credit notes left the customer."""
    cancelled: Amount = ZERO
    """By later credit notes, while it was open."""
    paid: Amount = ZERO
    overpaid: Amount = ZERO
    """What was paid beyond; the customer's balance keeps it."""
    refunded: Amount = ZERO
    """What of the customer's balance was sent back because of it, or is on its way."""
    open: Amount = ZERO


class DocumentTerms(BaseModel):
    """What its issuer and plans say about a document that is to become final: series and payment terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: str = "INV"
    credit_note_series: str = "CN"
    payment_days: int = 14
    dunning: DunningPolicy | None = None
    """How it is collected; None if the customer pays by itself."""


class Invoice(BaseModel):
    """An invoice: a function of the log up to its tick; its number is its place in billing.finalisations.

    `status`, `balance`, `held` and `revision` say how it stands; everything else never changes once it is final.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    engine: str = ENGINE
    id: str
    kind: Literal["invoice"] = "invoice"
    status: Status
    number: str | None
    customer: str
    currency: str
    minor_units: int
    issued_at: Instant
    """Of a draft the tick that made it; then the issue date, which never runs back within a series."""
    due_at: Instant | None = None
    seller: Party | None = None
    buyer: Party | None = None
    order_reference: str = ""
    period: Period
    """When it was supplied."""
    notes: tuple[str, ...] = ()
    """Texts that the law wants: why there is no tax."""
    replaces: str | None = None
    """The number of the voided invoice in whose place this one stands."""
    replaced_by: Annotated[str | None, Field(exclude_if=partial(operator.is_, None))] = None
    """Of a draft before the end of grace: the id of the invoice that billed it; empty if in the end nothing was."""
    lines: tuple[InvoiceLine, ...]
    totals: InvoiceTotals
    interim: Annotated[bool, Field(exclude_if=operator.not_)] = False
    """Whether it bills usage of a running period so far; the invoice of the period deducts it."""
    deductions: Annotated[tuple[Deduction, ...], Field(exclude_if=operator.not_)] = ()
    """What interim invoices billed of its periods before."""
    credits: tuple[CreditUse, ...] = ()
    """What each grant gave, as a discount or as a payment, and what it has left."""
    basis: Basis
    terms: DocumentTerms = DocumentTerms()
    held: tuple[str, ...] = ()
    """Why a draft waits for a person; empty for one that becomes final by itself."""
    balance: Balance = Balance()
    revision: int = 0
    """Grows with every change of how it stands: readers keep the greatest."""

    def billed_content(self) -> dict[str, Any]:
        """What the hash stands for: all that never changes. It holds no cluster ids and no wall-clock times."""
        return self.model_dump(mode="json", exclude=set(STANDING))

    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the billed content."""
        return content_hash(self.billed_content())


FINAL_REVISION = 10**12
"""Revisions of documents that are final or rejected begin here; those of drafts are numbers of ticks, far below."""

STANDING = ("status", "held", "balance", "revision")
"""The fields of a document that say how it stands."""


def lasting(document: Mapping[str, Any]) -> dict[str, Any]:
    """What never changes of a final document as JSON: what its hash stands for."""
    return {name: value for name, value in document.items() if name not in STANDING}


class InvoiceEvent(BaseModel):
    """A CloudEvent of billing.invoices: a transition of an invoice, with the whole document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = "/tally/invoicing"
    type: Literal[
        "tally.invoice.drafted.v1",
        "tally.invoice.replaced.v1",
        "tally.invoice.rejected.v1",
        "tally.invoice.finalized.v1",
        "tally.invoice.credited.v1",
        "tally.invoice.payment_requested.v1",
        "tally.invoice.payment_received.v1",
        "tally.invoice.payment_failed.v1",
        "tally.invoice.payment_action_required.v1",
        "tally.invoice.payment_refunded.v1",
        "tally.invoice.refund_requested.v1",
        "tally.invoice.refund_failed.v1",
        "tally.invoice.payment_disputed.v1",
        "tally.invoice.dispute_won.v1",
        "tally.invoice.dispute_lost.v1",
        "tally.invoice.reopened.v1",
        "tally.invoice.collection_held.v1",
        "tally.invoice.given_up.v1",
        "tally.invoice.paid.v1",
        "tally.invoice.past_due.v1",
        "tally.invoice.uncollectible.v1",
        "tally.invoice.voided.v1",
    ]
    subject: str
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    data: Invoice
