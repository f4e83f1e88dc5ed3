"""Deliveries: the records of a topic, each partition in order, handed on in batches that are acked only once stored.

A delivery collects record batches until there are enough or they have waited long enough, hands them to `process`, and
counts them as stored when it returns. If the store is away, it asks again within a limit; if that does not help, or if
`process` fails in any other way, the worker stops loudly, with the offsets uncommitted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import TP
from mode import Service

from agents.record_batch import RecordBatch
from agents.settings import Settings
from agents.store.connection import StoreUnavailable
from agents.topics import KafkaUnavailable
from agents.transport import BatchTopic, Transport

log = logging.getLogger(__name__)

Process = Callable[[Sequence[RecordBatch]], Awaitable[None]]
Resume = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]

FINISH_WITHIN_S = 20.0
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 10.0


class DeliveryLostItsPlace(Exception):
    """A batch does not follow what was delivered before it: going on would skip records."""


class PartitionStopped(Exception):
    """A partition cannot go on, for a reason that an operator must see; the others do."""


@dataclass(slots=True)
class _Partition:
    """Where one partition stands: what was taken, and what is stored."""

    taken: int
    stored: int


class Delivery(Service):
    """One topic's records on their way into the store.

    `process` gets batches that are contiguous per partition and must have stored all of them when it returns.
    `resume` gives the `next_offset` of the ledger for partitions that were just assigned.
    """

    def __init__(
        self, app: TallyApp, topic: str, *, process: Process, resume: Resume, flush_rows: int, linger_s: float,
        pending_rows: int,
    ) -> None:  # fmt: skip
        super().__init__(loop=None, beacon=app.beacon)
        self.topic = topic
        self._app = app
        self._process, self._resume = process, resume
        self._flush_rows, self._linger_s, self._pending_rows = flush_rows, linger_s, pending_rows
        self._partitions: dict[int, _Partition] = {}
        self._waiting: list[RecordBatch] = []
        self._rows = 0
        self._since = 0.0
        self._changed = asyncio.Condition()
        self._idle = asyncio.Event()
        self._idle.set()
        self._generation = 0
        self.last_stored_at = time.monotonic()

    # -- taking ------------------------------------------------------------------------------------------------------

    async def put(self, batch: RecordBatch) -> None:
        """Takes a batch in turn; waits while too much is pending. Raises DeliveryLostItsPlace for a hole."""
        place = self._partitions.get(batch.partition)
        if place is None:
            return  # revoked while the batch was on its way: its next owner reads it again
        if batch.next_offset <= place.taken:
            return
        if batch.first_offset > place.taken:
            raise DeliveryLostItsPlace(
                f"{self.topic}/{batch.partition}: expected offset {place.taken}, got {batch.first_offset}"
            )
        part = batch.since(place.taken)
        place.taken = part.next_offset
        async with self._changed:
            generation = self._generation
            await self._changed.wait_for(lambda: self._rows < self._pending_rows or generation != self._generation)
            if generation != self._generation:
                return
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(part)
            self._rows += len(part)
            self._changed.notify_all()

    # -- storing -----------------------------------------------------------------------------------------------------

    @Service.task
    async def _flush(self) -> None:
        while not self.should_stop:
            taken = await self._next()
            if not taken:
                continue
            try:
                await self._store(taken)
            except Exception as error:
                self._idle.set()
                log.critical("%s: cannot go on: %s: %s", self.topic, type(error).__name__, error, exc_info=error)
                self._app.fail(error)
                raise
            self._done(taken)

    async def _next(self) -> list[RecordBatch]:
        """Waits for enough rows, or until the first has waited long enough; empty to look again."""
        async with self._changed:
            if not self._waiting:
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.5)
                except TimeoutError:
                    return []
            while self._waiting and self._rows < self._flush_rows:
                left = self._since + self._linger_s - time.monotonic()
                if left <= 0:
                    break
                try:
                    await asyncio.wait_for(self._changed.wait(), left)
                except TimeoutError:
                    break
            taken, self._waiting = self._waiting, []
            if taken:
                self._idle.clear()
            return taken

    async def _store(self, batches: Sequence[RecordBatch]) -> None:
        give_up_at = time.monotonic() + self._app.settings.store_retry_s
        pause = FIRST_RETRY_S
        while True:
            try:
                await self._process(batches)
                return
            except (StoreUnavailable, KafkaUnavailable) as error:
                if time.monotonic() >= give_up_at or self.should_stop:
                    raise
                log.warning("%s: %s; asking again in %.1f s", self.topic, error, pause)
            await self.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY_S)

    def _done(self, batches: Sequence[RecordBatch]) -> None:
        for batch in batches:
            if (place := self._partitions.get(batch.partition)) is not None:
                place.stored = max(place.stored, batch.next_offset)
        self._rows -= sum(len(batch) for batch in batches)
        self.last_stored_at = time.monotonic()
        self._idle.set()
        self.add_future(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- rebalancing -------------------------------------------------------------------------------------------------

    async def finish(self, within_s: float) -> None:
        """Ends the insert that is running, within a limit, and drops what only waits."""
        async with self._changed:
            self._generation += 1
            self._rows -= sum(len(batch) for batch in self._waiting)
            self._waiting = []
            self._changed.notify_all()
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            log.warning("%s: an insert is still running after %.0f s; it will be delivered again", self.topic, within_s)

    async def assigned(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Takes over partitions where the ledger ends. What waited for them is read again."""
        await self.finish(FINISH_WITHIN_S)
        positions = await self._resume(partitions) if partitions else {}
        self._partitions = {partition: _Partition(offset, offset) for partition, offset in positions.items()}
        return positions

    def stored(self) -> dict[int, int]:
        """Partition -> `next_offset` of what is stored."""
        return {partition: place.stored for partition, place in self._partitions.items()}

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that this worker holds."""
        return tuple(sorted(self._partitions))


class TallyApp(faust.App):
    """A Faust app on the batch transport. Nothing is declared, nothing kept in tables."""

    settings: Settings

    def __init__(self, name: str, settings: Settings) -> None:
        self.settings = settings
        self.deliveries: dict[str, Delivery] = {}
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self.failure: asyncio.Future[BaseException] | None = None
        super().__init__(
            f"{settings.topic_prefix}tally-{name}",
            broker=";".join(f"kafka://{address}" for address in settings.kafka.split(",")),
            store="memory://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            broker_commit_interval=1.0,
            broker_session_timeout=30,
            broker_rebalance_timeout=60,
            broker_request_timeout=60,
            consumer_max_fetch_size=4 * 1024 * 1024,
            consumer_auto_offset_reset="earliest",
            stream_wait_empty=True,
            producer_acks=-1,
            reply_create_topic=False,
            worker_redirect_stdouts=False,
        )

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def deliver(
        self, topic: str, *, process: Process, resume: Resume, flush_rows: int | None = None,
        linger_s: float | None = None,
    ) -> Delivery:  # fmt: skip
        """Attaches an agent that hands the records of a topic to `process`."""
        settings = self.settings
        delivery = Delivery(
            self,
            topic,
            process=process,
            resume=resume,
            flush_rows=flush_rows or settings.flush_rows,
            linger_s=settings.linger_ms / 1000 if linger_s is None else linger_s,
            pending_rows=settings.pending_rows,
        )
        full_name = settings.topic_prefix + topic
        self.deliveries[full_name] = delivery
        source = BatchTopic(self, topics=[full_name], maxsize=16, value_type=bytes, key_type=bytes)

        async def deliver_batches(stream: Any) -> None:
            async for event in stream.noack().events():
                try:
                    await delivery.put(event.value)
                except DeliveryLostItsPlace as error:
                    self.fail(error)
                    raise

        self.agent(source, name=f"deliver-{topic}")(deliver_batches)
        return delivery

    def repeat(self, name: str, every_s: float, look: Callable[[], Awaitable[object]]) -> None:
        """Looks again and again, outside every stream; a store that is away is asked again the next time."""

        @self.timer(interval=every_s, name=name)
        async def looking() -> None:
            try:
                await look()
            except (StoreUnavailable, KafkaUnavailable) as error:
                log.warning("%s: %s; looking again", name, error)
            except Exception as error:
                log.critical("%s: cannot go on: %s", name, error, exc_info=error)
                self.fail(error)
                raise

    def stored_offsets(self) -> dict[TP, int]:
        """What may be committed: as far as each delivery has stored."""
        return {
            TP(topic, partition): offset
            for topic, delivery in self.deliveries.items()
            for partition, offset in delivery.stored().items()
        }

    async def finish_deliveries(self) -> None:
        """Ends running inserts of all deliveries, within a limit."""
        await asyncio.gather(*(delivery.finish(FINISH_WITHIN_S) for delivery in self.deliveries.values()))

    async def resume_positions(self, assignment: Iterable[TP]) -> dict[TP, int]:
        """Where the ledgers of the assigned partitions end."""
        held = set(assignment)
        positions: dict[TP, int] = {}
        for topic, delivery in self.deliveries.items():
            mine = sorted(tp.partition for tp in held if tp.topic == topic)
            for partition, offset in (await delivery.assigned(mine)).items():
                positions[TP(topic, partition)] = offset
        return positions

    def on_worker_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Something to close once all agents have stopped."""
        self._closing.append(close)

    async def on_start(self) -> None:
        """Starts the deliveries before the consumer that feeds them."""
        await super().on_start()
        for delivery in self.deliveries.values():
            await self.add_runtime_dependency(delivery)

    async def on_shutdown(self) -> None:
        """Closes what the agents used."""
        await super().on_shutdown()
        for close in self._closing:
            await close()

    def fail(self, error: BaseException) -> None:
        """Ends the worker: it stops within a limit and exits with an error."""
        if self.failure is not None and not self.failure.done():
            self.failure.set_result(error)


def exit_now(code: int) -> None:
    """Ends the process at once; for a stop that does not end by itself."""
    logging.shutdown()
    os._exit(code)
