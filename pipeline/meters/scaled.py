"""Quantities as integers of 10^-12: what makes Python and ClickHouse agree to the last digit.

A quantity has twelve decimals. Sums and differences of such integers are exact; a product or a quotient is rounded
once, half away from zero. A value of an event is below 10^15, a quantity below 10^26, an intermediate result is what
ClickHouse stores as `Decimal(38, 12)`: 127 bits. What is beyond has no value or is an error, and is never wrapped.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

from schemas.quantity import EXACT

DECIMALS = 12
UNIT: int = 10**DECIMALS
VALUE_LIMIT: int = 10**15 * UNIT
LIMIT: int = 10**26 * UNIT
_STORED_BITS = 127

NUMBER_PATTERN = r"-?[0-9]{1,40}([.][0-9]{1,40})?([eE][+-]?[0-9]{1,3})?"
"""What a number may look like as text; digits are ASCII."""

_NUMBER = re.compile(NUMBER_PATTERN)
_SMALLEST = Decimal(1).scaleb(-DECIMALS)
_WIDE = Context(prec=1100, rounding=ROUND_HALF_UP, Emax=999_999, Emin=-999_999)


class QuantityOverflow(OverflowError):
    """A quantity of 10^26 or more: it is not billed, and not wrapped."""


def scaled(number: Decimal) -> int:
    """A finite number in units of 10^-12, rounded half away from zero."""
    return int(fitted(number).scaleb(DECIMALS, context=_WIDE))


def fitted(number: Decimal) -> Decimal:
    """A finite number with twelve decimals, rounded half away from zero."""
    return number.quantize(_SMALLEST, context=_WIDE)


def value_of_text(text: str) -> int | None:
    """The value that a text says; None if it is no number below 10^15."""
    return value_of_number(Decimal(text)) if _NUMBER.fullmatch(text) else None


def value_of_number(number: Decimal) -> int | None:
    """The value of a number; None for NaN, infinity and 10^15 or more."""
    if not number.is_finite() or number.adjusted() > 15:
        return None
    value = scaled(number)
    return value if abs(value) < VALUE_LIMIT else None


def storable(value: int) -> bool:
    """Whether ClickHouse can store a number of units of 10^-12 as Decimal(38, 12): up to about 1.7 × 10^26."""
    return -(1 << _STORED_BITS) <= value < 1 << _STORED_BITS


def quotient(numerator: int, denominator: int) -> int:
    """numerator ÷ denominator, rounded half away from zero. Raises ZeroDivisionError."""
    size = (2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator))
    return size if (numerator < 0) == (denominator < 0) else -size


def quantity(value: int) -> Decimal:
    """The decimal of a result. Raises QuantityOverflow from 10^26."""
    if abs(value) >= LIMIT:
        raise QuantityOverflow(f"a quantity of {EXACT.scaleb(Decimal(value), -DECIMALS):.6g} is 10^26 or more")
    return EXACT.scaleb(Decimal(value), -DECIMALS)
