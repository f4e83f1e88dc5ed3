"""The invoice as consumers get it: a function of the log up to its tick, with the proof of what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from schemas.credit import CreditUse
from schemas.discount import DiscountPart
from schemas.identity import content_hash
from schemas.period import Instant, Period
from schemas.quantity import Amount
from schemas.rated_line import RatedLine
from schemas.tax import AppliedTax, TaxGroup
from schemas.tick import Clock

ENGINE = "2"
"""Version of the rules that rate and add up. An intended change of any invoice's bytes raises it."""


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


class InvoiceTotals(BaseModel):
    """Sums of rounded lines; `tax` is the sum of `tax_by_rate`, each rounded once. Source: rating.md §7.

    `net` = `subtotal` - `discount_total`, where prices include tax less that tax; `total` = `net` + `tax`;
    `amount_due` = `total` - `credits_applied`.
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


class Invoice(BaseModel):
    """An invoice: a function of the log up to its tick; its number is its place in billing.finalisations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    engine: str = ENGINE
    id: str
    kind: Literal["invoice"] = "invoice"
    status: Literal["draft", "open", "paid"]
    number: str | None
    customer: str
    currency: str
    minor_units: int
    issued_at: Instant
    period: Period
    lines: tuple[InvoiceLine, ...]
    totals: InvoiceTotals
    credits: tuple[CreditUse, ...] = ()
    """What each grant gave, as a discount or as a payment, and what it has left."""
    basis: Basis

    def billed_content(self) -> dict[str, Any]:
        """What the hash stands for: the whole document. It holds no cluster ids and no wall-clock times."""
        return self.model_dump(mode="json")

    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the billed content."""
        return content_hash(self.billed_content())


class InvoiceEvent(BaseModel):
    """A CloudEvent of billing.invoices: a transition of an invoice, with the whole document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = "/tally/invoicing"
    type: Literal["tally.invoice.finalized.v1", "tally.invoice.paid.v1"]
    subject: str
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    data: Invoice


class Finalisation(BaseModel):
    """A record of billing.finalisations: a document becomes final. Its number is its place among first occurrences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document_id: str
    series: str
    customer: str
    tick: int
