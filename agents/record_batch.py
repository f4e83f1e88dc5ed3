"""Consecutive records of one partition, as one value: what an agent of a batch topic receives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """The records of `[first_offset, next_offset)` of a partition, as columns.

    There may be fewer records than offsets: transaction markers, aborted and compacted records have an offset but no
    record. A batch without any record still moves coverage on.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]
    values: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.offsets)

    def since(self, offset: int) -> RecordBatch:
        """The part from an offset on; the batch itself if it begins there or later."""
        if offset <= self.first_offset:
            return self
        start = next((index for index, found in enumerate(self.offsets) if found >= offset), len(self.offsets))
        return RecordBatch(
            self.topic,
            self.partition,
            offset,
            self.next_offset,
            self.offsets[start:],
            self.timestamps[start:],
            self.keys[start:],
            self.headers[start:],
            self.values[start:],
        )

    def moved(self, by: int) -> RecordBatch:
        """The same records at later positions; the batch itself if `by` is 0."""
        if not by:
            return self
        return replace(
            self,
            first_offset=self.first_offset + by,
            next_offset=self.next_offset + by,
            offsets=[offset + by for offset in self.offsets],
        )


def empty_batch(topic: str, partition: int, first_offset: int, next_offset: int) -> RecordBatch:
    """Offsets that hold no record."""
    return RecordBatch(topic, partition, first_offset, next_offset, (), (), (), (), ())


def by_partition(batches: Sequence[RecordBatch]) -> Iterator[tuple[int, list[RecordBatch]]]:
    """The batches of each partition, in order of their offsets."""
    ordered = sorted(batches, key=lambda batch: (batch.partition, batch.first_offset))
    for partition, mine in groupby(ordered, key=lambda batch: batch.partition):
        yield partition, list(mine)
