"""Values that change a level: weighted by elapsed time, or by local days. Source: rating.md §9."""

from __future__ import annotations

from datetime import timedelta

from pipeline.calendar.periods import local_date
from pipeline.calendar.proration import days
from pipeline.meters.aggregation.slices import Slice
from pipeline.meters.scaled import quotient, scaled
from schemas.meter import Meter
from schemas.period import zone
from schemas.quantity import ZERO

_MICROSECOND = timedelta(microseconds=1)


def weighted_sum(meter: Meter, part: Slice) -> int:
    """The level integrated over the span, by the length of the span: what it was on average.

    A change counts from its instant to the end, carried and initial ones all along. 0 for an empty span.
    """
    if part.span.is_empty:
        return 0
    length = part.span.length // _MICROSECOND
    level = scaled(meter.initial_value or ZERO) + sum(reading.value or 0 for reading in part.opening)
    changes = sum((reading.value or 0) * ((part.span.end - reading.time) // _MICROSECOND) for reading in part.inside)
    return quotient(level * length + changes, length)


def prorated_sum(meter: Meter, part: Slice) -> int:
    """Each value by the local days from its own (included) to the end of the span, by those of the full period.

    Carried values count for all days of the span.
    """
    where = zone(part.time_zone)
    last = local_date(part.span.end, where)
    carried = sum(reading.value or 0 for reading in part.opening) * days(part.span, part.time_zone)
    changes = sum((reading.value or 0) * (last - local_date(reading.time, where)).days for reading in part.inside)
    full = days(part.full_period, part.time_zone)
    return quotient(carried + changes, full) if full else 0
