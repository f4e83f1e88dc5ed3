"""The grid of billing periods in a customer's local time. Source: rating.md §4.1 and §4.2.

boundary(k) = anchor + k × count × unit in local wall-clock time. The day of the month is clamped from the anchor's day,
never from the boundary before, so no anchor day is ever lost.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.period import Period
from schemas.plan import Interval, Plan

_MONTHS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_DAYS = {"day": 1, "week": 7}


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ValueError for an unknown one: it is never replaced by UTC."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}: use an IANA name such as Europe/Berlin") from None


def to_instant(local: datetime, where: ZoneInfo) -> datetime:
    """The instant of a local wall-clock time: in a spring gap moved forward by the gap, in a repeated hour the first."""
    first = local.replace(tzinfo=where, fold=0)
    # Through UTC and back: a time that does not exist comes back as another one, later by the gap.
    return first.astimezone(UTC)


def local_date(moment: datetime, where: ZoneInfo) -> date:
    """The customer's calendar day at a moment."""
    return moment.astimezone(where).date()


def midnight(day: date, where: ZoneInfo) -> datetime:
    """The instant at which a local calendar day begins."""
    return to_instant(datetime.combine(day, time.min), where)  # noqa: DTZ901  the zone is attached in to_instant


@dataclass(frozen=True, slots=True)
class Grid:
    """Boundaries at an interval from an anchor, in a zone; they tile all of time, also before the anchor."""

    anchor: datetime
    interval: Interval
    time_zone: str

    @classmethod
    def of_plan(cls, plan: Plan, *, starts_at: datetime, time_zone: str) -> Grid:
        """The grid of a subscription that starts at a moment; anchors are local midnights."""
        where = zone(time_zone)
        day = local_date(starts_at, where)
        if plan.anchor == "calendar":
            day = start_of_unit(day, plan.interval.unit)
        return cls(midnight(day, where), plan.interval, time_zone)

    def boundary(self, k: int) -> datetime:
        """The k-th boundary from the anchor; k may be negative."""
        where = zone(self.time_zone)
        local = self.anchor.astimezone(where).replace(tzinfo=None)
        return to_instant(_shift(local, self.interval, k), where)

    def period_of(self, moment: datetime) -> Period:
        """The unique period `[boundary(k), boundary(k + 1))` that holds a moment."""
        k = self._estimate(moment)
        while self.boundary(k) > moment:
            k -= 1
        while self.boundary(k + 1) <= moment:
            k += 1
        return Period(start=self.boundary(k), end=self.boundary(k + 1))

    def _estimate(self, moment: datetime) -> int:
        days = {"day": 1.0, "week": 7.0, "month": 30.44, "quarter": 91.31, "half_year": 182.62, "year": 365.24}
        return (moment - self.anchor) // timedelta(days=days[self.interval.unit] * self.interval.count)


def start_of_unit(day: date, unit: Literal["day", "week", "month", "quarter", "half_year", "year"]) -> date:
    """The first day of the calendar unit that holds a day: Monday; 1st; January, April, July, October; …"""
    if unit in _DAYS:
        return day - timedelta(days=day.weekday()) if unit == "week" else day
    months = _MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _shift(local: datetime, interval: Interval, k: int) -> datetime:
    if interval.unit in _DAYS:
        return local + timedelta(days=_DAYS[interval.unit] * interval.count * k)
    index = local.year * 12 + local.month - 1 + _MONTHS[interval.unit] * interval.count * k
    year, month = divmod(index, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)
