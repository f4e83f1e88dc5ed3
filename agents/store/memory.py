"""The ingestion tables in memory: a stand-in for tests that need thousands of stores, held to ClickHouse by a contract.

What collapses in ClickHouse collapses here, by the same keys: `tests/store/test_contract.py` does the same to both and
compares what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from struct import iter_unpack
from typing import Any

from agents.ledger import LedgerRow
from agents.store.usage import ALL_ONES, Encoded
from pipeline.intake.usage_block import CorrectionRow
from pipeline.limits.settling import Settlement
from schemas.dead_letter import DeadLetter

FIXED = {"UInt8": "<B", "UInt16": "<H", "UInt64": "<Q", "DateTime64(3, 'UTC')": "<q"}


class Memory:
    """Rows by their sorting keys; shared by every worker of a test, as a server would be."""

    def __init__(self) -> None:
        self.events: dict[tuple[Any, ...], tuple[int, bytes]] = {}
        """(type, subject, ts in ms, source, id, epoch, partition) -> offset and payload of the first record."""
        self.corrections: dict[tuple[Any, ...], CorrectionRow] = {}
        self.dead_letters: dict[tuple[str, int, int], DeadLetter] = {}
        self.ledger: dict[tuple[str, int, int, int], LedgerRow] = {}
        """(topic, partition, next_offset, first_offset) -> row."""


class MemoryUsageStore:
    """The writes of `UsageStore`, on a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def insert_encoded(self, blocks: Sequence[Encoded]) -> None:
        """Stores events that are ready to be sent; of copies in one partition the smallest offset stays."""
        for each in blocks:
            for row in rows_of(each.block):
                key = (
                    row["type"], row["subject"], row["ts"], row["source"], row["id"], row.get("k_epoch", 0),
                    row["k_partition"],
                )  # fmt: skip
                offset = ALL_ONES - int(row["inv_offset"])
                held = self._memory.events.get(key)
                if held is None or offset <= held[0]:
                    self._memory.events[key] = (offset, row["data"])

    def insert_settlements(self, settled: Sequence[Settlement]) -> None:
        """Nothing here asks for them."""

    def insert_corrections(self, corrections: Sequence[CorrectionRow]) -> None:
        """Stores corrections."""
        for row in corrections:
            found = row.correction
            self._memory.corrections[found.target_source, found.target_id, row.partition, row.offset] = row

    def insert_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Stores refused records."""
        self._memory.dead_letters.update({(each.topic, each.partition, each.offset): each for each in letters})


class MemoryLedger:
    """The table `ledger` of a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Stores rows."""
        for row in rows:
            self._memory.ledger[row.topic, row.partition, row.next_offset, row.first_offset] = row

    def ends(self, topic: str, partitions: Sequence[int]) -> dict[int, LedgerRow]:
        """The last row without a gap before it, per partition; partitions never stored begin at 0."""
        covered = self.coverage(topic)
        found = {
            row.partition: row
            for row in self._memory.ledger.values()
            if row.topic == topic and row.next_offset == covered[row.partition]
        }
        return {partition: found.get(partition, LedgerRow(topic, partition, 0, 0)) for partition in partitions}

    def coverage(self, topic: str) -> Mapping[int, int]:
        """Partition -> contiguous `next_offset`."""
        reached: dict[int, int] = {}
        broken: set[int] = set()
        for row in sorted(self._memory.ledger.values(), key=lambda each: (each.first_offset, each.next_offset)):
            if row.topic != topic or row.partition in broken:
                continue
            if row.partition in reached and row.first_offset > reached[row.partition]:
                broken.add(row.partition)
            else:
                reached[row.partition] = max(reached.get(row.partition, 0), row.next_offset)
        return reached


def rows_of(block: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a block in ClickHouse's Native format, of the column types that `encoded` sends."""
    reader = _Reader(block)
    columns, rows = reader.length(), reader.length()
    named = {}
    for _ in range(columns):
        name, kind = reader.text().decode(), reader.text().decode()
        named[name] = reader.column(kind, rows)
    for row in range(rows):
        yield {name: values[row] for name, values in named.items()}


class _Reader:
    def __init__(self, block: bytes) -> None:
        self._block, self._at = block, 0

    def length(self) -> int:
        value = shift = 0
        while True:
            byte = self._block[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self) -> bytes:
        size = self.length()
        self._at += size
        return self._block[self._at - size : self._at]

    def column(self, kind: str, rows: int) -> list[Any]:
        if kind == "String":
            return [self.text() for _ in range(rows)]
        size = {"B": 1, "H": 2, "Q": 8, "q": 8}[FIXED[kind][1]] * rows
        self._at += size
        return [value for (value,) in iter_unpack(FIXED[kind], self._block[self._at - size : self._at])]
