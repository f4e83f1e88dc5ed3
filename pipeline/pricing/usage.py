"""What prices are applied to: a quantity, or rows of it with dimensions and windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from schemas.period import Period
from schemas.quantity import ZERO, exact, exactly


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A quantity (or, for prices of transactions, an amount) of one group or window, or of one event."""

    quantity: Decimal
    values: Mapping[str, str | None] = field(default_factory=dict)
    window: Period | None = None
    events: int = 1

    def group(self, dimensions: Sequence[str]) -> tuple[str | None, ...]:
        """Its values of the dimensions, None where one is missing."""
        return tuple(self.values.get(dimension) for dimension in dimensions)


Used = Decimal | Sequence[UsageRow]
"""Cumulative usage of a charge: one number, or rows in order of (event time, arrival)."""


@exactly
def total(usage: Used) -> Decimal:
    """The sum of usage; the number itself if it is one. Raises ValueError for floats, NaN and infinity."""
    if isinstance(usage, Sequence):
        return sum((exact(row.quantity) for row in usage), ZERO)
    return exact(usage)
