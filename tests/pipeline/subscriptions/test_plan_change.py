"""rating.md §5, "Changes in mid-period"."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar.proration import prorate, proration
from pipeline.subscriptions.plan_change import change_fees, credit_cap
from schemas.period import Period
from tests.pipeline.rate_cards import EUR, MARCH, D, day


def test_7_to_59_with_14_of_31_days_left_is_the_example_of_section_5() -> None:
    lines = change_fees({"old": D("7.00")}, {"new": D("59.00")}, {}, MARCH, day(18), "UTC", EUR)
    assert (lines.credits, lines.charges) == ({"old": D("3.16")}, {"new": D("26.65")})
    assert lines.net == D("23.49")


def test_one_time_fees_are_charged_in_full_and_charges_missing_from_the_new_plan_are_credited() -> None:
    lines = change_fees({"a": D("31"), "b": D("62")}, {"a": D("93")}, {"setup": D("10")}, MARCH, day(21), "UTC", EUR)
    assert lines.credits == {"a": D("11.00"), "b": D("22.00")}
    assert lines.charges == {"a": D("33.00"), "setup": D("10.00")}


def test_on_a_boundary_nothing_is_credited_and_the_new_period_is_due_in_full() -> None:
    lines = change_fees({"old": D("7.00")}, {"new": D("59.00")}, {}, MARCH, MARCH.end, "UTC", EUR)
    assert (lines.credits, lines.charges) == ({}, {"new": D("59.00")})


def test_at_the_start_instant_everything_is_credited() -> None:
    lines = change_fees({"old": D("7.00")}, {"new": D("59.00")}, {}, MARCH, MARCH.start, "UTC", EUR)
    assert (lines.credits, lines.charges) == ({"old": D("7.00")}, {"new": D("59.00")})


@pytest.mark.parametrize("instant", [day(28, 2), day(2, 4)])
def test_a_change_outside_the_period_is_refused(instant: datetime) -> None:
    with pytest.raises(ValueError, match=r"instant: .* must lie within the period"):
        change_fees({}, {}, {}, MARCH, instant, "UTC", EUR)


@pytest.mark.parametrize(
    ("candidate", "billed", "credited", "given_back"),
    [
        ("22.40", "80.00", "65.00", "15.00"),
        ("15.00", "80.00", "65.00", "15.00"),
        ("14.99", "80.00", "65.00", "14.99"),
        ("5.00", "80.00", "80.00", "0"),
        ("-3.00", "80.00", "0", "0"),
    ],
)
def test_a_credit_never_exceeds_what_is_left_as_in_section_5(
    candidate: str, billed: str, credited: str, given_back: str
) -> None:
    assert credit_cap(D(candidate), billed=D(billed), credited=D(credited)) == D(given_back)


@given(st.integers(0, 10**8), st.integers(1, 31))
def test_what_is_kept_after_a_change_is_the_rating_of_the_served_span(units: int, number: int) -> None:
    amount = D(units).scaleb(-2)
    lines = change_fees({"old": amount}, {}, {}, MARCH, day(number), "UTC", EUR)
    served = proration(Period(MARCH.start, day(number)), MARCH, "UTC")
    assert amount - lines.credits.get("old", D(0)) == prorate(amount, served, EUR).amount
