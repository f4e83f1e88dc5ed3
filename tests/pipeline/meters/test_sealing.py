"""Which panes are sealed when: once they ended, again after a correction, and after late events once it is worth it."""

from __future__ import annotations

from datetime import UTC, date, datetime

from pipeline.meters.sealing import LedgerRange, Pending, chunks, ended_panes, followed, named_days

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
PANE = int(NOON.timestamp()) // 300


def test_a_coverage_follows_the_ranges_that_join_it_and_stops_at_a_gap() -> None:
    ranges = [
        LedgerRange(0, 10, 15, [1]),
        LedgerRange(0, 12, 20, [2]),
        LedgerRange(1, 5, 6, [3]),
        LedgerRange(1, 9, 12, [4]),
    ]
    assert followed([10, 5], ranges) == ([20, 6], {1, 2, 3})
    assert followed([20, 6], [LedgerRange(1, 6, 9, [5]), ranges[-1]]) == ([20, 12], {4, 5})


def test_days_are_named_as_far_as_any_range_that_touches_them_goes() -> None:
    noon, midnight = PANE, PANE + 144
    ranges = [LedgerRange(0, 0, 15, [noon, midnight]), LedgerRange(0, 15, 20, [noon]), LedgerRange(1, 0, 7, [midnight])]
    first, second = date(2026, 10, 5), date(2026, 10, 6)
    assert named_days({(first, 0): 3, (first, 2): 9}, ranges) == {
        (first, 0): 20, (second, 0): 15, (second, 1): 7, (first, 2): 9,
    }  # fmt: skip


def test_a_partition_of_which_nothing_is_stored_begins_with_its_first_range() -> None:
    assert followed([7], [LedgerRange(2, 40, 44, [1]), LedgerRange(2, 50, 51, [2])]) == ([7, 0, 44], {1})


def test_law_a_coverage_that_is_followed_in_steps_is_that_of_all_ranges() -> None:
    ranges = [LedgerRange(0, start, start + 3, [start]) for start in range(0, 30, 2)]
    covered, panes = [1], set[int]()
    for step in range(0, len(ranges), 4):
        covered, touched = followed(covered, ranges[step : step + 4])
        panes |= touched
    assert (covered, panes) == followed([1], ranges)


def test_a_pane_has_ended_when_the_tick_is_at_its_end() -> None:
    assert ended_panes((PANE, PANE - 1, PANE - 2), NOON) == (PANE - 2, PANE - 1)


def test_runs_of_panes_are_complete_and_bounded() -> None:
    assert list(chunks(range(5), 2)) == [range(2), range(2, 4), range(4, 5)]


def test_corrections_do_not_wait_and_late_events_do_until_as_many_are_new_as_their_panes_hold() -> None:
    pending = Pending(sealed=100)
    pending.add({1: False, 2: True, 3: True}, [1_000_000], corrected=[4])
    pending.mend()  # two panes of a hundred hold 20,000 of a million events: all of them are new
    assert (pending.first, pending.again, pending.late) == ({1}, {2, 3, 4}, set())
    pending.done([2, 3, 4])
    pending.add({2: True, 3: True}, [1_010_000], corrected=())
    pending.mend()
    assert (pending.again, pending.late) == (set(), {2, 3})
    pending.add({}, [1_020_000], corrected=())
    pending.mend()
    assert (pending.again, pending.late) == ({2, 3}, set())


def test_late_events_of_small_panes_do_not_wait() -> None:
    pending = Pending(sealed=100, mended_at=400_000)
    pending.add({2: True}, [400_001], corrected=())
    pending.mend()
    assert pending.again == {2}


def test_what_was_sealed_waits_no_more_wherever_it_waited() -> None:
    pending = Pending()
    pending.add({1: False, 2: True}, [10], corrected=[2])
    pending.done([1, 2])
    assert (pending.first, pending.again, pending.late, pending.sealed) == (set(), set(), set(), 1)
