"""Rows that were lost are stored again from the log, and the totals of their panes computed again.

A repair inserts what the first reading would have inserted, under the same keys: doing it twice, or where nothing was
lost, changes nothing. Nothing is deleted or altered. Source: design.md §6.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from agents.catalogue import CatalogueLog
from agents.clock import first_tick
from agents.logs import LogRecord, Logs
from agents.record_batch import RecordBatch
from agents.store.totals import TotalsStore
from agents.store.usage import UsageStore
from agents.topics import USAGE_EVENTS
from pipeline.intake.usage_block import UsageBlock, judge
from pipeline.meters.sealing import chunks, ended_panes
from pipeline.meters.vectors import vector_of
from pipeline.proof.positions import Lost, Range, together
from pipeline.proof.stretches import parted
from schemas.tick import USAGE

PANES_PER_STATEMENT = 4000


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was stored again."""

    rows: int
    panes: int


class Repair:
    """Stores lost rows again."""

    def __init__(self, logs: Logs, usage: UsageStore, totals: TotalsStore, catalogue: CatalogueLog) -> None:
        self._logs, self._usage, self._totals, self._catalogue = logs, usage, totals, catalogue

    async def repair(self, lost: Sequence[Lost]) -> Repaired:
        """Reads the records of lost rows and stores them; `lost` is in order of partition and offset."""
        first = await first_tick(self._logs)
        wall_clock = first is not None and first.clock == "wall"
        places = {(row.partition, row.offset) for row in lost}
        rows, panes = 0, set[int]()
        for near in together(Range(row.partition, row.offset, row.offset + 1) for row in lost):
            records = await self._records(near)
            wanted = [record for record in records if (record.partition, record.offset) in places]
            block = judge(USAGE_EVENTS, [_batch(wanted)], wall_clock=wall_clock)
            await asyncio.to_thread(self._store, block)
            rows += len(wanted)
            panes |= block.panes
            if block.corrections:
                panes |= set(await asyncio.to_thread(self._corrected))
        return Repaired(rows, await self._seal(tuple(panes)))

    async def _records(self, near: Sequence[Range]) -> list[LogRecord]:
        """The records of ranges of one partition, each from the epoch that it was stored from."""
        partition, held = near[0].partition, await self._logs.stretches()
        kept, _ = parted(held[partition], near[0].first, near[-1].next)
        read = [await self._logs.read(USAGE_EVENTS, partition, p.first, p.next, shift=p.shift) for p in kept]
        return [record for records in read for record in records]

    def _store(self, block: UsageBlock) -> None:
        self._usage.insert_events(block.events)
        self._usage.insert_corrections(block.corrections)
        self._usage.insert_dead_letters(block.dead_letters)

    def _corrected(self) -> tuple[int, ...]:
        coverage = self._totals.coverage()
        return self._totals.corrected_panes([], vector_of(coverage, 1 + max(coverage)))

    async def _seal(self, panes: tuple[int, ...]) -> int:
        tick = await asyncio.to_thread(self._totals.last_tick)
        if tick is None or not panes:
            return 0
        audited = await asyncio.to_thread(self._totals.audited_tick)
        coverage = vector_of(await asyncio.to_thread(self._totals.coverage), len(tick.vector.of(USAGE)))
        sealed = ended_panes(panes, tick.time)
        meters = tuple((await self._catalogue.newest()).meters.values())
        for some in chunks(sealed, PANES_PER_STATEMENT):
            await asyncio.to_thread(self._totals.seal, meters, some, coverage, audited)
        return len(sealed)


def _batch(records: Sequence[LogRecord]) -> RecordBatch:
    return RecordBatch(
        USAGE_EVENTS, records[0].partition, records[0].offset, records[-1].offset + 1,
        [record.offset for record in records], [record.timestamp_ms for record in records],
        [record.key for record in records], [record.headers for record in records],
        [record.value for record in records],
    )  # fmt: skip
