"""Arithmetic over the measures of an event: what a meter's `value` may say.

`duration_ms / 1000 * memory_gb`: numbers, names of measures, `+ - * /` and parentheses. A name is letters, digits, `_`
and `.`, not beginning with a digit; any other name stands in double quotes. It is parsed once, when the catalogue is
loaded; `pipeline.meters.expression` computes it and `pipeline.meters.sql_expression` writes it as SQL. Source:
rating.md §9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal, cast

Operator = Literal["+", "-", "*", "/"]

TEXT_MAX = 1000
OPERATIONS_MAX = 50
DEPTH_MAX = 20

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_.]))|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r'|"(?P<quoted>[^"]+)"|(?P<sign>[-+*/()]))',
    re.ASCII,
)
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written: below 10^15, with at most 12 decimals."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Measure:
    """The value of a field of the event's payload."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Two expressions and what is done with them."""

    operator: Operator
    left: Expression
    right: Expression


Expression = Number | Measure | Operation


class NotAnExpression(ValueError):
    """A text that is no expression; says where and what would be right."""


def measures_of(expression: Expression) -> tuple[str, ...]:
    """The measures that an expression needs, each once, in order of appearance."""
    return tuple(dict.fromkeys(_names(expression)))


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """The expression of a text. Raises NotAnExpression with the position (from 1) of what is wrong."""
    if len(text) > TEXT_MAX:
        raise NotAnExpression(f"must have at most {TEXT_MAX} characters, not {len(text)}")
    parser = _Parser(text)
    expression = parser.sum(0)
    parser.end()
    if not measures_of(expression):
        raise NotAnExpression("must name a measure: a number alone is the same for every event")
    return expression


def _names(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Operation):
        yield from _names(expression.left)
        yield from _names(expression.right)
    elif isinstance(expression, Measure):
        yield expression.name


class _Parser:
    """Recursive descent: a sum of products of factors, each level bounded."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._operations = 0

    def sum(self, depth: int) -> Expression:
        found = self._product(depth)
        while (sign := self._sign("+-")) is not None:
            found = self._operation(sign, found, self._product(depth))
        return found

    def end(self) -> None:
        if self._text[self._at :].strip():
            raise self._fault("expected an operator (+ - * /) or the end")

    def _product(self, depth: int) -> Expression:
        found = self._factor(depth)
        while (sign := self._sign("*/")) is not None:
            found = self._operation(sign, found, self._factor(depth))
        return found

    def _factor(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise self._fault(f"nests deeper than {DEPTH_MAX}")
        token = _TOKEN.match(self._text, self._at)
        if token is None or token["sign"] not in (None, "(", "-"):
            raise self._fault('expected a number, a measure (in "double quotes" if it is no plain name) or (')
        self._at = token.end()
        if token["sign"] == "-":
            return self._operation("-", Number(Decimal(0)), self._factor(depth + 1))
        if token["sign"] == "(":
            return self._enclosed(depth)
        if token["number"] is not None:
            return self._number(token)
        return Measure(token["name"] or token["quoted"])

    def _enclosed(self, depth: int) -> Expression:
        found = self.sum(depth + 1)
        if self._sign(")") is None:
            raise self._fault("expected )")
        return found

    def _number(self, token: re.Match[str]) -> Number:
        if _NUMBER.fullmatch(token["number"]) is None:
            self._at = token.start("number")
            raise self._fault("a number has at most 15 digits before and 12 after the point;")
        return Number(Decimal(token["number"]))

    def _sign(self, wanted: str) -> str | None:
        token = _TOKEN.match(self._text, self._at)
        if token is None or token["sign"] is None or token["sign"] not in wanted:
            return None
        self._at = token.end()
        return token["sign"]

    def _operation(self, operator: str, left: Expression, right: Expression) -> Operation:
        self._operations += 1
        if self._operations > OPERATIONS_MAX:
            raise NotAnExpression(f"must have at most {OPERATIONS_MAX} operations")
        return Operation(cast(Operator, operator), left, right)

    def _fault(self, problem: str) -> NotAnExpression:
        rest = self._text[self._at :].lstrip()
        at = len(self._text) - len(rest) + 1
        found = f"found {rest[:20]!r}" if rest else "found the end"
        return NotAnExpression(f"position {at}: {problem}, {found}")
