"""Units as metered into units as priced. Source: rating.md §3, "Unit conversion"."""

from __future__ import annotations

from decimal import Decimal

from schemas.money import round_to
from schemas.plan import UnitConversion
from schemas.quantity import exact, exactly


@exactly
def convert(conversion: UnitConversion | None, cumulative: Decimal) -> Decimal:
    """The cumulative quantity, divided or multiplied and then rounded; unchanged without a conversion.

    Slices are differences of converted cumulative quantities, so the number of invoices cannot change the price. The
    sign is kept.
    """
    quantity = exact(cumulative)
    if conversion is None:
        return quantity
    factor = conversion.factor
    converted = quantity / factor if conversion.operation == "divide" else quantity * factor
    if conversion.rounding == "none":
        return converted
    return round_to(converted, conversion.precision, conversion.rounding)
