"""The grid of billing periods in a customer's local time. Source: rating.md §4.1 and §4.2.

boundary(k) = anchor + k x count x unit in local wall-clock time. The day of the month is clamped from the anchor's day,
never from the boundary before, so no anchor day is ever lost.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice
from zoneinfo import ZoneInfo

from schemas.period import Period, utc, zone
from schemas.plan import Interval, Plan, Unit

_MONTHS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_DAYS = {"day": 1, "week": 7}
# Average lengths: only a first guess for the number of a boundary, corrected by comparing.
_ABOUT = {unit: timedelta(days=days) for unit, days in _DAYS.items()} | {
    unit: timedelta(days=30, hours=10) * months for unit, months in _MONTHS.items()
}


def times(outer: Interval, inner: Interval) -> int | None:
    """Of how many intervals another is made; None if not of whole ones."""
    units = _MONTHS if outer.unit in _MONTHS else _DAYS
    if inner.unit not in units:
        return None
    found, rest = divmod(units[outer.unit] * outer.count, units[inner.unit] * inner.count)
    return found if found and not rest else None


def to_instant(local: datetime, where: ZoneInfo) -> datetime:
    """The instant of a local time: in a spring gap moved forward by the gap, in a repeated hour the first one."""
    return local.replace(tzinfo=where, fold=0).astimezone(UTC)


def local_date(moment: datetime, where: ZoneInfo) -> date:
    """The customer's calendar day at a moment."""
    return moment.astimezone(where).date()


def midnight(day: date, where: ZoneInfo) -> datetime:
    """The instant at which a local calendar day begins."""
    return to_instant(datetime.combine(day, time.min, where), where)


def start_of_unit(day: date, unit: Unit) -> date:
    """The first day of the calendar unit that holds a day: Monday; the 1st; January, April, July, October."""
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


@dataclass(frozen=True, slots=True)
class Grid:
    """Boundaries at an interval from an anchor, in a zone; they tile all of time, also before the anchor.

    Raises ValueError for an unknown zone and for an anchor without one.
    """

    anchor: datetime
    interval: Interval
    time_zone: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchor", utc(self.anchor, "anchor"))
        zone(self.time_zone)

    @classmethod
    def of_plan(cls, plan: Plan, *, starts_at: datetime, time_zone: str, interval: Interval | None = None) -> Grid:
        """The grid of a subscription that starts at a moment; anchors are local midnights.

        A charge with an interval of its own has a grid of its own, from the same anchor rule.
        """
        where = zone(time_zone)
        day = local_date(utc(starts_at, "starts_at"), where)
        every = interval or plan.interval
        if plan.billing_day is not None:
            day = _billing_day_anchor(day, plan.billing_day, every)
        elif plan.anchor == "calendar":
            day = start_of_unit(day, every.unit)
        elif isinstance(plan.anchor, date):
            day = plan.anchor
        return cls(midnight(day, where), every, time_zone)

    def boundary(self, k: int) -> datetime:
        """The k-th boundary from the anchor; k may be negative."""
        where = zone(self.time_zone)
        return to_instant(_shifted(self.anchor.astimezone(where).replace(tzinfo=None), self.interval, k), where)

    def period_of(self, moment: datetime) -> Period:
        """The unique period `[boundary(k), boundary(k + 1))` that holds a moment."""
        k = self.index_of(moment)
        return Period(self.boundary(k), self.boundary(k + 1))

    def period_ending_at_or_after(self, moment: datetime) -> Period:
        """The period whose end is the moment, or else the one that holds it."""
        k = self.index_of(moment)
        return Period(self.boundary(k - 1), self.boundary(k)) if self.boundary(k) == moment else self.period_of(moment)

    def next_boundary(self, moment: datetime, ends_at: datetime | None = None) -> datetime | None:
        """The smallest boundary strictly after a moment, or `ends_at` if that comes first.

        None if nothing is left: `ends_at` is not after the moment.
        """
        following = self.boundary(self.index_of(moment) + 1)
        if ends_at is None:
            return following
        end = min(following, utc(ends_at, "ends_at"))
        return end if end > moment else None

    def boundaries_after(self, moment: datetime, *, limit: int) -> tuple[datetime, ...]:
        """The next boundaries strictly after a moment."""
        return tuple(islice(self._boundaries(moment), max(0, limit)))

    def boundaries_until(self, moment: datetime, ends_at: datetime) -> tuple[datetime, ...]:
        """The boundaries strictly after a moment and before `ends_at`, and `ends_at` itself."""
        end = utc(ends_at, "ends_at")
        found = []
        for boundary in self._boundaries(moment):
            if boundary >= end:
                break
            found.append(boundary)
        return (*found, end) if end > moment else ()

    def periods(self, span: Period) -> Iterator[Period]:
        """The full periods that hold some instant of a span, in order; none for an empty span."""
        period = self.period_of(span.start)
        k = self.index_of(span.start)
        while not span.is_empty and period.start < span.end:
            if not period.is_empty:
                yield period
            k += 1
            period = Period(period.end, self.boundary(k + 1))

    def _boundaries(self, moment: datetime) -> Iterator[datetime]:
        return (self.boundary(k) for k in count(self.index_of(moment) + 1))

    def index_of(self, moment: datetime) -> int:
        """The k of the period that holds a moment."""
        instant = utc(moment)
        k = (instant - self.anchor) // (_ABOUT[self.interval.unit] * self.interval.count)
        while self.boundary(k) > instant:
            k -= 1
        while self.boundary(k + 1) <= instant:
            k += 1
        return k


def _shifted(local: datetime, interval: Interval, k: int) -> datetime:
    if interval.unit in _DAYS:
        return local + timedelta(days=_DAYS[interval.unit] * interval.count * k)
    index = local.year * 12 + local.month - 1 + _MONTHS[interval.unit] * interval.count * k
    year, month = divmod(index, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)


def _billing_day_anchor(start: date, billing_day: int, interval: Interval) -> date:
    """A date of the grid through the billing day in the month of the start; on the billing day itself if it has it.

    Boundaries are clamped from their anchor's day: a grid for the 31st that is entered in April must be anchored in a
    month of 31 days, or it would stay on the 30th.
    """
    months = _MONTHS[interval.unit] * interval.count
    first = start.year * 12 + start.month - 1
    # 48 months hold every length that a month of the grid can have, leap years included.
    starts = (date(index // 12, index % 12 + 1, 1) for index in range(first, first + 48 * months, months))
    best = max(starts, key=lambda month: min(billing_day, calendar.monthrange(month.year, month.month)[1]))
    return best.replace(day=min(billing_day, calendar.monthrange(best.year, best.month)[1]))
