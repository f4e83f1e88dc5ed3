"""The ingester: records of usage.events become rows, once each, whatever crashes.

The cycle, each step idempotent: S1 events, S2 corrections and dead letters, S3 the ledger row, S4 commit. A record is
acknowledged only once it and its ledger row are stored; a crash anywhere repeats the batch, and the repetition
collapses. Source: design.md §5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from faust.types import TP

from agents import telemetry
from agents.breaker import Breaker
from agents.clock import first_tick
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.epochs import bridged, fault_of
from agents.ledger import Ledger, LedgerRow
from agents.logs import Logs
from agents.record_batch import RecordBatch, by_partition
from agents.store.usage import Encoded, UsageStore, encoded_together
from agents.topics import DEAD_LETTERS, USAGE_EVENTS, KafkaUnavailable
from pipeline.intake.usage_block import UsageBlock, judge
from pipeline.limits.settling import Settlement, settlements
from schemas.dead_letter import DeadLetter
from schemas.epoch import Epoch

log = logging.getLogger(__name__)

# Fewer records than this are judged where we are: handing them to another thread would take as long.
AT_ONCE = 2000


class Range(NamedTuple):
    """Batches of one partition, and what the ledger will say of them."""

    batches: Sequence[RecordBatch]
    counts: Mapping[str, Any]


class Prepared(NamedTuple):
    """Batches with their verdicts: events ready to be sent, the rest as rows."""

    events: Sequence[Encoded]
    rest: UsageBlock
    ranges: Sequence[Range]
    settled: Sequence[Settlement] = ()


def prepared(batches: Sequence[RecordBatch], *, wall_clock: bool) -> Prepared:
    """Judges batches and encodes their events. Pure: the same batches give the same bytes."""
    blocks, ranges, settled = [], [], list[Settlement]()
    for _, mine in by_partition(batches):
        block = judge(USAGE_EVENTS, mine, wall_clock=wall_clock)
        counts = {"events": len(block.events), "corrections": len(block.corrections),
                  "dead_letters": len(block.dead_letters), "panes": block.panes}  # fmt: skip
        ranges.append(Range(mine, counts))
        blocks.append(block)
        for batch in mine:
            settled += settlements(batch, block.events)
    rest = UsageBlock()
    for block in blocks:
        rest.corrections += block.corrections
        rest.dead_letters += block.dead_letters
    return Prepared(encoded_together([block.events for block in blocks]), rest, ranges, settled)


class Ingester:
    """Judges and stores record batches, and knows where each partition stands."""

    def __init__(
        self, logs: Logs, usage: UsageStore, ledger: Ledger, crash: CrashPoint, breaker: Breaker | None = None
    ) -> None:
        self._logs, self._usage, self._ledger = logs, usage, ledger
        self._wall_clock: bool | None = None
        self._crash = crash
        self._ends: dict[int, LedgerRow] = {}
        self.breaker, self._checked = breaker or Breaker(), Prepared((), UsageBlock(), ())
        self.epochs: Mapping[int, Epoch] = {}
        self.stopped: dict[int, str] = {}
        """Partitions that cannot go on, and why."""

    async def resume(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where the ledger ends; without the partitions whose log is not the one that the ledger describes."""
        ends = await asyncio.to_thread(self._ledger.ends, USAGE_EVENTS, partitions)
        self.epochs = await self._logs.epochs()
        self._ends, self.stopped = {}, {}
        for partition, row in ends.items():
            if fault := await fault_of(self._logs, row, self.epochs.get(partition)):
                self.stopped[partition] = fault
                log.critical("partition stopped, the others go on: %s; tally topics adopt goes on without it", fault)
                continue
            bridge = bridged(row, self.epochs.get(partition))
            if bridge is not None:
                await asyncio.to_thread(self._ledger.append, [bridge])
            self._ends[partition] = bridge or row
        return {partition: row.next_offset for partition, row in self._ends.items()}

    async def was_adopted(self) -> bool:
        """Whether a partition that stopped may go on: somebody began an epoch."""
        return bool(self.stopped) and await self._logs.epochs() != self.epochs

    async def prepare(self, batches: Sequence[RecordBatch]) -> Prepared:
        """The verdicts on batches, and their events as they will be sent; nothing is stored yet."""
        wall_clock = await self._is_wall_clock()
        if sum(len(batch) for batch in batches) < AT_ONCE:
            return prepared(batches, wall_clock=wall_clock)
        return await asyncio.to_thread(prepared, batches, wall_clock=wall_clock)

    async def store(self, ready: Prepared) -> None:
        """One cycle. When it returns, everything that was prepared is stored and in the ledger.

        Raises TooManyRefused before anything is stored.
        """
        if ready is not self._checked:  # a store that was away is asked again with the same
            accepted = sum(found.counts["events"] + found.counts["corrections"] for found in ready.ranges)
            self.breaker.check(accepted, ready.rest.dead_letters)
            self._checked = ready
        with self._crash.around(Step.EVENTS):
            if ready.events:
                await asyncio.to_thread(self._usage.insert_encoded, ready.events)
            if ready.settled:
                await asyncio.to_thread(self._usage.insert_settlements, ready.settled)
        with self._crash.around(Step.CORRECTIONS):
            if ready.rest.corrections:
                await asyncio.to_thread(self._usage.insert_corrections, ready.rest.corrections)
        with self._crash.around(Step.DEAD_LETTERS):
            if ready.rest.dead_letters:
                await asyncio.to_thread(self._usage.insert_dead_letters, ready.rest.dead_letters)
                await self._publish_dead_letters(ready.rest.dead_letters)
        rows = [self._ends[found.batches[0].partition].follow(found.batches, **found.counts) for found in ready.ranges]
        with self._crash.around(Step.LEDGER):
            await asyncio.to_thread(self._ledger.append, rows)
        self._ends.update({row.partition: row for row in rows})
        _count(ready)

    async def _is_wall_clock(self) -> bool:
        """The kind of clock, fixed by the first tick: a verdict depends on it. Raises KafkaUnavailable before that."""
        if self._wall_clock is None:
            first = await first_tick(self._logs)
            if first is None:
                raise KafkaUnavailable("billing time has not begun, so usage cannot be judged: tally tick --start …")
            self._wall_clock = first.clock == "wall"
        return self._wall_clock

    async def _publish_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Copies refused records to the dead-letter topic, bytes as received, with the reason in headers.

        The table is the record of what was refused; the topic may hold a copy twice after a crash, and says in its
        headers which record it is a copy of.
        """
        sent = []
        for letter in letters:
            added = (
                ("tally_reason", letter.reason.value.encode()),
                ("tally_detail", letter.detail.encode()),
                ("tally_topic", letter.topic.encode()),
                ("tally_partition", str(letter.partition).encode()),
                ("tally_offset", str(letter.offset).encode()),
            )
            headers = (*letter.headers, *added)
            sent.append(await self._logs.send(DEAD_LETTERS, letter.key, letter.value, headers=headers,
                                              partition=letter.partition))  # fmt: skip
        try:
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise KafkaUnavailable(f"dead letters could not be published: {error}") from error


def _count(stored: Prepared) -> None:
    for outcome in ("events", "corrections", "dead_letters"):
        found = sum(int(each.counts[outcome]) for each in stored.ranges)
        telemetry.EVENTS.labels(outcome.removesuffix("s")).inc(found)
    for letter in stored.rest.dead_letters:
        telemetry.DEAD_LETTERS.labels(letter.reason.value).inc()


def attach(app: TallyApp, ingester: Ingester) -> None:
    """Runs the ingester on usage.events; partitions that stopped are placed again when they were adopted."""
    topic = app.settings.topic_prefix + USAGE_EVENTS

    async def resume(partitions: Sequence[int]) -> Mapping[int, int]:
        positions = await ingester.resume(partitions)
        app.shifts.update({TP(topic, partition): epoch.shift for partition, epoch in ingester.epochs.items()})
        return positions

    async def look() -> None:
        if await ingester.was_adopted():
            app.place_soon()

    app.deliver(USAGE_EVENTS, process=ingester.store, resume=resume, prepare=ingester.prepare)
    app.repeat("epochs", 1.0, look)
