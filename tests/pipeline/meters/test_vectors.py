"""Vectors: a partition that one of them does not name is at 0 there."""

from __future__ import annotations

from pipeline.meters.vectors import covers, padded, vector_of


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
