"""Faust's Kafka transport, handing an agent one event per record batch, resuming where a ledger says.

Stock Faust makes four tasks per message and loses positions in five ways; here offsets are committed only as far as a
delivery has stored them, and a partition resumes at its ledger, so committed offsets merely show lag.
Source: the class-by-class recipe measured on faust-streaming 0.15.3 (design.md §5, "Consumption inside Faust").
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import faust
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from agents.crash_points import Step
from agents.draining import ALL_NEED, FAST_NEEDS, drain, drain_records, has_parts
from agents.record_batch import RecordBatch

log = logging.getLogger(__name__)

COMMIT_WITHIN_S = 5.0
FETCH_MIN_BYTES = 64 * 1024
FETCH_MAX_WAIT_MS = 100
TELL_EVERY_S = 10.0
FAST = has_parts(FAST_NEEDS)


class BatchTopic(faust.Topic):
    """A topic whose events carry a `RecordBatch`. `maxsize` bounds the batches that wait: back-pressure."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return self._create_event(None, message.value, None, message=message)

        self.decode = decode


class BatchMessage(ConsumerMessage):
    """A record batch on its way to an agent, and the placement under which it was fetched."""

    __slots__ = ("placement",)


class Fetched(NamedTuple):
    """What one poll gave for a partition, and under which placement."""

    placement: int
    batches: Sequence[RecordBatch]


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker; fetches are drained batch by batch."""

    placement = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._told: dict[Any, float] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust hard-codes one byte and 1.5 s; the fetcher takes these over when the consumer starts.
        consumer._fetch_min_bytes = FETCH_MIN_BYTES
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    async def place(self, positions: Mapping[TP, int], placement: int) -> None:
        """Moves partitions to positions. In this thread's loop, so that no fetch is drained half before, half after."""
        await self.call_thread(self._place, self._ensure_consumer(), positions, placement)

    async def _place(self, consumer: Any, positions: Mapping[TP, int], placement: int) -> None:
        self.placement = placement
        for tp, offset in positions.items():
            consumer.seek(tp, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        wanted = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await self._ensure_consumer().commit(wanted)
        except KafkaError as error:
            # Committed offsets only show lag: a broker that is away, or a partition that went, is no reason to end.
            log.warning("offsets are not committed yet: %r", error)
            return False
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Stock Faust guesses from commits whether a stream stands still; a delivery knows when it last stored."""

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise driver.ConsumerStoppedError()
        with fetcher._subscriptions.fetch_context():
            return await self._drained(fetcher, active_partitions, timeout or 0.0)

    async def _drained(self, fetcher: Any, active: Any, timeout: float) -> dict[TP, Fetched]:
        deadline = time.monotonic() + timeout
        while True:
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            found = self._take(fetcher, active)
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            waiter = fetcher._create_fetch_waiter()
            done, pending = await asyncio.wait([waiter], timeout=left)
            if not done or fetcher._closed:
                for waiting in pending:
                    waiting.cancel()
                return {}
            waiter.result()  # raises what the broker refused

    def _take(self, fetcher: Any, active: Any) -> dict[TP, Fetched]:
        found: dict[TP, Fetched] = {}
        for atp in list(fetcher._records):
            if atp not in active:
                if not fetcher._subscriptions.is_assigned(atp):
                    del fetcher._records[atp]
                continue
            try:
                batches = self._batches(fetcher._records[atp], atp)
            except KafkaError as error:
                # The positions of what was drained have moved on, and this one's has not: what preceded a batch that
                # cannot be read is handed on, and the same fetch is tried again. Nothing is skipped.
                self._unreadable(atp, error)
                batches = []
            if not fetcher._records[atp].has_more():
                del fetcher._records[atp]
                fetcher._notify(fetcher._wait_consume_future)
            if batches:
                found[TP(atp.topic, atp.partition)] = Fetched(self.placement, batches)
        return found

    def _batches(self, held: Any, atp: Any) -> list[RecordBatch]:
        if type(held) is not FetchResult:
            held.check_raise()
        drained = drain if FAST else drain_records
        return drained(held, atp.topic, atp.partition, atp, self.consumer.max_batch_records)

    def _unreadable(self, atp: Any, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told.get(atp, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told[atp] = now
            log.critical("%s/%s cannot be read, the others go on: %r", atp.topic, atp.partition, error)


class _NoPositions(dict[TP, Any]):
    """Faust's own read positions: a delivery checks every batch against its place, so these may not drop one."""

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: object) -> None:
        """Not kept."""


