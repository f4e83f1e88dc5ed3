"""The credit note as consumers get it: what it takes back of which lines, with tax, and where the amount goes.

It is the booking: a voided invoice has a note, and who books the status too reverses twice. Source: rating.md §8.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from schemas.customer_state import Late
from schemas.engine import ENGINE
from schemas.identity import content_hash
from schemas.invoice import STANDING, Basis
from schemas.party import Party
from schemas.period import Instant, Period
from schemas.quantity import ZERO, Amount
from schemas.rated_line import RatedLine
from schemas.tax import AppliedTax, TaxGroup

SettleBy = Literal["balance", "refund"]
"""Where money goes that was paid and is given back: to the customer's next invoice, or out."""


class CreditNoteLine(BaseModel):
    """What is taken back of one line of an invoice; `net` = `gross` - `discount`. All amounts are positive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    invoice_line: str | None
    """The line that it corrects; none where no final invoice has one."""
    subscription: str
    charge: str
    name: str
    period: Period
    service: Period
    asked: Amount | None = None
    """What the run found to give back; `gross` is what of it was left of the line when the note was issued."""
    gross: Amount
    discount: Amount = ZERO
    net: Amount
    taxes: tuple[AppliedTax, ...] = ()
    tax_behavior: Literal["exclusive", "inclusive"] = "exclusive"
    late: Late | None = None
    """What came after the close of that period and caused this line."""
    rated: RatedLine | None = None
    """For usage that was rated again: what the period comes to now."""


class CreditTotals(BaseModel):
    """Sums of what is taken back, all positive; `total` = `net` + `tax`, each tax by cumulative rounding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gross: Amount = ZERO
    discount: Amount = ZERO
    net: Amount = ZERO
    tax: Amount = ZERO
    tax_by_rate: tuple[TaxGroup, ...] = ()
    total: Amount = ZERO


class GrantShare(BaseModel):
    """What a credit grant gets back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grant: str
    amount: Amount


class Settled(BaseModel):
    """Where the total goes: `set_off` + `cancelled` + `restored` + `refunded` + `kept` = total."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_off: Amount = ZERO
    """Against the invoice of the same run."""
    set_off_against: str | None = None
    """The id of that invoice."""
    cancelled: Amount = ZERO
    """What was still open of the corrected invoice."""
    restored: Amount = ZERO
    grants: tuple[GrantShare, ...] = ()
    refunded: Amount = ZERO
    """To be paid out."""
    kept: Amount = ZERO
    """For the customer's next invoice."""


class CreditNote(BaseModel):
    """A credit note: final once it has a number. Its tax and settlement follow from its place in the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    engine: str = ENGINE
    id: str
    kind: Literal["credit_note"] = "credit_note"
    status: Literal["draft", "issued"]
    number: str | None
    customer: str
    currency: str
    minor_units: int
    issued_at: Instant
    invoice: str | None
    """The id of the invoice that it corrects."""
    invoice_number: str | None = None
    reason: str
    seller: Party | None = None
    buyer: Party | None = None
    period: Period
    notes: tuple[str, ...] = ()
    lines: tuple[CreditNoteLine, ...]
    totals: CreditTotals
    settled: Settled = Settled()
    settle_by: SettleBy = "balance"
    books_void: bool = False
    """Whether it is the booking of a voided invoice."""
    series: str = "CN"
    run_invoice: str | None = None
    """The id of the invoice of the same run, which it is set off against first."""
    basis: Basis
    held: tuple[str, ...] = ()
    revision: int = 0

    def billed_content(self) -> dict[str, Any]:
        """What the hash stands for: all that never changes."""
        return self.model_dump(mode="json", exclude=set(STANDING))

    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the content."""
        return content_hash(self.billed_content())


class CreditNoteEvent(BaseModel):
    """A CloudEvent of billing.invoices: a credit note is issued, with the whole document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = "/tally/invoicing"
    type: Literal["tally.credit_note.issued.v1"] = "tally.credit_note.issued.v1"
    subject: str
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    data: CreditNote
