"""Plain aggregations of values; 0 without any. Source: rating.md §9."""

from __future__ import annotations

from pipeline.meters.aggregation.slices import Slice
from pipeline.meters.scaled import UNIT, quotient
from schemas.meter import Meter


def count(meter: Meter, part: Slice) -> int:
    """How many events, whatever their values."""
    return len(part.inside) * UNIT


def total(meter: Meter, part: Slice) -> int:
    """The sum of values, carried ones included; it may be negative."""
    return sum(part.values)


def least(meter: Meter, part: Slice) -> int:
    """The smallest value."""
    return min(part.values, default=0)


def greatest(meter: Meter, part: Slice) -> int:
    """The greatest value."""
    return max(part.values, default=0)


def average(meter: Meter, part: Slice) -> int:
    """The sum of values by their number, rounded once."""
    return quotient(sum(part.values), len(part.values)) if part.values else 0


def latest(meter: Meter, part: Slice) -> int:
    """The value of the greatest event time, ties to the later arrival; it may be negative."""
    return part.values[-1] if part.values else 0
