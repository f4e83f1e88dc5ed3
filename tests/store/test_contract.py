"""The contract of the ingestion tables: the stand-in in memory and ClickHouse keep the same rows of the same writes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from agents.ledger import Ledger, LedgerRow
from agents.record_batch import RecordBatch
from agents.store.connection import Connection
from agents.store.memory import Memory, MemoryLedger, MemoryUsageStore
from agents.store.usage import UsageStore, encoded
from agents.topics import USAGE_EVENTS
from pipeline.intake.usage_block import UsageBlock, judge
from tests.builders import event, replacement, retraction

pytestmark = pytest.mark.services

WRITES = 40
BROKER_MS = 1_793_701_000_000
EVENTS = """
SELECT type, subject, toUnixTimestamp64Milli(ts), source, id, k_epoch, k_partition, bitNot(inv_offset), data
FROM events FINAL
"""


def records(rnd: random.Random) -> Sequence[bytes]:
    """Events that share identities, subjects and days; corrections; broken records."""
    kinds = (
        lambda: event(rnd.choice("ab"), f"2026-10-0{rnd.randint(1, 3)} 10:00", {"n": rnd.randrange(3)},
                      id=f"e{rnd.randrange(4)}"),
        lambda: event("a", f"20{rnd.randint(10, 60)}-01-01 00:00", {"ü": "x" * rnd.choice((0, 200, 5000))}),
        lambda: retraction("/test", f"e{rnd.randrange(4)}"),
        lambda: replacement("/test", f"e{rnd.randrange(4)}", event("a", "2026-10-02 11:00", {"n": 9})),
        lambda: (b"a", rnd.choice((b"{broken", b"", b"\xff"))),
    )  # fmt: skip
    return [rnd.choice(kinds)()[1] for _ in range(rnd.randint(1, 8))]


def block_of(rnd: random.Random) -> UsageBlock:
    """The verdicts on a batch somewhere in the log: batches overlap, contradict each other and leave gaps."""
    values, first = records(rnd), rnd.randrange(20)
    count = len(values)
    offsets = list(range(first, first + count))
    batch = RecordBatch("t", rnd.randrange(3), first, first + count, offsets, [BROKER_MS] * count, [b"a"] * count,
                        [()] * count, values)  # fmt: skip
    return judge(USAGE_EVENTS, [batch], wall_clock=False)


def ledger_row(rnd: random.Random) -> LedgerRow:
    """A function of its range, as it is in life: rows with one end agree."""
    first = rnd.randrange(0, 30)
    end = first + rnd.randint(1, 12)
    return LedgerRow(USAGE_EVENTS, rnd.randrange(3), first, end, end * 2, end, 1, 0, (end, end + 1), end * 7, BROKER_MS)


def comparable(row: LedgerRow) -> tuple[Any, ...]:
    """What the ledger gives back of a row whose end may be reached from several beginnings."""
    return (row.next_offset, row.events, row.corrections, row.dead_letters, row.controls, row.last_hash)


async def test_what_is_written_in_any_order_and_however_often_is_kept_alike(connection: Connection) -> None:
    memory, rnd = Memory(), random.Random(11)
    stores: tuple[tuple[Any, Any], ...] = (
        (UsageStore(connection), Ledger(connection)), (MemoryUsageStore(memory), MemoryLedger(memory)),
    )  # fmt: skip
    for _ in range(WRITES):
        block, rows = block_of(rnd), [ledger_row(rnd) for _ in range(rnd.randint(0, 2))]
        for usage, ledger in stores:
            for _ in range(rnd.choice((1, 1, 2)) if usage is stores[0][0] else 1):
                usage.insert_encoded(encoded(block.events))
                usage.insert_corrections(block.corrections)
                usage.insert_dead_letters(block.dead_letters)
                ledger.append(rows)
        found, wanted = (ledger.ends(USAGE_EVENTS, range(4)) for _, ledger in stores)
        assert {p: comparable(row) for p, row in found.items()} == {p: comparable(row) for p, row in wanted.items()}
        found, wanted = (ledger.coverage(USAGE_EVENTS) for _, ledger in stores)
        assert found == wanted
    _same_rows(connection, memory)


def _same_rows(connection: Connection, memory: Memory) -> None:
    stored = {tuple(row[:7]): (row[7], row[8]) for row in connection.tuples(EVENTS)}
    texts = {(kind.decode(), subject.decode(), ts, source.decode(), id.decode(), epoch, partition): (o, data.decode())
             for (kind, subject, ts, source, id, epoch, partition), (o, data) in memory.events.items()}  # fmt: skip
    assert len(texts) > 40
    assert {key: offset for key, (offset, _) in stored.items()} == {key: offset for key, (offset, _) in texts.items()}
    sql = "SELECT target_source, target_id, k_partition, k_offset FROM corrections FINAL"
    assert set(connection.tuples(sql)) == set(memory.corrections)
    sql = "SELECT topic, k_partition, k_offset FROM dead_letters FINAL"
    assert set(connection.tuples(sql)) == set(memory.dead_letters)
    assert len(memory.corrections) > 10 and len(memory.dead_letters) > 10


async def test_a_hundred_thousand_ids_are_one_question(connection: Connection) -> None:
    ids = [f"00000000-0000-5000-8000-{number:012}" for number in range(100_000)]
    assert connection.tuples("SELECT uniqExact(arrayJoin({ids:Array(UUID)}))", {"ids": ids}) == [(100_000,)]
