"""Arithmetic over measures as ClickHouse SQL, digit for digit what `pipeline.meters.expression` computes.

Each operation is done in Decimal(76), where nothing that two operands can give wraps, rounded to twelve decimals and
cast back to Decimal(38, 12), which is NULL when it does not fit. NULL goes on as NULL, and so does a division by zero.
Every operand is written once, so a text grows with its expression and no faster.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from pipeline.meters.scaled import DECIMALS, UNIT, VALUE_LIMIT
from schemas.expression import Expression, Measure, Number

DECIMAL = f"Decimal(38, {DECIMALS})"


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def named(text: str) -> tuple[str, str]:
    """An expression that gets a name where it stands, and the name: what is used twice is written, and read, once.

    Equal expressions have equal names, so that one may stand in several places of a query.
    """
    name = f"x_{crc32(text.encode()):08x}"
    return f"({text} AS {name})", name


def expression_sql(expression: Expression, measure: Callable[[str], str]) -> str:
    """The value of an expression for an event, Nullable(Decimal(38, 12)); `measure` writes that of a field, which is
    below 10^15."""
    if isinstance(expression, Measure):
        return measure(expression.name)
    return below_limit(_worth(expression, measure))


def below_limit(value: str) -> str:
    """The value if it is below 10^15, else NULL."""
    first, name = named(value)
    return f"if(abs({first}) < {VALUE_LIMIT // UNIT}, {name}, NULL)"


def _worth(expression: Expression, measure: Callable[[str], str]) -> str:
    if isinstance(expression, Number):
        return f"toDecimal128('{expression.value}', {DECIMALS})"
    if isinstance(expression, Measure):
        return measure(expression.name)
    left, right = _worth(expression.left, measure), _worth(expression.right, measure)
    if expression.operator == "/":
        # One decimal more than is kept: the quotient is cut there, and half away from zero needs no further digit.
        divided = f"{_wide(left, DECIMALS + 1)} / nullIf({_wide(right)}, 0)"
    else:
        divided = f"{_wide(left)} {expression.operator} {_wide(right)}"
    return f"accurateCastOrNull(round({divided}, {DECIMALS}), '{DECIMAL}')"


def _wide(value: str, decimals: int = DECIMALS) -> str:
    return f"CAST({value}, 'Nullable(Decimal(76, {decimals}))')"
