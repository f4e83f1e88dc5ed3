"""Whatever the order of writes, deaths and awakenings: the tables are a function of the log."""

from __future__ import annotations

import asyncio
import random

import pytest

from agents.record_batch import RecordBatch
from agents.store.memory import Memory
from tests.agents.interleavings import PARTITION, TOPIC, in_turns, play, rows_below
from tests.builders import event, retraction

INTERLEAVINGS = 10_000
RECORDS = 10


def made(seed: int) -> tuple[RecordBatch, list[str]]:
    """A log, and what each of its records is. Events share a few identities; some offsets hold no record."""
    rnd = random.Random(seed)
    offsets, values, kinds, next_offset = [], [], [], 0
    for _ in range(RECORDS):
        next_offset += rnd.choice((0, 0, 0, 1))  # a transaction marker
        kind = rnd.choice(("event", "event", "event", "correction", "broken"))
        record = {
            "event": event("a", "2026-10-05 10:00", {"n": next_offset}, id=f"e{rnd.randrange(5)}"),
            "correction": retraction("/test", f"e{rnd.randrange(5)}", "a"),
            "broken": (b"a", b"{broken"),
        }[kind]
        offsets.append(next_offset)
        values.append(record[1])
        kinds.append(kind)
        next_offset += 1
    count = len(offsets)
    return (
        RecordBatch(TOPIC, PARTITION, 0, next_offset, offsets, [1_793_701_000_000] * count, [b"a"] * count,
                    [()] * count, values),
        kinds,
    )  # fmt: skip


LOGS = [made(seed) for seed in range(20)]


def check(memory: Memory, log: RecordBatch, kinds: list[str]) -> None:
    """Nothing lost, nothing doubled, first record wins, and every ledger row counts its prefix."""
    first: dict[bytes, int] = {}
    for offset, value, kind in zip(log.offsets, log.values, kinds, strict=True):
        if kind == "event":
            identity = (value or b"").split(b'"id":"')[1].split(b'"')[0]
            first.setdefault(identity, offset)
    assert {key[4]: row[0] for key, row in memory.events.items()} == first
    at = {kind: [o for o, k in zip(log.offsets, kinds, strict=True) if k == kind] for kind in ("correction", "broken")}
    assert sorted(key[3] for key in memory.corrections) == at["correction"]
    assert sorted(key[2] for key in memory.dead_letters) == at["broken"]
    reached = 0
    for row in sorted(memory.ledger.values(), key=lambda each: (each.first_offset, each.next_offset)):
        assert row.first_offset <= reached, f"[{reached}, {row.first_offset}) is in no row"
        counts = (row.events, row.corrections, row.dead_letters, row.controls)
        assert counts == rows_below(log, row.next_offset, kinds)
        reached = max(reached, row.next_offset)
    assert reached == log.next_offset


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the store is two turns instead of a thread."""
    monkeypatch.setattr(asyncio, "to_thread", in_turns)


async def test_ten_thousand_interleavings_of_the_cycle_end_in_the_same_tables(without_threads: None) -> None:
    for seed in range(INTERLEAVINGS):
        log, kinds = LOGS[seed % len(LOGS)]
        memory = await play(seed, log)
        try:
            check(memory, log, kinds)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("broken", ["a ledger row before its events", "an offset that counts twice"])
async def test_a_cycle_with_a_mistake_is_found(
    without_threads: None, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    from agents.ingester import Ingester
    from agents.ledger import LedgerRow

    if broken == "a ledger row before its events":
        store = Ingester.store

        async def reversed_cycle(self: Ingester, ready: object) -> None:
            await store(self, ready._replace(events=(), rest=type(ready.rest)()))  # type: ignore[attr-defined]
            await store(self, ready._replace(ranges=()))  # type: ignore[attr-defined]

        monkeypatch.setattr(Ingester, "store", reversed_cycle)
    else:
        follow = LedgerRow.follow

        def counting_twice(self: LedgerRow, batches: object, **counts: object) -> LedgerRow:
            return follow(self, batches, **(counts | {"events": counts["events"] + 1}))  # type: ignore

        monkeypatch.setattr(LedgerRow, "follow", counting_twice)
    found = 0
    for seed in range(200):
        log, kinds = LOGS[seed % len(LOGS)]
        try:
            check(await play(seed, log), log, kinds)
        except AssertionError:
            found += 1
    assert found > 20
