"""A partition stands still if records wait, nothing is in the way, and nothing moves for a minute; else it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.intake.standstill import Freshness, Look, Standstills

A = ("usage.events", 0)


def look(at_s: float, end: int, stored: int, in_the_way: str = "") -> Look:
    return Look(at_s, {A: end}, {A: stored}, in_the_way)


@pytest.mark.parametrize(
    ("looks", "for_s"),
    [
        ((look(0, 5, 5), look(60, 5, 5)), None),
        ((look(0, 6, 5), look(59.9, 6, 5)), None),
        ((look(0, 6, 5), look(60, 6, 5)), 60),
        ((look(0, 6, 5), look(30, 9, 5), look(90, 12, 5)), 90),
        ((look(0, 9, 5), look(30, 9, 6), look(60, 9, 6)), None),
        ((look(0, 9, 5), look(30, 9, 6), look(90, 9, 6)), 60),
        ((look(0, 9, 5), look(30, 9, 5, "ClickHouse is away"), look(60, 9, 5)), None),
        ((look(0, 9, 5), look(1_800, 9, 5, "Kafka is away")), None),
        ((look(0, 9, 5), look(30, 9, 9), look(60, 10, 9)), None),
    ],
)
def test_what_stands_still_and_what_does_not(looks: tuple[Look, ...], for_s: float | None) -> None:
    standstills = Standstills(60)
    found = [standstills.look(each) for each in looks]
    assert found[-1] == ({} if for_s is None else {A: for_s})
    assert not any(found[:-1])


def test_a_partition_that_went_to_another_worker_and_came_back_begins_anew() -> None:
    standstills = Standstills(60)
    for at_s in (0, 50):
        standstills.look(look(at_s, 6, 5))
    standstills.look(Look(55, {A: 6}, {}))
    assert not standstills.look(look(70, 6, 5))


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30))
def test_nothing_stands_still_that_moved_or_was_hindered_within_the_last_minute(steps: list[tuple[int, bool]]) -> None:
    standstills, at_s, free_since = Standstills(60), 0.0, 0.0
    for wait_s, hindered in steps:
        at_s += wait_s
        free_since = at_s if hindered else free_since
        found = standstills.look(look(at_s, 6, 5, "away" if hindered else ""))
        assert not found or at_s - free_since >= 60


def test_freshness_is_bounded_by_the_newest_that_is_stored_and_by_the_last_moment_at_which_nothing_waited() -> None:
    freshness = Freshness()
    assert freshness.look(look(0, 9, 5), {A: 7_200.0}) == {A: 7_200}  # a backlog, found at start
    assert freshness.look(look(5, 9, 9), {A: 1.0}) == {A: 0}
    assert freshness.look(look(3_605, 10, 9), {A: 3_601.0}) == {A: 3_600}  # idle for an hour, then one
    assert freshness.look(look(3_610, 12, 10), {A: 2.0}) == {A: 2}
