"""Vectors: for each partition the position below which something holds; a partition that is not named is at 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def vector_of(coverage: Mapping[int, int], partitions: int) -> list[int]:
    """Coverage as a vector: an entry for every partition, 0 for one of which nothing is stored."""
    width = max([partitions, *(partition + 1 for partition in coverage)])
    return [coverage.get(partition, 0) for partition in range(width)]


def padded(vector: Sequence[int], width: int) -> list[int]:
    """A vector with exactly `width` entries: partitions that came later are at 0, further ones are left out."""
    return [*vector[:width], *(0 for _ in range(width - len(vector)))]


def covers(vector: Sequence[int], other: Sequence[int]) -> bool:
    """Whether everything below `other` lies below `vector`."""
    return all(mine >= its for mine, its in zip(padded(vector, len(other)), other, strict=True))


def cut(start: Sequence[int], end: Sequence[int], most: int) -> list[int]:
    """The furthest vector between two with at most so many positions from `start`: below one offset in all partitions.

    `end` must lie beyond `start`. At least one offset is taken, whatever `most` says. Of an end that is cut again and
    again, each part lies behind all before it in the order of offsets.
    """
    start = padded(start, len(end))
    # Below `low` are at most so many; below `high` there are more, or everything.
    low = min(first for first, last in zip(start, end, strict=True) if first < last)
    low, high = low + 1, max(end)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(_below(start, end, middle)) - sum(start) <= most else (low, middle - 1)
    return _below(start, end, low)


def _below(start: Sequence[int], end: Sequence[int], offset: int) -> list[int]:
    return [min(max(offset, first), last) for first, last in zip(start, end, strict=True)]
