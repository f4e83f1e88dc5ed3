"""One function per aggregation: the meter and the usable readings of a slice give a value in units of 10^-12."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.meters.aggregation.kinds.level import prorated_sum, weighted_sum
from pipeline.meters.aggregation.kinds.numbers import average, count, greatest, latest, least, total
from pipeline.meters.aggregation.kinds.ranked import percentile
from pipeline.meters.aggregation.kinds.unique import prorated_unique_count, unique_count
from pipeline.meters.aggregation.slices import Slice
from schemas.meter import Aggregation, Meter

KINDS: Mapping[Aggregation, Callable[[Meter, Slice], int]] = {
    "count": count,
    "sum": total,
    "min": least,
    "max": greatest,
    "avg": average,
    "latest": latest,
    "unique_count": unique_count,
    "weighted_sum": weighted_sum,
    "percentile": percentile,
    "prorated_sum": prorated_sum,
    "prorated_unique_count": prorated_unique_count,
}
