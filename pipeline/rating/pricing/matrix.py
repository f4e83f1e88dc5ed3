"""The price of quantities with dimensions: a line per entry and group. Source: rating.md §2, "Matrix"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.rating.pricing.usage import UsageRow
from schemas.price import ANY, Matrix, MatrixEntry
from schemas.quantity import ZERO, exact, exactly

DEFAULT = -1
"""The entry of a line at the default price."""


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """The quantity of one entry (its index, or DEFAULT) and one combination of its `group_by` values."""

    entry: int
    values: Mapping[str, str | None]
    quantity: Decimal
    unit_price: Decimal
    events: int

    @property
    def key(self) -> tuple[object, ...]:
        """Which line it is, in every slice of the period."""
        return (self.entry, *self.values.items())


@dataclass(frozen=True, slots=True)
class MatrixAmount:
    """Lines in order of first usage, and the rows that no entry and no default prices."""

    lines: tuple[MatrixLine, ...]
    unpriced: tuple[UsageRow, ...]


@exactly
def price_matrix(price: Matrix, usage: Sequence[UsageRow]) -> MatrixAmount:
    """Assigns each row to its entry: most dimensions win, ties go to the earlier one, then the default price."""
    sums: dict[tuple[int, tuple[str | None, ...]], tuple[Decimal, int]] = {}
    unpriced = []
    for row in usage:
        entry = _entry_of(price, row)
        if entry is None:
            unpriced.append(row)
            continue
        key = (entry, row.group(_terms(price, entry)[1]))
        quantity, events = sums.get(key, (ZERO, 0))
        sums[key] = (quantity + exact(row.quantity), events + row.events)
    return MatrixAmount(tuple(_line(price, key, *found) for key, found in sums.items()), tuple(unpriced))


def matches(entry: MatrixEntry, values: Mapping[str, str | None]) -> bool:
    """Whether every dimension of the entry is present with a listed value; `"*"` lists any."""
    for dimension, listed in entry.match.items():
        value = values.get(dimension)
        if value is None or (value not in listed and ANY not in listed):
            return False
    return True


def _entry_of(price: Matrix, row: UsageRow) -> int | None:
    found = [index for index, entry in enumerate(price.prices) if matches(entry, row.values)]
    if found:
        return max(found, key=lambda index: (len(price.prices[index].match), -index))
    return None if price.default_unit_price is None else DEFAULT


def _terms(price: Matrix, entry: int) -> tuple[Decimal, tuple[str, ...]]:
    if entry == DEFAULT:
        return price.default_unit_price or ZERO, price.default_group_by
    return price.prices[entry].unit_price, price.prices[entry].group_by


def _line(price: Matrix, key: tuple[int, tuple[str | None, ...]], quantity: Decimal, events: int) -> MatrixLine:
    entry, group = key
    unit_price, dimensions = _terms(price, entry)
    return MatrixLine(entry, dict(zip(dimensions, group, strict=True)), quantity, unit_price, events)
