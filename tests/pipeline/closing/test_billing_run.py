"""rating.md §5, "Billing run": line = owed now less all lines issued; rating.md §0.5 and §0.6 as laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar.periods import Grid
from pipeline.closing.billing_run import Charge, RunLine, billing_run
from schemas.period import Period
from schemas.plan import Interval, RateCard
from tests.pipeline.rate_cards import EUR, MARCH, D, card, day, fee

MONTHS = Grid(day(1, 1), Interval(unit="month"), "UTC")
APRIL = Period(day(1, 4), day(1, 5))


def charge(rated: RateCard, starts_at: datetime = MARCH.start, **keys: Any) -> Charge:
    return Charge("c", rated, MONTHS, EUR, starts_at, **keys)


def run(charges: Charge | Sequence[Charge], date: datetime, issued: Sequence[RunLine] = ()) -> list[tuple[str, str]]:
    """(first day and day after the last of the span, amount) of each line."""
    lines = billing_run([charges] if isinstance(charges, Charge) else charges, issued, date)
    return [(f"{line.service.start:%d.%m}-{line.service.end:%d.%m}", str(line.amount)) for line in issued_by(lines)]


def issued_by(lines: Any) -> list[RunLine]:
    return [*lines.debits, *lines.credits]


PLATFORM = fee("49.00", timing="advance")


def test_an_advance_fee_is_due_when_its_period_starts_and_a_second_run_emits_nothing() -> None:
    assert run(charge(PLATFORM), day(28, 2)) == []
    first = billing_run([charge(PLATFORM)], (), day(1))
    assert run(charge(PLATFORM), day(1)) == [("01.03-01.04", "49.00")]
    assert run(charge(PLATFORM), day(31), issued_by(first)) == []
    assert run(charge(PLATFORM), day(1, 4), issued_by(first)) == [("01.04-01.05", "49.00")]


def test_a_missed_run_is_caught_up_by_the_next_with_a_line_per_period() -> None:
    started = charge(PLATFORM, day(20))
    assert run(started, day(1, 5)) == [("20.03-01.04", "18.97"), ("01.04-01.05", "49.00"), ("01.05-01.06", "49.00")]


def test_usage_is_billed_in_arrears_with_its_prorated_minimum() -> None:
    used = charge(card(unit_price="1", modifiers={"minimum": "31"}), day(21), usage={MARCH: D(5)})
    assert run(used, day(31)) == []
    assert run(used, day(1, 4)) == [("21.03-01.04", "11.00")]


def test_one_time_fees_are_due_in_full_from_their_start_and_once() -> None:
    setup = charge(fee("100.00", one_time=True), day(20))
    assert run(setup, day(19)) == []
    assert run(setup, day(20)) == [("20.03-01.04", "100.00")]
    issued = issued_by(billing_run([setup], (), day(20)))
    assert run(setup, day(1, 9), issued) == []


def test_one_run_collects_charges_of_every_interval_as_in_section_5() -> None:
    quarters = Grid(day(1, 1), Interval(unit="quarter"), "UTC")
    usage = Charge("usage", card(unit_price="1"), MONTHS, EUR, day(1, 1), usage={MARCH: D(7)})
    arrears = Charge("support", fee("90.00"), quarters, EUR, day(1, 1))
    advance = replace(charge(PLATFORM, day(1, 4)), id="platform")
    found = billing_run([usage, arrears, advance], (), day(1, 4))
    assert [(line.charge, line.amount) for line in found.debits] == [("usage", 7), ("support", 90), ("platform", 49)]


def test_an_earlier_end_gives_back_the_rest_as_a_credit_that_names_its_span() -> None:
    issued = issued_by(billing_run([charge(PLATFORM)], (), day(1)))
    assert run(charge(PLATFORM, ends_at=day(11)), day(11), issued) == [("11.03-01.04", "-33.19")]


@pytest.mark.parametrize("ends_at", [MARCH.start, day(20, 2)])
def test_an_end_at_or_before_the_start_gives_everything_back(ends_at: datetime) -> None:
    issued = issued_by(billing_run([charge(PLATFORM)], (), day(1)))
    assert run(charge(PLATFORM, ends_at=ends_at), day(11), issued) == [("01.03-01.04", "-49.00")]
    assert run(charge(PLATFORM, ends_at=ends_at), day(11)) == []


def test_a_period_wholly_after_the_new_end_is_given_back() -> None:
    two = issued_by(billing_run([charge(PLATFORM)], (), day(1, 4)))
    assert run(charge(PLATFORM, ends_at=day(1, 4)), day(2, 4), two) == [("01.04-01.05", "-49.00")]


def test_without_proration_a_period_that_has_begun_is_owed_in_full() -> None:
    in_full = charge(fee("49.00", timing="advance", proration=False), ends_at=day(11))
    assert run(in_full, day(1)) == [("01.03-11.03", "49.00")]


def test_a_trial_shifts_the_start_of_service_and_not_the_grid() -> None:
    tried = charge(PLATFORM, trial_ends_at=day(15))
    assert run(tried, day(14)) == []
    assert run(tried, day(15)) == [("15.03-01.04", "26.87")]


def test_a_trial_that_ends_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="trial_ends_at: must not be before starts_at"):
        charge(PLATFORM, trial_ends_at=day(28, 2))


def test_a_pause_is_a_gap_in_service_on_the_same_grid() -> None:
    paused = charge(fee("31.00"), pauses=(Period(day(11), day(21)),))
    assert run(paused, day(1, 4)) == [("01.03-01.04", "21.00")]


def test_debits_come_before_credits_each_in_order_of_charges() -> None:
    ended = charge(PLATFORM, ends_at=day(11))
    issued = issued_by(billing_run([charge(PLATFORM)], (), day(1)))
    new = Charge("new", fee("62.00", timing="advance"), MONTHS, EUR, day(11))
    found = billing_run([ended, new], issued, day(11))
    assert [line.amount for line in issued_by(found)] == [D("42.00"), D("-33.19")]
    assert found.net == D("8.81")


def test_late_usage_is_billed_as_the_difference_of_the_period_it_belongs_to() -> None:
    def at(quantity: int) -> Charge:
        return charge(card(unit_price="0.125"), usage={MARCH: D(quantity)})

    issued = issued_by(billing_run([at(5)], (), day(1, 4)))
    assert run(at(9), day(1, 5), issued) == [("01.03-01.04", "0.50")]
    assert run(at(4), day(1, 5), issued) == [("01.03-01.04", "-0.13")]


CARDS = [
    PLATFORM,
    fee("49.99"),
    fee("100.00", one_time=True),
    card(unit_price="0.125"),
    card(unit_price="0.125", modifiers={"minimum": "20", "maximum": "90", "percentage_discount": "7"}),
    card(unit_price="0.08", modifiers={"commitment": {"amount": "31", "overage_factor": "1.5"}}),
    card("volume", tiers=[{"up_to": "100", "unit_price": "0.5"}, {"unit_price": "0.1"}]),
]


@given(
    st.sampled_from(CARDS),
    st.integers(0, 60),
    st.none() | st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 40), st.integers(-50, 200)), min_size=1, max_size=6),
)
def test_billed_is_rated_over_successive_runs(
    rated: RateCard, start: int, end: int | None, runs: list[tuple[int, int]]
) -> None:
    """Whatever was billed before, after each run all lines of a period add up to what one run alone would bill."""
    issued: list[RunLine] = []
    starts_at = day(1, 2) + timedelta(days=start)
    ends_at = None if end is None else day(1, 2) + timedelta(days=end)
    steps = list(accumulate(ahead for ahead, _ in runs))
    for ahead, (_, quantity) in zip(steps, runs, strict=True):
        at = day(1, 3) + timedelta(days=ahead)
        known = ends_at if ends_at is not None and ends_at <= at else None
        usage = {} if rated.meter is None else {MARCH: D(quantity), APRIL: D(quantity) / 8}
        now = Charge("c", rated, MONTHS, EUR, starts_at, known, usage=usage)
        lines = billing_run([now], issued, at)
        issued += issued_by(lines)
        alone = billing_run([now], (), at)
        for period in {line.period for line in issued}:
            billed = sum(line.amount for line in issued if line.period == period)
            assert billed == sum(line.amount for line in issued_by(alone) if line.period == period)
        assert issued_by(billing_run([now], issued, at)) == []
