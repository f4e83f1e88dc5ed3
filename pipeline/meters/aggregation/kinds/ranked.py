"""The exact percentile of values. Source: rating.md §9: no sketch, its merges depend on order."""

from __future__ import annotations

from pipeline.meters.aggregation.slices import Slice
from pipeline.meters.scaled import UNIT, quotient, scaled
from schemas.meter import Meter
from schemas.quantity import ZERO

HUNDRED = 100 * UNIT


def percentile(meter: Meter, part: Slice) -> int:
    """The value at rank p ÷ 100 × (n − 1) of the sorted values, linear between neighbours, rounded once."""
    values = sorted(part.values)
    if not values:
        return 0
    below, rest = divmod(scaled(meter.p or ZERO) * (len(values) - 1), HUNDRED)
    above = min(below + 1, len(values) - 1)
    return quotient(values[below] * HUNDRED + rest * (values[above] - values[below]), HUNDRED)
