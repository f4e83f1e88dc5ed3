"""A position is read from the stretch of the log that it was stored from, whatever happened to the log since."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pipeline.proof.stretches import Stretch, parted, stretches
from schemas.epoch import Epoch


def epoch(number: int, base: int, shift: int) -> Epoch:
    return Epoch(
        partition=0, number=number, base=base, shift=shift, stored_to=base, missing="", actor="test", reason="a test",
        adopted_at=datetime(2026, 10, 1, tzinfo=UTC),
    )  # fmt: skip


def test_a_log_that_was_never_adopted_is_one_stretch() -> None:
    assert stretches([], 3, 10) == (Stretch(3, 10, 0),)
    assert stretches([], 3, 3) == ()


def test_a_log_that_lost_its_front_keeps_its_positions() -> None:
    assert stretches([epoch(1, 40, 0)], 40, 90) == (Stretch(40, 90, 0),)


def test_of_a_topic_that_was_made_again_only_the_new_positions_can_be_read() -> None:
    found = stretches([epoch(1, 100, 100)], 0, 30)
    assert found == (Stretch(100, 130, 100),)
    assert parted(found, 0, 120) == ([Stretch(100, 120, 100)], [(0, 100)])


def test_a_log_that_lost_its_end_keeps_old_positions_for_what_is_left_and_new_ones_for_what_came_since() -> None:
    # 100 were stored; the broker lost those from 50 on, and has given 50 to 69 out again: from position 100 on.
    found = stretches([epoch(1, 100, 50)], 0, 70)
    assert found == (Stretch(0, 50, 0), Stretch(100, 120, 50))
    assert parted(found, 10, 110) == ([Stretch(10, 50, 0), Stretch(100, 110, 50)], [(50, 100)])


def test_a_topic_made_again_after_it_lost_its_end_has_nothing_of_before() -> None:
    assert stretches([epoch(1, 100, 50), epoch(2, 120, 120)], 0, 5) == (Stretch(120, 125, 120),)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), max_size=5))
def test_every_offset_of_the_log_has_one_position_and_positions_ascend(losses: list[tuple[int, int, int]]) -> None:
    """Records are written, the end of the log is lost, and the log is adopted; again and again."""
    log: list[int] = []  # the position of each of the broker's offsets
    epochs: list[Epoch] = []
    shift = 0
    for number, (written, lost, more) in enumerate(losses, 1):
        ended = len(log) + shift + written
        log += range(ended - written, ended)
        del log[max(0, len(log) - lost) :]
        shift = ended + more - len(log)
        epochs.append(epoch(number, ended + more, shift))
    log += range(len(log) + shift, len(log) + shift + 7)
    found = stretches(epochs, 0, len(log))
    assert [position for part in found for position in range(part.first, part.next)] == log
    assert [position - part.shift for part in found for position in range(part.first, part.next)] == [*range(len(log))]
