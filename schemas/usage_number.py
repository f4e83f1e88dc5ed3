"""Numbers in usage, at their literal decimal value: Decimal(38, 12), so below 10^15 and with at most 12 decimals.

Source: design.md §5. ClickHouse would wrap or truncate silently what does not fit, so it is judged before.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

LIMIT = Decimal(10) ** 15
_SCALE = Decimal("1e-12")
_WIDE = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP, Emax=999_999, Emin=-999_999)


class NumberOutOfRange(ValueError):
    """A number whose absolute value is 10^15 or more once it has 12 decimals."""


def fitted(literal: str | int | Decimal) -> tuple[Decimal, bool]:
    """A number with at most 12 decimals, and whether it had to be rounded; half away from zero.

    Raises NumberOutOfRange where it is 10^15 or more, or where its exponent is beyond what a decimal can hold.
    """
    try:
        number = Decimal(literal)
    except decimal.InvalidOperation:
        raise NumberOutOfRange("a number with such an exponent cannot be held") from None
    if number and number.adjusted() < -13:  # less than half of the last decimal, however small
        return Decimal(0), True
    if number and number.adjusted() > 14:
        raise NumberOutOfRange(_TOO_LARGE)
    rounded = number.quantize(_SCALE, context=_WIDE)
    if abs(rounded) >= LIMIT:
        raise NumberOutOfRange(_TOO_LARGE)
    return rounded, rounded != number


_TOO_LARGE = "a number is 10^15 or more: use a larger unit, or a string for identifiers"
