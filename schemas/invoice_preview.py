"""What an invoice would be: charges with usage, discounts, taxes and credits in, documents out. No services, no log.

Field names are those of the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from schemas.credit import CreditGrant, CreditUse
from schemas.discount import Discount, DiscountPart
from schemas.faults import Strict, contradiction
from schemas.invoice import InvoiceTotals
from schemas.meter import Name
from schemas.money import currency
from schemas.period import Period
from schemas.plan import PlanCommitment, RateCard
from schemas.quantity import Amount, Quantity
from schemas.rated_line import RatedLine
from schemas.tax import AppliedTax, Exemption, TaxRate


class PreviewUsage(Strict):
    """Usage of one group or window, or one transaction, in the order in which it happened."""

    quantity: Quantity
    values: Mapping[str, str | None] = Field(default_factory=dict)
    window: Period | None = None
    events: Annotated[int, Field(ge=0, strict=True)] = 1


class PreviewCharge(Strict):
    """A rate card with its usage."""

    rate_card: RateCard
    usage: Annotated[Quantity | tuple[PreviewUsage, ...], Field(union_mode="left_to_right")] = ()
    service: Period | None = None
    """The part of the period that was served; all of it, if left out."""


class PreviewCommitment(PlanCommitment):
    """What all charges of the request come to at least."""

    service: Period | None = None
    """The part of the period that was served; all of it, if left out."""


class PreviewAmount(Strict):
    """A line that is rated already; a negative one goes to a credit note."""

    id: Name
    amount: Quantity
    tax_rates: tuple[Name, ...] = ()
    timing: Literal["advance", "arrears"] = "arrears"
    discounts: tuple[Discount, ...] = ()
    """Of this line alone."""


def _which(charge: object) -> str:
    """A charge to rate names a rate card, or usage; anything else is meant as a line that is rated already."""
    if isinstance(charge, Mapping):
        return "PreviewCharge" if "rate_card" in charge or "usage" in charge else "PreviewAmount"
    return type(charge).__name__


Charge = Annotated[
    Annotated[PreviewCharge, Tag("PreviewCharge")] | Annotated[PreviewAmount, Tag("PreviewAmount")],
    Discriminator(_which),
]


class InvoicePreview(Strict):
    """A request: everything that an invoice is a function of."""

    minor_units: Annotated[int | None, Field(ge=0, le=12, strict=True)] = None
    """The scale of a custom unit; left out for ISO 4217 currencies."""
    currency: str
    period: Period
    time_zone: str = "UTC"
    charges: tuple[Charge, ...]
    commitment: PreviewCommitment | None = None
    """Of the plan: what its charges lack to it is a line more."""
    tax_rates: tuple[TaxRate, ...] = ()
    """Taxes by their definition; a charge names them."""
    default_tax_rates: tuple[Name, ...] = ()
    """Those of charges that name none."""
    tax_behavior: Literal["exclusive", "inclusive"] = "exclusive"
    exemption: Exemption | None = None
    discounts: tuple[Discount, ...] = ()
    grants: tuple[CreditGrant, ...] = ()

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, code: str, info: ValidationInfo) -> str:
        scale = info.data.get("minor_units")
        try:
            return currency(code, None if scale is None else {code: scale}).code
        except ValueError as fault:
            raise contradiction(str(fault).removeprefix("currency: ")) from None


class PreviewedLine(Strict):
    """A line as on the invoice; `rated` explains an amount that came from a rate card."""

    charge: str
    amount: Amount
    discounts: tuple[DiscountPart, ...]
    discount: Amount
    net: Amount
    taxes: tuple[AppliedTax, ...]
    tax: Amount
    rated: RatedLine | None


class PreviewedDocument(Strict):
    """An invoice, or a credit note with positive amounts."""

    lines: tuple[PreviewedLine, ...]
    totals: InvoiceTotals
    credits: tuple[CreditUse, ...]


class PreviewedSetOff(Strict):
    """The note against the invoice: `due` is what the customer pays, `credited` what the note has left."""

    set_off: Amount
    due: Amount
    credited: Amount


class InvoicePreviewed(Strict):
    """The answer to an `InvoicePreview`."""

    currency: str
    invoice: PreviewedDocument | None
    credit_note: PreviewedDocument | None
    set_off: PreviewedSetOff
