"""Anomalies on simulated customers: ten times the usual is found within the hour, and false alarms are rare."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from statistics import median

import pytest

from pipeline.limits.anomaly import DAYS, DAYS_AT_LEAST, bound, is_anomaly

EIGHT = Decimal(8)
MONTH = 30
SHARES = [Decimal(part) / 12 for part in range(1, 13)]
"""The hour as it fills up, five minutes at a time."""


def office(day: int, hour: int) -> float:
    """Busy from nine to six, quiet at night, idle at weekends."""
    return (400 if 9 <= hour < 18 else 20) if day % 7 < 5 else 4


def evening(day: int, hour: int) -> float:
    """A consumer product: a daily wave, larger on weekends."""
    return (30 + 25 * ((hour - 14) % 24 < 9)) * (1.6 if day % 7 >= 5 else 1.0)


def steady(_day: int, _hour: int) -> float:
    """A machine that never sleeps."""
    return 1000


def nightly(_day: int, hour: int) -> float:
    """A batch at two o'clock, and little else."""
    return 5000 if hour == 2 else 3


def weekly(day: int, hour: int) -> float:
    """A report on Mondays on top of a low level."""
    return 2000 if day % 7 == 0 and hour == 6 else 15


def growing(day: int, hour: int) -> float:
    """Two percent more every day."""
    return office(day, hour) * 1.02**day


def sparse(day: int, hour: int) -> float:
    """Somebody who tries something now and then."""
    return 60 if (day * 24 + hour) * 2654435761 % 97 < 8 else 0


CUSTOMERS: list[Callable[[int, int], float]] = [office, evening, steady, nightly, weekly, growing, sparse]


def simulated(shape: Callable[[int, int], float], seed: int, *, noise: float = 0.35) -> list[list[Decimal]]:
    """Days of 24 hours: a shape with log-normal noise, whole units."""
    draw = random.Random(seed)
    return [
        [Decimal(round(shape(day, hour) * draw.lognormvariate(0, noise))) for hour in range(24)]
        for day in range(DAYS + MONTH)
    ]


def hours(days: list[list[Decimal]]) -> Iterator[tuple[Decimal, Decimal | None, Decimal]]:
    """Value, bound and median of each hour of the month."""
    for day in range(DAYS, DAYS + MONTH):
        before = days[day - DAYS : day]
        largest = max(value for each in before for value in each)
        for hour in range(24):
            same = [each[hour] for each in before]
            yield days[day][hour], bound(same, largest, sensitivity=EIGHT), median(same)


@pytest.mark.parametrize("shape", CUSTOMERS)
def test_a_month_of_a_customer_has_at_most_one_false_alarm(shape: Callable[[int, int], float]) -> None:
    months = 5
    false = sum(is_anomaly(value, limit) for seed in range(months) for value, limit, _ in hours(simulated(shape, seed)))
    assert false <= months


@pytest.mark.parametrize("shape", CUSTOMERS)
def test_ten_times_the_usual_is_found_before_the_hour_is_over(shape: Callable[[int, int], float]) -> None:
    for seed in range(2):
        for value, limit, usual in hours(simulated(shape, seed)):
            if usual and value >= usual:  # a normal hour, ten times over
                found = [share for share in SHARES if is_anomaly(value * 10 * share, limit)]
                assert found, (shape.__name__, value, limit)


def series(*values: int) -> list[Decimal]:
    return [Decimal(value) for value in values]


def test_the_bound_of_an_hour_is_its_median_and_eight_times_its_spread_between_four_and_six_medians() -> None:
    assert bound(series(90, 95, 100, 100, 100, 105, 110), Decimal(500), sensitivity=EIGHT) == 400
    assert bound(series(60, 70, 70, 100, 130, 130, 140), Decimal(500), sensitivity=EIGHT) == (
        100 + 8 * Decimal("1.4826") * 30
    )
    assert bound(series(10, 20, 30, 100, 170, 180, 190), Decimal(500), sensitivity=EIGHT) == 600
    assert bound(series(90, 95, 100, 100, 100, 105, 110), Decimal(500), sensitivity=EIGHT, floor=Decimal(900)) == 900


def test_an_idle_hour_may_be_twice_the_largest_of_any_day_and_what_comes_weekly_three_times_as_large() -> None:
    assert bound(series(0, 0, 0, 0, 0, 0, 0), Decimal(30), sensitivity=EIGHT) == 60
    weekly = series(800, 1, 1, 1, 1, 1, 1, 900, 1, 1, 1, 1, 1, 1)
    assert bound(weekly, Decimal(900), sensitivity=EIGHT) == 2400
    once = series(100, 100, 100, 100, 100, 100, 100, 9000, 100, 100, 100, 100, 100, 100)
    assert bound(once, Decimal(9000), sensitivity=EIGHT) == 400  # one anomaly hides no other


def test_before_a_week_there_is_no_pattern() -> None:
    assert bound([Decimal(1)] * (DAYS_AT_LEAST - 1), Decimal(1), sensitivity=EIGHT) is None
    assert not is_anomaly(Decimal(10**9), None)
