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
