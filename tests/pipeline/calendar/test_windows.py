"""rating.md §4.3: windows in the customer's zone, half-open and contiguous."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar.periods import to_instant
from pipeline.calendar.windows import window_at, windows_of
from schemas.period import Period, zone
from schemas.price import Window
from tests.pipeline.rate_cards import day


def z(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "time_zone", "instant", "start", "end"),
    [
        # The repeated hour keeps its side.
        ("hour", "Europe/Berlin", "2027-10-31T00:40", "2027-10-31T00:00", "2027-10-31T01:00"),
        ("hour", "Europe/Berlin", "2027-10-31T01:40", "2027-10-31T01:00", "2027-10-31T02:00"),
        ("hour", "Asia/Yangon", "2027-10-31T10:10", "2027-10-31T09:30", "2027-10-31T10:30"),
        ("hour", "Asia/Kathmandu", "2027-10-31T10:10", "2027-10-31T09:15", "2027-10-31T10:15"),
        # Half an hour is repeated, or missing: the hour is cut at the change, so that windows still tile.
        ("hour", "Australia/Lord_Howe", "2027-04-03T14:59:59", "2027-04-03T14:00", "2027-04-03T15:00"),
        ("hour", "Australia/Lord_Howe", "2027-04-03T15:00", "2027-04-03T15:00", "2027-04-03T15:30"),
        ("hour", "Australia/Lord_Howe", "2027-10-02T15:29:59.5", "2027-10-02T14:30", "2027-10-02T15:30"),
        ("hour", "Australia/Lord_Howe", "2027-10-02T15:30", "2027-10-02T15:30", "2027-10-02T16:00"),
        ("hour", "UTC", "2027-10-31T10:00", "2027-10-31T10:00", "2027-10-31T11:00"),
        ("minute", "Asia/Kathmandu", "2027-10-31T10:10:59.999999", "2027-10-31T10:10", "2027-10-31T10:11"),
        # 25, 23 and 24½ hours are one day each.
        ("day", "Europe/Berlin", "2027-10-31T10:00", "2027-10-30T22:00", "2027-10-31T23:00"),
        ("day", "Europe/Berlin", "2027-03-28T10:00", "2027-03-27T23:00", "2027-03-28T22:00"),
        ("day", "Australia/Lord_Howe", "2027-04-04T00:00", "2027-04-03T13:00", "2027-04-04T13:30"),
        ("day", "Pacific/Apia", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("day", "Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
        ("week", "Europe/Berlin", "2027-10-31T10:00", "2027-10-24T22:00", "2027-10-31T23:00"),
        ("month", "Europe/Berlin", "2027-10-31T10:00", "2027-09-30T22:00", "2027-10-31T23:00"),
        ("month", "UTC", "2027-12-31T23:59", "2027-12-01T00:00", "2028-01-01T00:00"),
    ],
)
def test_a_window_holds_its_instant_in_local_time_as_in_section_4_3(
    size: Any, time_zone: str, instant: str, start: str, end: str
) -> None:
    assert window_at(size, z(instant), time_zone) == Period(z(start), z(end))


def test_windows_of_a_span_are_all_that_intersect_it_and_the_first_may_begin_before() -> None:
    half_days = Period(day(1) + timedelta(hours=12), day(3) + timedelta(hours=1))
    assert windows_of("day", half_days, "UTC") == tuple(Period(day(n), day(n + 1)) for n in (1, 2, 3))
    assert windows_of("day", Period(day(1), day(2)), "UTC") == (Period(day(1), day(2)),)


@pytest.mark.parametrize("size", get_args(Window))
def test_an_empty_span_has_no_windows(size: Any) -> None:
    assert windows_of(size, Period(day(5), day(5)), "Europe/Berlin") == ()


def test_month_windows_follow_the_billing_anchor_or_else_the_start_of_the_span() -> None:
    quarter = Period(day(31, 1), day(30, 4))
    clamped = (Period(day(31, 1), day(28, 2)), Period(day(28, 2), day(31, 3)), Period(day(31, 3), day(30, 4)))
    assert windows_of("month", quarter, "UTC") == clamped
    assert windows_of("month", Period(day(28, 2), day(30, 4)), "UTC", anchor=day(31, 1)) == clamped[1:]
    assert window_at("month", day(1, 3), "UTC", anchor=day(31, 1)) == clamped[1]


def test_an_unknown_size_or_zone_and_a_naive_instant_are_refused() -> None:
    with pytest.raises(ValueError, match="window: unknown size 'fortnight'"):
        window_at("fortnight", day(1), "UTC")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time_zone: unknown zone 'Mars'"):
        window_at("day", day(1), "Mars")
    with pytest.raises(ValueError, match="has no time zone"):
        window_at("day", datetime(2027, 3, 1), "UTC")  # noqa: DTZ001


ZONES = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo"]
# Around the changes of clocks, where tiling is hard, and anywhere.
CHANGES = [
    z("2027-10-31T01:00"),
    z("2027-03-28T01:00"),
    z("2027-04-03T15:00"),
    z("2011-12-30T10:00"),
    z("2017-10-15T03:00"),
]
near = st.builds(
    lambda change, away: change + timedelta(seconds=away), st.sampled_from(CHANGES), st.integers(-(10**5), 10**5)
)
anywhere = st.datetimes(datetime(2005, 1, 1), datetime(2060, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
SIZES = st.sampled_from(get_args(Window))


@given(SIZES, near | anywhere, st.sampled_from(ZONES))
def test_windows_tile_time(size: Any, moment: datetime, time_zone: str) -> None:
    window = window_at(size, moment, time_zone)
    assert window.contains(moment)
    assert window_at(size, window.start, time_zone) == window
    assert window_at(size, window.end - timedelta(microseconds=1), time_zone) == window
    assert window_at(size, window.end, time_zone).start == window.end


@given(st.sampled_from(["hour", "day", "week", "month"]), near | anywhere, st.integers(0, 60), st.sampled_from(ZONES))
def test_windows_of_a_span_are_contiguous_and_cover_it(size: Any, start: datetime, hours: int, time_zone: str) -> None:
    span = Period(start, start + timedelta(hours=hours))
    windows = windows_of(size, span, time_zone)
    assert all(left.end == right.start for left, right in pairwise(windows))
    assert bool(windows) is not span.is_empty
    if windows:
        assert windows[0].contains(span.start)
        assert windows[-1].start < span.end <= windows[-1].end


@given(near | anywhere, st.sampled_from(ZONES))
def test_a_day_begins_at_local_midnight_or_right_after_a_gap(moment: datetime, time_zone: str) -> None:
    where = zone(time_zone)
    start = window_at("day", moment, time_zone).start
    assert start.astimezone(where).date() == moment.astimezone(where).date()
    midnight = datetime.combine(moment.astimezone(where).date(), datetime.min.time())
    assert start == to_instant(midnight, where)