class BatchConsumer(driver.Consumer):
    """Commits what deliveries have stored, and leaves it to them where a partition begins."""

    max_batch_records = 4096
    _thread: BatchConsumerThread

    def _new_consumer_thread(self) -> Any:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _reset_state(self) -> None:
        super()._reset_state()
        self._read_offset = _NoPositions()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        for tp, fetched in (records or {}).items():
            for batch in fetched.batches:
                # Flow stops for a rebalance, which ends with a new placement: what is dropped here is read again.
                if self.should_stop or not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                yield tp, _message(tp, batch.moved(self.app.shifts.get(tp, 0)), generation, fetched.placement)

    async def place(self, positions: Mapping[TP, int], placement: int) -> None:
        """Moves partitions to positions and lets them flow; batches fetched from now on carry `placement`."""
        shifts = self.app.shifts
        await self._thread.place({tp: offset - shifts.get(tp, 0) for tp, offset in positions.items()}, placement)
        self.resume_partitions(set(positions))

    # Positions are the deliveries' business: nothing is tracked per message.

    def track_message(self, message: Any) -> None:
        """Batches are tracked by the delivery that takes them."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """A batch says itself which offsets it stands for."""

    def on_buffer_full(self, tp: TP) -> None:
        """The bounded queue holds the reader back; partitions are not paused."""

    def on_buffer_drop(self, tp: TP) -> None:
        """See `on_buffer_full`."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Any:
        return [tp for tp in self.app.stored_offsets() if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        position = self.app.stored_offsets().get(tp)
        return None if position is None else max(0, position - self.app.shifts.get(tp, 0))

    def _should_commit(self, tp: TP, offset: int) -> bool:
        # Committed offsets show lag and decide nothing: they follow the ledger, back too after a restored backup.
        return offset != (self._committed_offset[tp] or 0)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = dict(self._committed_offset)
        with self.app.crash_point.around(Step.COMMIT):
            committed = await super()._commit_offsets(offsets, start_new_transaction)
        if not committed:  # stock Faust records a failed commit as done
            self._committed_offset.clear()
            self._committed_offset.update(before)
        return committed

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Finishes what is being stored and commits it before the partitions go: nothing is delivered again."""
        await self.wait_empty()
        await super().on_partitions_revoked(revoked)

    async def wait_empty(self) -> None:
        """Ends what is being stored, within a limit; what waits is dropped and read again by whoever is next."""
        await self.app.close_deliveries()
        try:
            await asyncio.wait_for(self.commit(), COMMIT_WITHIN_S)
        except TimeoutError:
            log.warning("offsets could not be committed within %s s", COMMIT_WITHIN_S)

    async def perform_seek(self) -> None:
        """Learns what is committed; every partition then waits until its delivery says where it begins."""
        await super().perform_seek()
        self.pause_partitions(self.assignment())
        self.app.place_soon()


def _message(tp: TP, batch: RecordBatch, generation: int, placement: int) -> BatchMessage:
    last = batch.timestamps[-1] / 1000 if len(batch) else 0.0
    message = BatchMessage(
        tp.topic, tp.partition, batch.next_offset - 1, last, 0, None, None, batch, None, None, None, tp,
        generation_id=generation,
    )  # fmt: skip
    message.placement = placement
    return message


class NoTables(TableManager):
    """Nothing is kept in tables, so a worker need not wait a second for one to be declared."""

    async def on_start(self) -> None:
        """What Faust's own does, without the wait."""
        await self._update_channels()
        await self.recovery.start()


class Transport(driver.Transport):
    """The aiokafka transport with our consumer."""

    Consumer = BatchConsumer

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if not has_parts(ALL_NEED):
            raise RuntimeError("this aiokafka keeps its positions elsewhere: install the version of requirements.lock")
        if not FAST:
            log.warning("this aiokafka is not the one that the fast drain knows: records are drained one by one")
        super().__init__(*arguments, **named)
