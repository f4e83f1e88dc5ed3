"""When whole days are computed: once they are over, and a few times more if something came for them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.meters.day_sealing import AGAIN_AFTER, SETTLES, end_of, is_beyond, is_due, turn_of
from pipeline.meters.usage_sql import Frame, outside_sql
from schemas.period import Period

DAY = date(2027, 10, 31)
OVER = datetime(2027, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_day_is_over_at_the_next_midnight_utc() -> None:
    assert end_of(DAY) == OVER


def test_a_day_is_computed_an_hour_after_its_end() -> None:
    assert not is_due(DAY, sealed_at=None, changed=True, now=OVER + HOUR - timedelta(milliseconds=1))
    assert is_due(DAY, sealed_at=None, changed=True, now=OVER + HOUR)


@pytest.mark.parametrize(
    ("sealed_after", "now_after", "due"),
    [
        (HOUR, timedelta(days=2) - HOUR, False),
        (HOUR, timedelta(days=2), True),
        (timedelta(days=2), timedelta(days=7), False),
        (timedelta(days=2), timedelta(days=8), True),
        (timedelta(days=8), timedelta(days=40), True),
        (timedelta(days=40), timedelta(days=400), False),
    ],
)
def test_a_changed_day_is_computed_again_after_two_days_a_week_and_a_month(
    sealed_after: timedelta, now_after: timedelta, due: bool
) -> None:
    assert is_due(DAY, sealed_at=OVER + sealed_after, changed=True, now=OVER + now_after) is due


def test_a_day_for_which_nothing_came_is_not_computed_again() -> None:
    assert not is_due(DAY, sealed_at=OVER + HOUR, changed=False, now=OVER + timedelta(days=2))


@pytest.mark.parametrize("after", [SETTLES, *AGAIN_AFTER])
def test_whenever_a_day_becomes_due_a_turn_begins_in_which_days_are_looked_at(after: timedelta) -> None:
    assert turn_of(OVER + after) != turn_of(OVER + after - timedelta(milliseconds=1))
    assert turn_of(OVER + after) == turn_of(OVER + after + timedelta(minutes=59))


def test_what_ends_at_a_vector_is_below_it() -> None:
    assert not is_beyond({0: 5, 1: 0}, [5, 0])
    assert is_beyond({0: 6}, [5, 0])
    assert is_beyond({2: 1}, [5, 0])


def test_whole_days_of_a_span_are_utc_days_without_pauses_in_them() -> None:
    span = Period(datetime(2027, 10, 1, 22, tzinfo=UTC), datetime(2027, 10, 6, tzinfo=UTC))
    assert Frame(span).whole_days() == tuple(date(2027, 10, day) for day in (2, 3, 4, 5))
    pause = Period(datetime(2027, 10, 3, 23, tzinfo=UTC), datetime(2027, 10, 4, tzinfo=UTC))
    assert Frame(span, gaps=(pause,)).whole_days() == tuple(date(2027, 10, day) for day in (2, 4, 5))


def test_a_span_within_a_day_has_no_whole_day() -> None:
    assert Frame(Period(OVER + HOUR, OVER + 23 * HOUR)).whole_days() == ()
    assert Frame(Period(OVER, OVER + 24 * HOUR)).whole_days() == (date(2027, 11, 1),)


def test_what_lies_outside_of_days_is_one_range_per_gap() -> None:
    found = outside_sql([date(1970, 1, 5), date(1970, 1, 2), date(1970, 1, 3)])
    moment = "fromUnixTimestamp64Milli(toInt64({}), 'UTC')".format
    hours = [moment(day * 86_400_000) for day in (1, 3, 4, 5)]
    assert found == f"(ts < {hours[0]} OR (ts >= {hours[1]} AND ts < {hours[2]}) OR ts >= {hours[3]})"
