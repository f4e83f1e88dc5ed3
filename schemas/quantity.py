"""Exact decimals: strings on the wire, read at their literal value, never through a binary float.

Source: rating.md §0.1, §1.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation, getcontext, localcontext
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

# Every product of a quantity and a price is exact in it, and a quotient has sixty digits (rating.md §1 asks for 28).
EXACT = Context(prec=60)
ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)

P = ParamSpec("P")
R = TypeVar("R")


def exactly(calculation: Callable[P, R]) -> Callable[P, R]:
    """Runs a calculation in the EXACT context: Python's default one rounds every operation to 28 digits."""

    @functools.wraps(calculation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        held = getcontext()
        if held.prec == EXACT.prec and held.rounding == EXACT.rounding:  # within another exact calculation
            return calculation(*args, **kwargs)
        with localcontext(EXACT):
            return calculation(*args, **kwargs)

    return run


# Beyond these a number is a mistake or an attack: "1e999999" would be a million characters long.
MAX_MAGNITUDE = 60
MAX_DECIMALS = 100

PATTERN = r"^-?[0-9]{1,60}(\.[0-9]{1,100})?$"


def exact(value: object) -> Decimal:
    """A finite decimal from a decimal, an integer or text, at its literal value.

    Raises ValueError for a float or a boolean (their decimal value is not what was written), for NaN and infinity, for
    text that is no number and for numbers of more than 60 digits before or 100 after the point.
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f'must be a decimal, as a string such as "12.50", not a {type(value).__name__}')
    else:
        number = _parsed(value)
    if not number.is_finite():
        raise ValueError(f"must be a finite number, not {number}")
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_MAGNITUDE or not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        raise ValueError(f"has more than {MAX_MAGNITUDE} digits before or {MAX_DECIMALS} after the point")
    return number


def not_negative(value: object, name: str) -> Decimal:
    """An exact number of at least 0. Raises ValueError, beginning with the name of the field, for anything else."""
    if isinstance(value, Decimal) and value.is_finite() and value >= 0 and value.adjusted() < MAX_MAGNITUDE:
        return value
    try:
        number = exact(value)
    except ValueError as fault:
        raise ValueError(f"{name}: {fault}") from None
    if number < 0:
        raise ValueError(f"{name}: must be at least 0, not {number}")
    return number


def _parsed(value: int | str) -> Decimal:
    if isinstance(value, str) and (value != value.strip() or "_" in value):
        raise ValueError(f'must be a decimal such as "12.50", not {value!r}')
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(f'must be a decimal such as "12.50", not {value!r}') from None


def plain(value: Decimal) -> str:
    """The one text of a number: no exponent, no trailing zeros, no negative zero. Equal numbers, equal text."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def money_text(value: Decimal) -> str:
    """The text of a rounded amount: no exponent, its minor units kept ("49.00"), no negative zero."""
    return format(value if value else abs(value), "f")


def read_json(text: str | bytes) -> Any:
    """A JSON document with every number at its literal value. Raises ValueError for NaN, Infinity and broken JSON."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refused_constant)


def _refused_constant(name: str) -> Decimal:
    raise ValueError(f"{name} is not a number of JSON")


_WIRE = WithJsonSchema({"type": "string", "pattern": PATTERN}, mode="serialization")
_DIGITS = r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def _written(before_digits: str, **bounds: int) -> WithJsonSchema:
    """JSON Schema of a number where people write it: text, or a number read at its literal value."""
    text = {"type": "string", "pattern": f"^{before_digits}{_DIGITS}"}
    return WithJsonSchema({"anyOf": [text, {"type": "number", **bounds}]}, mode="validation")


Quantity = Annotated[
    Decimal,
    BeforeValidator(exact),
    PlainSerializer(plain, return_type=str, when_used="json"),
    _WIRE,
    _written("[+-]?"),
]
"""An exact number of any sign; on the wire a string without trailing zeros."""

Amount = Annotated[
    Decimal,
    BeforeValidator(exact),
    PlainSerializer(money_text, return_type=str, when_used="json"),
    _WIRE,
    _written("[+-]?"),
]
"""A rounded amount of money; on the wire a string with the currency's minor units."""

NonNegative = Annotated[Quantity, Field(ge=0), _written("", minimum=0)]
Positive = Annotated[Quantity, Field(gt=0), _written("(?=[^eE]*[1-9])", exclusiveMinimum=0)]
Percent = Annotated[Quantity, Field(ge=0, le=100), _written("", minimum=0, maximum=100)]
