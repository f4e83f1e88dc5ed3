"""A question to the price calculator and its answer: what a price, or a rate card, makes of usage.

Field names are the catalogue's. One object per line for `tally rate --jsonl`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.money import Currency
from schemas.money import currency as currency_of
from schemas.period import Instant, Period, zone
from schemas.plan import RateCard
from schemas.price import Price
from schemas.quantity import Amount, Quantity
from schemas.rated_line import RatedLine, StageAmounts, TermSoFar, UsageRow


class Usage(Strict):
    """Cumulative usage since the start of the period: one `quantity`, or rows of it in order of (time, arrival)."""

    quantity: Quantity | None = None
    usage: tuple[UsageRow, ...] | None = None

    @field_validator("usage")
    @classmethod
    def _one_of_two(cls, usage: tuple[UsageRow, ...] | None, info: ValidationInfo) -> tuple[UsageRow, ...] | None:
        if usage is not None and info.data.get("quantity") is not None:
            raise contradiction("give either quantity or usage, not both")
        return usage

    @property
    def used(self) -> Decimal | tuple[UsageRow, ...]:
        """What is rated: the rows, or the quantity, or nothing."""
        return self.usage if self.usage is not None else self.quantity or Decimal(0)


class RateRequest(Usage):
    """One price or rate card, usage, and under what it is rated; without a period, a whole one is."""

    id: str | None = None
    """Given back with the answer."""
    rate_card: RateCard | None = None
    price: Annotated[Price | None, Field(validate_default=True)] = None
    minor_units: Annotated[int | None, Field(ge=0, le=12, strict=True)] = None
    """The scale of a custom unit; left out for ISO 4217 currencies."""
    currency: str = "EUR"
    time_zone: str = "UTC"
    period: Period | None = None
    """The full grid period: the denominator of proration."""
    service: Period | None = None
    """The part of it that was served."""
    final: bool = True
    """Whether the period has ended: minimum and true-up come with its final slice."""
    until: Instant | None = None
    prior: Usage | None = None
    """Cumulative usage at the end of the slice before; the answer then bills the difference."""
    trial: bool = False
    term: TermSoFar | None = None
    anchor: Instant | None = None

    @field_validator("price")
    @classmethod
    def _price_or_card(cls, price: Price | None, info: ValidationInfo) -> Price | None:
        if "rate_card" in info.data and (price is None) == (info.data["rate_card"] is None):
            raise contradiction("give either price or rate_card, not both and not neither")
        return price

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, code: str, info: ValidationInfo) -> str:
        try:
            return _money(code, info.data.get("minor_units")).code
        except ValueError as fault:
            raise contradiction(str(fault).removeprefix("currency: ")) from None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return zone(name).key
        except ValueError as fault:
            raise contradiction(str(fault).removeprefix("time_zone: ")) from None

    @field_validator("service")
    @classmethod
    def _within_the_period(cls, service: Period | None, info: ValidationInfo) -> Period | None:
        period = info.data.get("period")
        if service is not None and (period is None or not period.encloses(service)):
            raise contradiction("must lie within the period" if period else "needs the period that it is a part of")
        return service

    @property
    def money(self) -> Currency:
        """The currency with its minor units."""
        return _money(self.currency, self.minor_units)


class RateAnswer(Strict):
    """What the usage comes to: lines that explain themselves, their sum, and the stages up to the end of the slice."""

    id: str | None = None
    currency: str
    amount: Amount
    """What this slice bills: the sum of the rounded lines."""
    amount_exact: Quantity
    lines: tuple[RatedLine, ...]
    stages: StageAmounts
    unpriced: tuple[str, ...] = ()
    """Why usage has no price; an invoice with such usage cannot become final."""


def _money(code: str, minor_units: int | None) -> Currency:
    return currency_of(code, None if minor_units is None else {code: minor_units})
