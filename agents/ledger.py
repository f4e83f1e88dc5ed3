"""The ledger: how far each partition of each input log is stored. Every delivery resumes where it ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.record_batch import RecordBatch, by_partition
from agents.store.connection import Connection, query_text


class LedgerBroken(Exception):
    """A range does not continue the ledger of its partition."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One stored range of a partition; counts are cumulative from the start of the log."""

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    events: int = 0
    corrections: int = 0
    dead_letters: int = 0
    controls: int = 0
    panes: tuple[int, ...] = field(default=())
    last_hash: int = 0
    appended_at_ms: int = 0

    def follow(
        self, batches: Sequence[RecordBatch], *, events: int, corrections: int, dead_letters: int, panes: set[int]
    ) -> LedgerRow:
        """The row behind `batches`, which continue this one; every offset is one of the four counts.

        Raises LedgerBroken if they do not continue it: their counts would be added to the wrong prefix.
        """
        first, last = batches[0], batches[-1]
        if first.first_offset != self.next_offset:
            raise LedgerBroken(
                f"{self.topic}/{self.partition}: {first.first_offset} does not follow {self.next_offset}"
            )
        records = sum(len(batch) for batch in batches)
        newest = next((batch for batch in reversed(batches) if len(batch)), None)
        return replace(
            self,
            first_offset=first.first_offset,
            next_offset=last.next_offset,
            events=self.events + events,
            corrections=self.corrections + corrections,
            dead_letters=self.dead_letters + dead_letters,
            controls=self.controls + (last.next_offset - first.first_offset) - records,
            panes=tuple(sorted(panes)),
            last_hash=self.last_hash if newest is None else record_hash(newest.keys[-1], newest.values[-1]),
            appended_at_ms=self.appended_at_ms if newest is None else newest.timestamps[-1],
        )


def record_hash(key: bytes | None, value: bytes | None) -> int:
    """64 bits that tell one record from another at the same position."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(b"\0" if key is None else b"\1" + len(key).to_bytes(4, "big") + key)
    digest.update(b"\0" if value is None else b"\1" + value)
    return int.from_bytes(digest.digest(), "big")


class Ledger:
    """The table `ledger` on ClickHouse."""

    COLUMNS = ("topic", "k_partition", "first_offset", "next_offset", "events", "corrections", "dead_letters",
               "controls", "panes", "last_hash", "appended_at")  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Stores rows; after everything that they stand for is stored."""
        self._db.insert("ledger", self.COLUMNS, [
            (row.topic, row.partition, row.first_offset, row.next_offset, row.events, row.corrections,
             row.dead_letters, row.controls, list(row.panes), row.last_hash, row.appended_at_ms)
            for row in rows
        ])  # fmt: skip

    def ends(self, topic: str, partitions: Sequence[int]) -> dict[int, LedgerRow]:
        """The last row without a gap before it, per partition; partitions never stored begin at 0."""
        covered = self.coverage(topic)
        rows = self._db.tuples(
            "SELECT k_partition, any(first_offset), next_offset, any(events), any(corrections), any(dead_letters), "
            "any(controls), any(last_hash), toUnixTimestamp64Milli(any(appended_at)) "
            "FROM ledger FINAL WHERE topic = {topic:String} AND (k_partition, next_offset) IN "
            "(SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {ends:Array(UInt64)}))) "
            "GROUP BY k_partition, next_offset",
            {"topic": topic, "partitions": list(covered), "ends": list(covered.values())},
        )
        found = {
            row[0]: LedgerRow(topic, row[0], row[1], row[2], row[3], row[4], row[5], row[6], (), row[7], row[8])
            for row in rows
        }
        return {partition: found.get(partition, LedgerRow(topic, partition, 0, 0)) for partition in partitions}

    def marks(self, topic: str, partition: int, limit: int) -> list[tuple[int, int]]:
        """`next_offset` and hash of the last record of rows of a partition, the newest first."""
        return [(row[0], row[1]) for row in self._db.tuples(
            "SELECT next_offset, any(last_hash) FROM ledger FINAL WHERE topic = {topic:String} "
            "AND k_partition = {partition:UInt16} AND last_hash != 0 GROUP BY next_offset ORDER BY next_offset DESC "
            "LIMIT {limit:UInt32}",
            {"topic": topic, "partition": partition, "limit": limit},
        )]  # fmt: skip

    def coverage(self, topic: str) -> Mapping[int, int]:
        """Partition -> contiguous `next_offset`."""
        return dict(self._db.tuples(query_text("coverage"), {"topic": topic}))


class LedgerKeeper:
    """The ledger of one log whose records all count as events: resumes a delivery and moves on with it."""

    def __init__(self, ledger: Ledger, topic: str) -> None:
        self._ledger, self._topic = ledger, topic
        self._ends: dict[int, LedgerRow] = {}

    async def resume(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where the ledger ends, for partitions that were just assigned."""
        self._ends = await asyncio.to_thread(self._ledger.ends, self._topic, partitions)
        return {partition: row.next_offset for partition, row in self._ends.items()}

    async def record(self, batches: Sequence[RecordBatch]) -> None:
        """Notes that batches are stored, published and done with."""
        rows = []
        for partition, mine in by_partition(batches):
            count = sum(len(batch) for batch in mine)
            rows.append(self._ends[partition].follow(mine, events=count, corrections=0, dead_letters=0, panes=set()))
        await asyncio.to_thread(self._ledger.append, rows)
        self._ends.update({row.partition: row for row in rows})
