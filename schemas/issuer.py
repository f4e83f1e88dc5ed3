"""The issuer: who sells, what every document says about that, its number series, and which drafts a person sees first.

A catalogue object: a document carries the version that was newest below its tick's vector, so it stays a function of
the log. One deployment serves one issuer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.meter import Name
from schemas.quantity import NonNegative, Positive
from schemas.tax import Exemption
from schemas.time_span import WRITTEN_SPAN, span

Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,19}$")]

EXEMPTION_TEXTS: Mapping[Exemption, str] = {
    Exemption.REVERSE_CHARGE: "Reverse charge: the recipient is liable for the VAT.",
    Exemption.INTRA_COMMUNITY: "VAT-exempt intra-Community supply.",
    Exemption.EXPORT: "VAT-exempt export supply.",
    Exemption.EXEMPT: "Exempt from VAT.",
    Exemption.OUTSIDE_SCOPE: "Outside the scope of VAT.",
}
"""What a document says about a line without tax, unless the issuer words it otherwise."""


class Bank(Strict):
    """Where to pay."""

    name: str = ""
    iban: str = ""
    bic: str = ""


class HoldRules(Strict):
    """Which drafts wait for a person before they become final. Usage without a price always does."""

    above_history: Positive | None = None
    """How many times the customer's largest total so far a total may be; the first document has no history."""
    at_least: NonNegative | None = None
    """Totals up to here are never held for their history: from 0.10 to 5.00 is no alarm."""
    quantities: Mapping[Name, Positive] = Field(default_factory=dict)
    """Meter -> the quantity on one line above which a draft is held."""
    new_plan_version: bool = False
    """Whether the first document of a customer on a plan version is held."""


class Issuer(Strict):
    """The seller's record, as the law wants it on a document, with its number series and rules."""

    id: Name = "issuer"
    name: Annotated[str, Field(min_length=1)]
    address: tuple[str, ...] = ()
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    tax_ids: tuple[str, ...] = ()
    registration: str = ""
    email: str = ""
    bank: Bank | None = None
    invoice_series: Prefix = "INV"
    """The series that numbers invoices; each is gapless from 1."""
    credit_note_series: Annotated[Prefix, Field(validate_default=True)] = "CN"
    payment_terms: Annotated[timedelta, BeforeValidator(span), WRITTEN_SPAN] = timedelta(days=14)
    """How long after its issue an invoice is due, where the plan does not say."""
    exemption_texts: Mapping[Exemption, str] = Field(default_factory=dict)
    holds: HoldRules = HoldRules()

    @field_validator("credit_note_series")
    @classmethod
    def _own_series(cls, series: str, info: ValidationInfo) -> str:
        if series == info.data.get("invoice_series"):
            raise contradiction("must differ from invoice_series: each kind of document counts its own")
        return series

    @field_validator("payment_terms")
    @classmethod
    def _due_later(cls, terms: timedelta) -> timedelta:
        if terms < timedelta(0):
            raise contradiction("must not be negative: a document is due after its issue")
        return terms

    def exemption_text(self, reason: Exemption) -> str:
        """What a document says about lines that are exempt for a reason."""
        return self.exemption_texts.get(reason, EXEMPTION_TEXTS[reason])


UNNAMED = Issuer(name="(no issuer in the catalogue)")
"""What documents say where no catalogue names an issuer: it keeps the series going, and shows on every page."""
