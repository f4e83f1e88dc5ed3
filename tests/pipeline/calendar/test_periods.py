"""rating.md §4.1 and §4.2: the grid in local time, clamped from its anchor's day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar.periods import Grid, local_date, midnight, to_instant
from schemas.period import Period, zone
from schemas.plan import Interval, Plan
from tests.pipeline.rate_cards import day

BERLIN = "Europe/Berlin"


def local(text: str, time_zone: str = BERLIN) -> datetime:
    """The instant of a local time; "2027-10-31" is its midnight."""
    return to_instant(datetime.fromisoformat(text), zone(time_zone))


def grid(anchor: str, unit: str = "month", count: int = 1, time_zone: str = BERLIN) -> Grid:
    return Grid(local(anchor, time_zone), Interval.model_validate({"unit": unit, "count": count}), time_zone)


def dates(moments: Any, time_zone: str = BERLIN) -> list[str]:
    return [local_date(moment, zone(time_zone)).isoformat() for moment in moments]


@pytest.mark.parametrize(
    ("anchor", "unit", "count", "boundaries"),
    [
        ("2027-10-31", "month", 1, ["2027-10-31", "2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29"]),
        ("2028-02-29", "year", 1, ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
        ("2027-11-30", "quarter", 1, ["2027-11-30", "2028-02-29", "2028-05-30", "2028-08-30", "2028-11-30"]),
        ("2027-08-31", "half_year", 1, ["2027-08-31", "2028-02-29", "2028-08-31", "2029-02-28", "2029-08-31"]),
        ("2027-03-30", "week", 2, ["2027-03-30", "2027-04-13", "2027-04-27", "2027-05-11", "2027-05-25"]),
        ("2027-03-27", "day", 1, ["2027-03-27", "2027-03-28", "2027-03-29", "2027-03-30", "2027-03-31"]),
        ("2027-12-31", "month", 2, ["2027-12-31", "2028-02-29", "2028-04-30", "2028-06-30", "2028-08-31"]),
    ],
)
def test_boundaries_are_clamped_from_the_anchor_as_in_section_4_1(
    anchor: str, unit: str, count: int, boundaries: list[str]
) -> None:
    made = grid(anchor, unit, count)
    assert dates(made.boundary(k) for k in range(5)) == boundaries


@pytest.mark.parametrize("k", [-13, -12, -1, 0, 1, 12])
def test_the_grid_goes_on_before_its_anchor(k: int) -> None:
    years, months = divmod(9 + k, 12)
    expected = date(2027 + years, months + 1, 1)
    found = date.fromisoformat(dates([grid("2027-10-31").boundary(k)])[0])
    assert (found.year, found.month) == (expected.year, expected.month)


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2027-11-30", "2027-11-30", "2027-12-31"),
        ("2027-11-29T23:59:59.999999", "2027-10-31", "2027-11-30"),
        ("2027-12-30T23:59:59.999999", "2027-11-30", "2027-12-31"),
        ("2027-12-31", "2027-12-31", "2028-01-31"),
        ("2026-03-01", "2026-02-28", "2026-03-31"),
    ],
)
def test_the_period_of_an_instant_is_the_one_that_holds_it(moment: str, start: str, end: str) -> None:
    period = grid("2027-10-31").period_of(local(moment))
    assert dates([period.start, period.end]) == [start, end]


def test_the_next_boundary_is_strictly_after_or_the_end() -> None:
    monthly = grid("2027-10-31")
    assert monthly.next_boundary(local("2027-11-30")) == local("2027-12-31")
    assert monthly.next_boundary(local("2027-11-30"), local("2027-12-10")) == local("2027-12-10")
    assert monthly.next_boundary(local("2027-11-30"), local("2027-12-31")) == local("2027-12-31")
    assert monthly.next_boundary(local("2027-11-30"), local("2027-11-30")) is None


def test_boundaries_after_an_instant_are_limited_or_end_with_the_end() -> None:
    monthly = grid("2027-10-31")
    assert dates(monthly.boundaries_after(local("2027-11-30"), limit=2)) == ["2027-12-31", "2028-01-31"]
    assert dates(monthly.boundaries_until(local("2027-11-30"), local("2028-01-15"))) == ["2027-12-31", "2028-01-15"]
    assert dates(monthly.boundaries_until(local("2027-11-30"), local("2027-12-31"))) == ["2027-12-31"]
    assert monthly.boundaries_until(local("2027-11-30"), local("2027-11-30")) == ()
    assert monthly.boundaries_after(local("2027-11-30"), limit=0) == ()


def test_the_anchor_keeps_its_time_of_day() -> None:
    assert grid("2027-01-31T17:30").boundary(1) == local("2027-02-28T17:30")


def anchored(starts: str, time_zone: str = BERLIN, **keys: Any) -> Grid:
    plan = Plan.model_validate(
        {"id": "p", "currency": "EUR", "rate_cards": [{"id": "f", "price": {"model": "flat", "amount": "1"}}], **keys}
    )
    return Grid.of_plan(plan, starts_at=local(starts, time_zone), time_zone=time_zone)


@pytest.mark.parametrize(
    ("starts", "keys", "boundaries"),
    [
        ("2027-03-20T15:00", {}, ["2027-03-20", "2027-04-20"]),
        ("2027-03-20T15:00", {"anchor": "subscription"}, ["2027-03-20", "2027-04-20"]),
        ("2027-03-20T15:00", {"anchor": "2026-01-12"}, ["2027-03-12", "2027-04-12"]),
        ("2027-03-20T15:00", {"anchor": "calendar"}, ["2027-03-01", "2027-04-01"]),
        ("2027-03-20", {"anchor": "calendar", "interval": {"unit": "week"}}, ["2027-03-15", "2027-03-22"]),
        ("2027-03-20", {"anchor": "calendar", "interval": {"unit": "day"}}, ["2027-03-20", "2027-03-21"]),
        ("2027-03-20", {"anchor": "calendar", "interval": {"unit": "quarter"}}, ["2027-01-01", "2027-04-01"]),
        ("2027-08-20", {"anchor": "calendar", "interval": {"unit": "half_year"}}, ["2027-07-01", "2028-01-01"]),
        ("2027-08-20", {"anchor": "calendar", "interval": {"unit": "year"}}, ["2027-01-01", "2028-01-01"]),
        ("2027-03-20", {"anchor": "calendar", "interval": {"unit": "month", "count": 2}}, ["2027-03-01", "2027-05-01"]),
        ("2027-03-20", {"billing_day": 20}, ["2027-03-20", "2027-04-20"]),
        ("2027-03-19", {"billing_day": 20}, ["2027-02-20", "2027-03-20"]),
        ("2027-03-21", {"billing_day": 20}, ["2027-03-20", "2027-04-20"]),
        ("2027-04-10", {"billing_day": 31}, ["2027-03-31", "2027-04-30"]),
        ("2027-04-30", {"billing_day": 31}, ["2027-04-30", "2027-05-31"]),
        ("2027-02-10", {"billing_day": 30}, ["2027-01-30", "2027-02-28"]),
        # A quarterly stub can last over two months: the next date of the interval.
        ("2027-03-21", {"billing_day": 20, "interval": {"unit": "quarter"}}, ["2027-03-20", "2027-06-20"]),
    ],
)
def test_anchors_are_the_start_a_date_the_calendar_or_a_billing_day_as_in_section_4_1(
    starts: str, keys: dict[str, Any], boundaries: list[str]
) -> None:
    period = anchored(starts, **keys).period_of(local(starts))
    assert dates([period.start, period.end]) == boundaries


def test_a_billing_day_is_clamped_from_itself_and_never_lost() -> None:
    made = anchored("2027-04-10", billing_day=31)
    boundaries = made.boundaries_after(local("2027-04-10"), limit=11)
    assert [int(text[-2:]) for text in dates(boundaries)] == [30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29]


@pytest.mark.parametrize(
    ("starts", "billing_day", "unit", "first"),
    [
        ("2027-02-10", 31, "quarter", "2027-02-28"),
        ("2027-02-28", 31, "quarter", "2027-05-31"),
        ("2027-06-15", 31, "half_year", "2027-06-30"),
        ("2027-02-15", 29, "year", "2027-02-28"),
    ],
)
def test_a_billing_day_stays_on_the_grid_of_its_interval_from_the_month_of_the_start(
    starts: str, billing_day: int, unit: str, first: str
) -> None:
    made = anchored(starts, billing_day=billing_day, interval={"unit": unit})
    assert dates([made.next_boundary(local(starts))]) == [first]


@pytest.mark.parametrize(
    ("text", "time_zone", "instant"),
    [
        ("2027-03-28T02:30", BERLIN, datetime(2027, 3, 28, 1, 30, tzinfo=UTC)),  # the gap: 03:30 local
        ("2027-03-28T01:59", BERLIN, datetime(2027, 3, 28, 0, 59, tzinfo=UTC)),
        ("2027-03-28T03:00", BERLIN, datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
        ("2027-10-31T02:30", BERLIN, datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),  # the first of the two
        ("2027-10-03T02:15", "Australia/Lord_Howe", datetime(2027, 10, 2, 15, 45, tzinfo=UTC)),  # a gap of 30 minutes
        ("2027-04-04T01:45", "Australia/Lord_Howe", datetime(2027, 4, 3, 14, 45, tzinfo=UTC)),
        ("2027-06-01", "Asia/Kathmandu", datetime(2027, 5, 31, 18, 15, tzinfo=UTC)),
        ("2011-12-30", "Pacific/Apia", datetime(2011, 12, 30, 10, 0, tzinfo=UTC)),  # a day that Apia skipped
    ],
)
def test_a_local_time_in_a_gap_moves_forward_and_in_a_repeated_hour_is_the_first(
    text: str, time_zone: str, instant: datetime
) -> None:
    assert local(text, time_zone) == instant


def test_an_unknown_zone_and_a_naive_anchor_are_refused() -> None:
    with pytest.raises(ValueError, match="time_zone: unknown zone 'Europe/Berlim'"):
        Grid(day(1), Interval(unit="month"), "Europe/Berlim")
    with pytest.raises(ValueError, match="anchor: 2027-03-01T00:00:00 has no time zone"):
        Grid(datetime(2027, 3, 1), Interval(unit="month"), BERLIN)  # noqa: DTZ001


def test_the_day_that_apia_skipped_is_no_period() -> None:
    daily = grid("2011-12-28", "day", time_zone="Pacific/Apia")
    span = Period(local("2011-12-28", "Pacific/Apia"), local("2012-01-01", "Pacific/Apia"))
    periods = list(daily.periods(span))
    assert dates([period.start for period in periods], "Pacific/Apia") == ["2011-12-28", "2011-12-29", "2011-12-31"]
    assert all(left.end == right.start for left, right in pairwise(periods))


ZONES = [
    "UTC",
    BERLIN,
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/New_York",
    "Africa/Casablanca",
]
instants = st.datetimes(datetime(2005, 1, 1), datetime(2060, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
grids = st.builds(
    Grid,
    instants,
    st.builds(
        Interval,
        unit=st.sampled_from(["day", "week", "month", "quarter", "half_year", "year"]),
        count=st.integers(1, 14),
    ),
    st.sampled_from(ZONES),
)


@given(grids, instants)
def test_a_grid_tiles_time(made: Grid, moment: datetime) -> None:
    period = made.period_of(moment)
    assert period.contains(moment)
    assert made.period_of(period.end).start == period.end
    assert made.period_of(period.end - timedelta(microseconds=1)) == period
    assert made.next_boundary(moment) == period.end
    assert made.period_ending_at_or_after(period.end) == period


@given(grids, instants, st.integers(0, 400))
def test_periods_of_a_span_are_contiguous_and_cover_it(made: Grid, start: datetime, days: int) -> None:
    span = Period(start, start + timedelta(days=days))
    periods = list(made.periods(span))
    assert all(left.end == right.start for left, right in pairwise(periods))
    assert bool(periods) is not span.is_empty
    if periods:
        assert periods[0].contains(span.start)
        assert periods[-1].start < span.end <= periods[-1].end


@given(st.dates(date(2027, 1, 1), date(2032, 12, 31)), st.integers(1, 31), st.integers(1, 12))
def test_every_boundary_of_a_billing_day_is_that_day_or_the_last_of_its_month(
    starts: date, billing_day: int, count: int
) -> None:
    made = anchored(starts.isoformat(), billing_day=billing_day, interval={"unit": "month", "count": count})
    for boundary in made.boundaries_after(midnight(starts, zone(BERLIN)), limit=12):
        found = local_date(boundary, zone(BERLIN))
        assert found.day == billing_day or (found.day < billing_day and (found + timedelta(days=1)).day == 1)
