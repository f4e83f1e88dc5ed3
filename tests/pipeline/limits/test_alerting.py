"""Alerts: once per crossing, armed again when the figure is back, under a key that a rebuild comes to again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.limits.alerting import Watch, WatchState, over, step, steps, under
from pipeline.limits.forecast import forecast
from schemas.period import Period
from tests.builders import moment

AT = moment("2026-10-05 10:00")
WATCH = Watch("rule", "usage_threshold", "acme", ("s", "tokens", "2026-10", "100"))


def seen(figure: int, *, back: int | None = None) -> object:
    return over(
        WATCH, Decimal(figure), Decimal(100), back=None if back is None else Decimal(back), text="", evidence={}
    )


def told(figures: list[int], *, back: int | None = None) -> list[str]:
    """The keys of the alerts that a run of looks leads to."""
    states: dict[tuple[str, str], WatchState] = {}
    keys = []
    for figure in figures:
        for key, state, alert in list(steps(states, [seen(figure, back=back)], AT)):  # type: ignore[list-item]
            states[key] = state
            keys += [alert.key] if alert is not None else []
    return keys


def test_a_crossing_is_told_once_and_the_next_one_again_under_another_key() -> None:
    assert len(told([1, 99, 100, 150, 9999])) == 1
    both = told([100, 99, 100])
    assert len(set(both)) == 2
    assert told([150]) == told([1, 100, 101]) == both[:1]  # whatever was seen when


def test_a_figure_that_goes_to_and_fro_is_armed_again_only_far_enough_away() -> None:
    assert len(told([100, 97, 101, 96, 100], back=95)) == 1
    assert len(told([100, 94, 100], back=95)) == 2


def test_what_stays_above_is_told_when_it_falls_below() -> None:
    low = under(WATCH, Decimal(9), Decimal(10), text="", evidence={})
    well = under(WATCH, Decimal(10), Decimal(10), text="", evidence={})
    assert (low.is_beyond, well.is_beyond, well.is_back) == (True, False, False)
    assert under(WATCH, Decimal(11), Decimal(10), text="", evidence={}).is_back


@given(st.lists(st.integers(0, 200), max_size=60))
def test_there_are_as_many_alerts_as_crossings_and_no_key_twice(figures: list[int]) -> None:
    beyond = [False, *(figure >= 100 for figure in figures)]
    crossings = sum(after and not before for before, after in pairwise(beyond))
    keys = told(figures)
    assert len(keys) == len(set(keys)) == crossings


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(0, 40))
def test_a_worker_that_begins_anew_with_what_was_told_tells_nothing_twice(figures: list[int], place: int) -> None:
    states = {("rule", WATCH.what): WatchState()}
    keys: list[str] = []
    for number, figure in enumerate(figures):
        if number == place and keys:  # its notes are gone; the last record says that it was beyond
            states = {("rule", WATCH.what): WatchState(len(keys), is_beyond=True)}
        for key, state, alert in list(steps(states, [seen(figure)], AT)):  # type: ignore[list-item]
            states[key] = state
            keys += [alert.key] if alert is not None else []
    assert len(keys) == len(set(keys))


def test_a_look_between_the_thresholds_changes_nothing() -> None:
    state = WatchState(1, is_beyond=True)
    assert step(state, seen(97, back=95)) == (state, False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "expected"),
    [(3, "100"), (Decimal("2.9"), None), (15, "20"), (30, "10"), (45, "10")],
)
def test_a_forecast_carries_on_what_was_used_once_a_tenth_of_the_period_has_passed(
    days: Decimal, expected: str | None
) -> None:
    month = Period(moment("2026-11-01 00:00"), moment("2026-12-01 00:00"))
    found = forecast(Decimal(10), month, month.start + timedelta(days=float(days)))
    assert found == (None if expected is None else Decimal(expected))
