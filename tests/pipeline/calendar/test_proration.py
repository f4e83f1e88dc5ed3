"""rating.md §4.4: local days (or seconds) of service over those of the full grid period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar.periods import Grid, to_instant
from pipeline.calendar.proration import days, prorate, proration
from schemas.money import currency
from schemas.period import Period, zone
from schemas.plan import Interval
from schemas.rated_line import ProrationUse
from tests.pipeline.rate_cards import EUR, MARCH, D, day


def local(text: str, time_zone: str = "Europe/Berlin") -> datetime:
    return to_instant(datetime.fromisoformat(text), zone(time_zone))


def span(start: str, end: str, time_zone: str = "Europe/Berlin") -> Period:
    return Period(local(start, time_zone), local(end, time_zone))


def test_149_a_month_from_20_march_on_is_23_of_31_days_as_in_section_4_4() -> None:
    month = span("2027-03-12", "2027-04-12")
    share = proration(span("2027-03-20", "2027-04-12"), month, "Europe/Berlin")
    assert (share.numerator, share.denominator) == (23, 31)
    assert str(prorate(D("149.00"), share, EUR).amount) == "110.55"


@pytest.mark.parametrize(
    ("start", "end", "numerator"),
    [
        ("2027-03-01", "2027-04-01", 31),
        ("2027-03-01", "2027-03-01", 0),
        ("2027-03-01", "2027-03-02", 1),
        ("2027-03-01T23:59", "2027-03-02T00:01", 1),  # the time of day costs nothing
        ("2027-03-01T00:01", "2027-03-01T23:59", 0),
        ("2027-03-28", "2027-03-29", 1),  # a day of 23 hours
        ("2027-03-31T23:59:59", "2027-04-01", 1),
    ],
)
def test_days_are_differences_of_local_dates(start: str, end: str, numerator: int) -> None:
    share = proration(span(start, end), span("2027-03-01", "2027-04-01"), "Europe/Berlin")
    assert (share.numerator, share.denominator) == (numerator, 31)


@pytest.mark.parametrize(
    ("time_zone", "text", "hours"),
    [
        ("Europe/Berlin", "2027-03-28", 23),
        ("Europe/Berlin", "2027-10-31", 25),
        ("Australia/Lord_Howe", "2027-04-04", 24.5),
    ],
)
def test_a_day_of_another_length_is_one_day_as_in_section_11(time_zone: str, text: str, hours: float) -> None:
    day_after = (datetime.fromisoformat(text) + timedelta(days=1)).isoformat()
    whole = span(text, day_after, time_zone)
    assert whole.length == timedelta(hours=hours)
    assert days(whole, time_zone) == 1


def test_the_local_day_counts_and_not_the_day_in_utc() -> None:
    katmandu = span("2027-06-01", "2027-07-01", "Asia/Kathmandu")
    assert days(katmandu, "Asia/Kathmandu") == 30
    first = span("2027-06-01", "2027-06-02", "Asia/Kathmandu")
    assert (first.start.day, days(first, "Asia/Kathmandu")) == (31, 1)


def test_seconds_differ_from_days_across_a_change_of_clocks() -> None:
    month = span("2027-03-01", "2027-04-01")
    share = proration(span("2027-03-28", "2027-03-29"), month, "Europe/Berlin", "second")
    assert (share.numerator, share.denominator) == (23 * 3600, (31 * 24 - 1) * 3600)
    assert prorate(D("31.00"), share, EUR).amount == D("0.96")


@pytest.mark.parametrize(
    ("amount", "numerator", "denominator", "owed"),
    [("149.00", 0, 31, "0.00"), ("149.005", 31, 31, "149.01"), ("7.00", 17, 31, "3.84"), ("-7.00", 17, 31, "-3.84")],
)
def test_nothing_served_is_0_and_all_of_it_the_plain_amount(
    amount: str, numerator: int, denominator: int, owed: str
) -> None:
    assert str(prorate(D(amount), ProrationUse(D(numerator), D(denominator)), EUR).amount) == owed


def test_an_amount_is_multiplied_first_and_divided_once() -> None:
    third = prorate(D("10"), ProrationUse(D(3), D(30)), currency("JPY"))
    assert (third.exact, str(third.amount)) == (D(1), "1")


@pytest.mark.parametrize(
    ("service", "period", "zone_name", "basis", "problem"),
    [
        (Period(day(5), day(5)), Period(day(5), day(5)), "UTC", "day", "period: must not be empty"),
        (Period(day(28, 2), day(5)), MARCH, "UTC", "day", "service: must lie within its period"),
        (Period(day(5), day(2, 4)), MARCH, "UTC", "day", "service: must lie within its period"),
        (MARCH, MARCH, "Europe/Berlim", "day", "time_zone: unknown zone"),
        (MARCH, MARCH, "UTC", "hour", "basis: unknown 'hour'"),
    ],
)
def test_spans_that_cannot_be_prorated_are_refused(
    service: Period, period: Period, zone_name: str, basis: Any, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        proration(service, period, zone_name, basis)


def test_a_float_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a decimal"):
        prorate(149.0, ProrationUse(D(1), D(31)), EUR)  # type: ignore[arg-type]


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
moments = st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(moments, st.lists(st.floats(0, 1), max_size=6), ZONES, st.sampled_from(["day", "second"]))
def test_factors_of_adjacent_spans_add_up_to_that_of_the_whole(
    moment: datetime, cuts: list[float], time_zone: str, basis: Any
) -> None:
    period = Grid(moment, Interval(unit="month"), time_zone).period_of(moment)
    inner = sorted(period.start + cut * period.length for cut in cuts)
    bounds = [period.start, *inner, period.end]
    shares = [proration(Period(start, end), period, time_zone, basis) for start, end in pairwise(bounds)]
    assert sum(share.numerator for share in shares) == shares[0].denominator
    factors = [Fraction(int(share.numerator * 10**6), int(share.denominator * 10**6)) for share in shares]
    assert sum(factors) == 1


@given(st.integers(0, 10**9), st.integers(0, 366), st.integers(1, 366))
def test_a_prorated_amount_lies_between_nothing_and_all_of_it(units: int, served: int, all_days: int) -> None:
    amount = D(units).scaleb(-2)
    part = prorate(amount, ProrationUse(D(min(served, all_days)), D(all_days)), EUR)
    assert 0 <= part.amount <= amount
    assert abs(part.amount - part.exact) <= D("0.005")
