"""Faust's Kafka transport, handing an agent one event per record batch, resuming where a ledger says.

Stock Faust makes four tasks per message and loses positions in five ways; here offsets are committed only as far as a
delivery has stored them, and a partition resumes at its ledger, so committed offsets merely show lag.
Source: the class-by-class recipe measured on faust-streaming 0.15.3 (design.md §5, "Consumption inside Faust").
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import faust
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from agents.draining import drain, drain_records, fast_drain_possible
from agents.record_batch import RecordBatch

log = logging.getLogger(__name__)

COMMIT_WITHIN_S = 5.0
FAST = fast_drain_possible()

Resume = Callable[[frozenset[tuple[str, int]]], Awaitable[Mapping[tuple[str, int], int]]]


class BatchTopic(faust.Topic):
    """A topic whose events carry a `RecordBatch`. `maxsize` bounds the batches that wait: back-pressure."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return self._create_event(None, message.value, None, message=message)

        self.decode = decode


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker; fetches are drained batch by batch."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust hard-codes one byte and 1.5 s; the fetcher takes these over when the consumer starts.
        consumer._fetch_min_bytes = 64 * 1024
        consumer._fetch_max_wait_ms = 100
        consumer._isolation_level = "read_committed"
        return consumer

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

    async def _drained(self, fetcher: Any, active: Any, timeout: float) -> dict[TP, list[RecordBatch]]:
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

    def _take(self, fetcher: Any, active: Any) -> dict[TP, list[RecordBatch]]:
        limit = self.consumer.max_batch_records
        found: dict[TP, list[RecordBatch]] = {}
        for atp in list(fetcher._records):
            if active and atp not in active:
                if not fetcher._subscriptions.is_assigned(atp):
                    del fetcher._records[atp]
                continue
            held = fetcher._records[atp]
            if type(held) is FetchResult:
                batches = self._batches(held, atp, limit)
                if not held.has_more():
                    del fetcher._records[atp]
                    fetcher._notify(fetcher._wait_consume_future)
                if batches:
                    found[TP(atp.topic, atp.partition)] = batches
            elif found:
                return found  # positions of what we have moved on; the error comes back with the next poll
            else:
                del fetcher._records[atp]
                fetcher._notify(fetcher._wait_consume_future)
                held.check_raise()
        return found

    def _batches(self, held: Any, atp: Any, limit: int) -> list[RecordBatch]:
        if FAST:
            return drain(held, atp.topic, atp.partition, atp, limit)
        return drain_records(held, atp.topic, atp.partition, limit)


class BatchConsumer(driver.Consumer):
    """Commits what deliveries have stored, and seeks to where they say on every assignment."""

    max_batch_records = 4096

    def _new_consumer_thread(self) -> Any:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, batches in records.items():
            for batch in batches:
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                if active is None or tp in active:
                    yield tp, self._batch_message(tp, batch, generation)

    def _batch_message(self, tp: TP, batch: RecordBatch, generation: int) -> ConsumerMessage:
        last = batch.timestamps[-1] / 1000 if len(batch) else 0.0
        return ConsumerMessage(
            tp.topic, tp.partition, batch.next_offset - 1, last, 0, None, None, batch, None, None, None, tp,
            generation_id=generation,
        )  # fmt: skip

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
        return self.app.stored_offsets().get(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        committed = self._committed_offset[tp]
        return committed is None or offset > committed

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = dict(self._committed_offset)
        committed = await super()._commit_offsets(offsets, start_new_transaction)
        if not committed:  # stock Faust records a failed commit as done
            self._committed_offset.clear()
            self._committed_offset.update(before)
        return committed

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Finishes what is being stored and commits it before the partitions go: nothing is delivered again."""
        await self.app.finish_deliveries()
        try:
            await asyncio.wait_for(self.commit(), COMMIT_WITHIN_S)
        except TimeoutError:
            log.warning("offsets could not be committed within %s s before a rebalance", COMMIT_WITHIN_S)
        await super().on_partitions_revoked(revoked)

    async def wait_empty(self) -> None:
        """Ends what is being stored, within a limit; what waits is dropped and read again by whoever is next."""
        await self.app.finish_deliveries()
        try:
            await asyncio.wait_for(self.commit(), COMMIT_WITHIN_S)
        except TimeoutError:
            log.warning("offsets could not be committed within %s s", COMMIT_WITHIN_S)

    async def perform_seek(self) -> None:
        """Every assigned partition continues where its delivery's ledger ends."""
        await super().perform_seek()
        positions = await self.app.resume_positions(self.assignment())
        for tp, offset in positions.items():
            await self.seek(tp, offset)


class Transport(driver.Transport):
    """The aiokafka transport with our consumer."""

    Consumer = BatchConsumer
