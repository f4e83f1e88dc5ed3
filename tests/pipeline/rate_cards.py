"""Rate cards, terms and usage for the tests of rating: valid by default, override what the test is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from pipeline.rating.pricing import UsageRow
from pipeline.rating.stages import Terms
from schemas.money import Currency, currency
from schemas.period import Period
from schemas.plan import RateCard
from schemas.price import AnyPrice, Price

D = Decimal
EUR = currency("EUR")
_PRICE: TypeAdapter[AnyPrice] = TypeAdapter(Price)

# The tiers of the example of rating.md §2.
TIERS = [
    {"up_to": "50", "unit_price": "0.80", "flat_fee": "4.00"},
    {"up_to": "200", "unit_price": "0.55", "flat_fee": "2.50"},
    {"unit_price": "0.30"},
]


def price(model: str, **keys: Any) -> Any:
    """A price as the catalogue would read it; any model, so that tests need no cast."""
    return _PRICE.validate_python({"model": model, **keys})


def card(model: str = "per_unit", modifiers: dict[str, Any] | None = None, **keys: Any) -> RateCard:
    """A rate card of usage with a price (by default 0.45 per unit) and modifiers."""
    if model == "per_unit" and not keys:
        keys = {"unit_price": "0.45"}
    return RateCard.model_validate(
        {"id": "usage", "meter": "requests", "price": {"model": model, **keys}, **(modifiers or {})}
    )


def fee(amount: str, **keys: Any) -> RateCard:
    """A rate card without a meter."""
    return RateCard.model_validate({"id": "platform", "price": {"model": "flat", "amount": amount}, **keys})


def day(number: int, month: int = 3, year: int = 2027) -> datetime:
    """Midnight UTC of a day, by default of March 2027, which has 31."""
    return datetime(year, month, number, tzinfo=UTC)


MARCH = Period(day(1), day(1, 4))


def terms(service: Period = MARCH, period: Period = MARCH, money: Currency = EUR, **keys: Any) -> Terms:
    """All of March 2027, in euros and UTC, unless said otherwise."""
    return Terms(currency=money, period=period, service=service, **keys)


def rows(*quantities: str, **values: str | None) -> tuple[UsageRow, ...]:
    """Rows of one group."""
    return tuple(UsageRow(D(quantity), values) for quantity in quantities)


def by_day(quantities: Sequence[str | D], first: datetime = MARCH.start) -> tuple[UsageRow, ...]:
    """A row per day (UTC) from the first day on, zeros included."""
    days = (Period(first + timedelta(days=index), first + timedelta(days=index + 1)) for index in range(10**3))
    return tuple(UsageRow(D(quantity), {}, window) for quantity, window in zip(quantities, days, strict=False))
