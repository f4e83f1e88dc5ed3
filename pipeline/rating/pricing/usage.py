"""What prices are applied to: a quantity, or rows of it with dimensions and windows."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from schemas.quantity import ZERO, exact, exactly
from schemas.rated_line import UsageRow

__all__ = ["UsageRow", "Used", "total"]


Used = Decimal | Sequence[UsageRow]
"""Cumulative usage of a charge: one number, or rows in order of (event time, arrival)."""


@exactly
def total(usage: Used) -> Decimal:
    """The sum of usage; the number itself if it is one. Raises ValueError for floats, NaN and infinity."""
    if isinstance(usage, Sequence):
        return sum((exact(row.quantity) for row in usage), ZERO)
    return exact(usage)
