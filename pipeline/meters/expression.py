"""What an arithmetic expression over measures is worth for one event.

Values are integers of 10^-12 (`pipeline.meters.scaled`). Each product and quotient is rounded to twelve decimals, half
away from zero, from left to right as written. No value: a measure that is missing or no number, a division by zero, an
intermediate result beyond Decimal(38, 12), about 1.7 × 10^26, or a result of 10^15 or more. Source: rating.md §9,
"Invalid values".
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.meters.scaled import UNIT, VALUE_LIMIT, quotient, scaled, storable
from schemas.expression import Expression, Measure, Number, Operator

Measured = Callable[[str], int | None]
"""The value of a measure by its name, None if it has none."""


def value_of(expression: Expression, measured: Measured) -> int | None:
    """The value of an expression for an event, in units of 10^-12; None if it has none."""
    value = _worth(expression, measured)
    return value if value is not None and abs(value) < VALUE_LIMIT else None


def _worth(expression: Expression, measured: Measured) -> int | None:
    if isinstance(expression, Number):
        return scaled(expression.value)
    if isinstance(expression, Measure):
        return measured(expression.name)
    left, right = _worth(expression.left, measured), _worth(expression.right, measured)
    if left is None or right is None:
        return None
    result = _combined(expression.operator, left, right)
    return result if result is not None and storable(result) else None


def _combined(operator: Operator, left: int, right: int) -> int | None:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return quotient(left * right, UNIT)
    return quotient(left * UNIT, right) if right else None
