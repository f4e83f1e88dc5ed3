"""design.md §2.4: which records of billing.ticks move billing time, and why the others do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar.clock import ClockRefusal, advance
from schemas.tick import Tick, Vector

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
VECTOR = Vector(ends={"usage.events": (5, 7)})


def tick(number: int, **given: Any) -> Tick:
    """A tick at noon of a wall clock that has seen five and seven records."""
    return Tick(**{"number": number, "time": NOON, "clock": "wall", "vector": VECTOR} | given)


def test_the_first_tick_has_number_one_and_each_next_one_follows() -> None:
    first, second = tick(1), tick(2)
    assert advance(None, first, NOON) is first
    assert advance(first, second, NOON) is second


def test_a_wall_clock_may_stand_still_and_may_be_late_but_not_ahead_of_the_broker() -> None:
    late = NOON + timedelta(days=3)
    assert advance(tick(1), tick(2), late) == tick(2)
    assert advance(tick(1), tick(2, time=late), late) == tick(2, time=late)
    said = advance(tick(1), tick(2, time=NOON + SECOND), NOON)
    assert said == ClockRefusal("2026-10-01T12:00:01+00:00 is ahead of the broker's time 2026-10-01T12:00:00+00:00")
    assert isinstance(advance(None, tick(1, time=NOON + SECOND), NOON), ClockRefusal)


def test_a_test_clock_owes_nothing_to_the_broker() -> None:
    beyond = tick(2, clock="test", time=NOON + timedelta(days=400))
    assert advance(tick(1, clock="test"), beyond, NOON) is beyond


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (tick(1), "tick 1 is there already: the first record of a number wins"),
        (tick(3), "tick 3 does not follow tick 1"),
        (tick(2, clock="test"), "the clock is wall, fixed by the first tick"),
        (tick(2, time=NOON - SECOND), "time goes back from 2026-10-01T12:00:00+00:00 to 2026-10-01T11:59:59+00:00"),
        (tick(2, vector=Vector(ends={"usage.events": (5, 6)})), "the vector goes back"),
    ],
)
def test_a_tick_that_does_not_move_billing_time_on_is_refused_with_the_reason(second: Tick, said: str) -> None:
    assert advance(tick(1), second, NOON) == ClockRefusal(said)


def test_the_first_record_of_another_number_begins_nothing() -> None:
    assert advance(None, tick(2), NOON) == ClockRefusal("the first tick has number 1, not 2")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 3), st.sampled_from(["wall", "test"])), max_size=30))
def test_whatever_is_appended_numbers_ascend_by_one_and_time_never_goes_back(
    records: list[tuple[int, int, str]],
) -> None:
    taken: list[Tick] = []
    for number, seconds, clock in records:
        offered = tick(number + 1, time=NOON + seconds * SECOND, clock=clock)
        outcome = advance(taken[-1] if taken else None, offered, NOON + 2 * SECOND)
        if isinstance(outcome, Tick):
            taken.append(outcome)
    assert [one.number for one in taken] == list(range(1, len(taken) + 1))
    assert [one.time for one in taken] == sorted(one.time for one in taken)
    assert len({one.clock for one in taken}) <= 1
