"""Windows of usage in a customer's local time: which one holds an instant, and which tile a span.

Source: rating.md §4.3. Windows are half-open and contiguous. A minute or an hour is the instant less the elapsed part
of its local minute or hour, cut where clocks change by less than that; a day, week or month goes from one local
midnight to another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.calendar.periods import Grid, local_date, midnight, start_of_unit
from schemas.period import Period, utc, zone
from schemas.plan import Interval
from schemas.price import Window

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_INSTANT = timedelta(microseconds=1)
_DAYS = {"day": 1, "week": 7}


def window_at(size: Window, instant: datetime, time_zone: str, *, anchor: datetime | None = None) -> Period:
    """The window that holds an instant; with an `anchor`, months are counted from it, clamped as billing periods are.

    Raises ValueError for an unknown size or zone and for an instant without a zone.
    """
    moment = utc(instant)
    where = zone(time_zone)
    if size in ("minute", "hour"):
        return _clock_window(size, moment, where)
    if size == "month" and anchor is not None:
        return Grid(anchor, Interval(unit="month"), time_zone).period_of(moment)
    if size == "day" or size == "week" or size == "month":
        first = start_of_unit(local_date(moment, where), size)
        after = start_of_unit(first + timedelta(days=_DAYS.get(size, 31)), size)
        return Period(midnight(first, where), midnight(after, where))
    raise ValueError(f"window: unknown size {size!r}; one of minute, hour, day, week, month")


def windows_of(size: Window, span: Period, time_zone: str, *, anchor: datetime | None = None) -> tuple[Period, ...]:
    """All windows that hold some instant of a span, in order; the first may begin before it. None for an empty span.

    Months follow the billing anchor, or the start of the span without one.
    """
    if size == "month":
        grid = Grid(span.start if anchor is None else anchor, Interval(unit="month"), time_zone)
        return tuple(grid.periods(span))
    return tuple(_tiles(size, span, time_zone))


def _tiles(size: Window, span: Period, time_zone: str) -> Iterator[Period]:
    at = span.start
    while at < span.end:
        window = window_at(size, at, time_zone)
        yield window
        at = window.end


def _clock_window(size: Window, moment: datetime, where: ZoneInfo) -> Period:
    length = _MINUTE if size == "minute" else _HOUR
    elapsed = _elapsed(moment, length, where)
    window = Period(moment - elapsed, moment - elapsed + length)
    # Where clocks change by a part of the window (Lord Howe: half an hour), the local hours of before and after would
    # overlap: each ends, or begins, with the change.
    if _elapsed(window.start, length, where):
        return Period(_change(window.start, moment, where), window.end)
    if _elapsed(window.end - _INSTANT, length, where) != length - _INSTANT:
        return Period(window.start, _change(moment, window.end - _INSTANT, where))
    return window


def _elapsed(moment: datetime, length: timedelta, where: ZoneInfo) -> timedelta:
    """The part of its local minute or hour that an instant has behind it."""
    local = moment.astimezone(where)
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond) % length


def _change(before: datetime, after: datetime, where: ZoneInfo) -> datetime:
    """The second between two instants from which the clock runs as it does at the later one."""
    first = before.replace(microsecond=0)
    offset = after.astimezone(where).utcoffset()
    seconds = range((after - first) // _SECOND + 1)
    return first + _SECOND * bisect_left(
        seconds, True, key=lambda second: (first + _SECOND * second).astimezone(where).utcoffset() == offset
    )
