"""The part of a period's fee that is owed: local days served ÷ local days of the full period. Source: rating.md §4.4."""

from __future__ import annotations

from pipeline.periods import local_date, zone
from schemas.period import Period
from schemas.rated_line import ProrationUse


def proration(service: Period, period: Period, time_zone: str) -> ProrationUse:
    """Days of the served span over days of the full grid period, both by local dates: the time of day costs nothing.

    Raises ValueError for an empty period or a span outside it.
    """
    if period.is_empty:
        raise ValueError("period: must not be empty")
    if service.start < period.start or service.end > period.end:
        raise ValueError("service: must lie within its period")
    return ProrationUse(numerator=_days(service, time_zone), denominator=_days(period, time_zone), basis="day")


def _days(span: Period, time_zone: str) -> int:
    where = zone(time_zone)
    return (local_date(span.end, where) - local_date(span.start, where)).days
