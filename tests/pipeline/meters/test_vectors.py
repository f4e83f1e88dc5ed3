"""Vectors: a partition that one of them does not name is at 0 there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.meters.vectors import covers, cut, padded, vector_of

Ends = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=4)


def test_a_vector_covers_another_only_if_it_does_in_every_partition() -> None:
    assert covers((5, 7), (5, 7)) and covers((6, 7, 1), (5, 7))
    assert not covers((5,), (5, 1)) and not covers((9, 6), (5, 7))
    assert covers((), (0, 0)) and covers((), ())


def test_a_coverage_as_a_vector_has_a_place_for_every_partition() -> None:
    assert vector_of({2: 9}, 2) == [0, 0, 9]
    assert vector_of({0: 4}, 3) == [4, 0, 0]
    assert vector_of({}, 0) == []


def test_a_vector_is_padded_or_cut_to_a_width() -> None:
    assert padded((3, 4), 4) == [3, 4, 0, 0]
    assert padded((3, 4), 1) == [3]


def test_a_stretch_is_cut_below_one_offset_in_all_partitions() -> None:
    assert cut((), (10, 10), 8) == [4, 4]
    assert cut((4, 4), (10, 10), 100) == [10, 10]
    assert cut((0, 50), (10, 90), 20) == [10, 60]
    assert cut((7, 0), (9, 9), 6) == [7, 6]
    assert cut((3, 3), (5, 5), 1) == [4, 4], "one offset at least, and it is not cut"


@given(Ends, st.integers(1, 40))
def test_parts_of_a_stretch_lie_behind_each_other_in_the_order_of_offsets(
    ends: list[tuple[int, int]], most: int
) -> None:
    start, end = [min(pair) for pair in ends], [max(pair) for pair in ends]
    reached, last = start, -1
    while reached != end:
        to = cut(reached, end, most)
        taken = {offset for first, following in zip(reached, to, strict=True) for offset in range(first, following)}
        assert taken and (sum(to) - sum(reached) <= most or len(taken) == 1)
        assert min(taken) > last and covers(end, to)
        reached, last = to, max(taken)
