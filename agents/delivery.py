"""Deliveries: the records of a topic, each partition in order, handed on in batches that are acked only once stored.

A delivery collects record batches until there are enough or they have waited long enough, hands them to `process`, and
counts them as stored when it returns. If the store is away, it asks again within a limit; if that does not help, or if
`process` fails in any other way, the worker stops loudly, with the offsets uncommitted.

Where a partition begins is its ledger's business. After every assignment, and whenever a batch does not follow the one
before it, partitions are *placed*: deliveries close, ask their ledgers, and open at those positions. Batches that were
fetched under an earlier placement are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP
from mode import Service

from agents.accounts import Account
from agents.crash_points import CrashPoint
from agents.pulse import Looks, Pulse
from agents.record_batch import RecordBatch
from agents.settings import Settings
from agents.store.connection import Connection, StoreUnavailable
from agents.topics import USAGE_EVENTS, KafkaUnavailable
from agents.transport import BatchTopic, NoTables, Transport

log = logging.getLogger(__name__)

Process = Callable[[Any], Awaitable[None]]
Prepare = Callable[[Sequence[RecordBatch]], Awaitable[Any]]
Resume = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]

CLOSE_WITHIN_S = 20.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 4.0  # a server that is back is noticed within the latter
LOST_AT_MOST = 3
CLOSED = -1
LOOK_EVERY_S = 0.1


class PlaceLost(Exception):
    """A batch does not follow what was delivered before it, and asking the ledger again did not help."""


@dataclass(slots=True)
class _Partition:
    """Where one partition stands: what was taken, and what is stored."""

    taken: int
    stored: int


class Delivery(Service):
    """One topic's records on their way into the store.

    `process` gets batches that are contiguous per partition and must have stored all of them when it returns. With
    `prepare` it gets what that made of them; batches are prepared while those before them are being stored.
    `resume` gives the `next_offset` of the ledger for partitions that were just assigned; one that it leaves out is not
    read. `after` is called when some are stored.
    """

    def __init__(
        self, app: TallyApp, topic: str, *, process: Process, resume: Resume, flush_rows: int, linger_s: float,
        pending_rows: int, prepare: Prepare | None = None, after: Callable[[], object] = bool,
    ) -> None:  # fmt: skip
        super().__init__(loop=None, beacon=app.beacon)
        self.topic, self._app = topic, app
        self._process, self._resume, self._prepare, self._after = process, resume, prepare, after
        self._flush_rows, self._linger_s, self._pending_rows = flush_rows, linger_s, pending_rows
        self._partitions: dict[int, _Partition] = {}
        self._placement = CLOSED
        self._waiting: deque[RecordBatch] = deque()
        self._rows = 0
        self._since = 0.0
        self._changed = asyncio.Condition()
        self._idle = asyncio.Event()
        self._idle.set()
        self.account = Account(topic)

    # -- taking ------------------------------------------------------------------------------------------------------

    async def put(self, batch: RecordBatch, placement: int) -> None:
        """Takes a batch in turn; waits while too much is pending. Drops what was fetched under another placement."""
        if placement != self._placement:
            return self.account.drops(len(batch))
        place = self._partitions.get(batch.partition)
        if place is None:
            return
        if batch.first_offset != place.taken:
            self._placement = CLOSED
            self._app.lost_place(self, batch, place.taken)
            return
        place.taken = batch.next_offset
        async with self._changed:
            await self._changed.wait_for(lambda: self._rows < self._pending_rows or placement != self._placement)
            if placement != self._placement:
                return self.account.drops(len(batch))
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(batch)
            self._rows += len(batch)
            self._changed.notify_all()

    # -- storing -----------------------------------------------------------------------------------------------------

    @Service.task
    async def _flush(self) -> None:
        storing: asyncio.Task[None] | None = None
        try:
            while not self.should_stop:
                taken, placement = await self._next()
                if not taken:
                    continue
                prepared = await self._or_fail(self._prepared(taken, placement))
                if storing is not None:
                    await storing  # one after the other: the ledger must have no gap
                if placement != self._placement or self.should_stop:
                    await self._done(taken, stored=False)  # read again from where the ledger ends
                    continue
                self._idle.clear()
                storing = asyncio.create_task(self._or_fail(self._store(taken, prepared, placement)))
                storing.add_done_callback(_retrieved)
        finally:
            if storing is not None:
                storing.cancel()

    async def _or_fail(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except Exception as error:
            log.critical("%s: cannot go on: %s: %s", self.topic, type(error).__name__, error, exc_info=error)
            self._app.fail(error)
            raise

    async def _store(self, taken: Sequence[RecordBatch], prepared: Any, placement: int) -> None:
        self.account.begins()
        try:
            stored = await self._asking_again(lambda: self._process(prepared), placement)
        finally:
            self._idle.set()
        await self._done(taken, stored)

    async def _prepared(self, taken: Sequence[RecordBatch], placement: int) -> Any:
        made: list[Any] = [taken]

        async def prepare() -> None:
            if self._prepare is not None:
                made[0] = await self._prepare(taken)

        await self._asking_again(prepare, placement)
        return made[0]

    async def _next(self) -> tuple[list[RecordBatch], int]:
        """Waits for enough rows, or until the first has waited long enough, and the placement; empty to look again."""
        async with self._changed:
            if not self._waiting:
                await self._wait_for_change(0.5)
            while self._waiting and self._rows < self._flush_rows:
                left = self._since + self._linger_s - time.monotonic()
                if left <= 0 or not await self._wait_for_change(left):
                    break
            taken: list[RecordBatch] = []
            rows = 0
            while self._waiting and rows < self._flush_rows:
                taken.append(self._waiting.popleft())
                rows += len(taken[-1])
            return taken, self._placement

    async def _wait_for_change(self, within_s: float) -> bool:
        try:
            await asyncio.wait_for(self._changed.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def _asking_again(self, work: Callable[[], Awaitable[None]], placement: int) -> bool:
        """Whether it was done. Asks again while the store is away, unless the partitions are going anyway."""
        give_up_at = time.monotonic() + self._app.settings.store_retry_s
        pause = FIRST_RETRY_S
        while True:
            try:
                await work()
                return True
            except (StoreUnavailable, KafkaUnavailable) as error:
                if self.should_stop or placement != self._placement:
                    return False
                if time.monotonic() >= give_up_at:
                    raise
                self.account.tries_again(error)
                log.warning("%s: %s; asking again in %.1f s", self.topic, error, pause, extra={"topic": self.topic})
            async with self._changed:
                await self._wait_for_close(placement, pause)
            pause = min(pause * 2, LONGEST_RETRY_S)

    async def _wait_for_close(self, placement: int, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while placement == self._placement and (left := deadline - time.monotonic()) > 0:
            await self._wait_for_change(left)

    async def _done(self, batches: Sequence[RecordBatch], stored: bool) -> None:
        self.account.ends(batches, stored=stored)
        if stored:
            self._after()
            for batch in batches:
                if (place := self._partitions.get(batch.partition)) is not None:
                    place.stored = max(place.stored, batch.next_offset)
        async with self._changed:
            self._rows -= sum(len(batch) for batch in batches)
            self._changed.notify_all()

    # -- placing -----------------------------------------------------------------------------------------------------

    async def close(self, within_s: float) -> None:
        """Takes nothing more, drops what only waits, and ends the insert that is running, within a limit."""
        async with self._changed:
            self._placement = CLOSED
            dropped = sum(len(batch) for batch in self._waiting)
            self.account.drops(dropped)
            self._rows -= dropped
            self._waiting.clear()
            self._changed.notify_all()
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            log.warning("%s: an insert is still running after %.0f s; it will be delivered again", self.topic, within_s)

    async def positions(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where the ledger says that partitions go on; the delivery must be closed."""
        return await self._resume(partitions) if partitions else {}

    def open(self, positions: Mapping[int, int], placement: int) -> None:
        """Takes batches of these partitions from these positions on, fetched under this placement."""
        self._partitions = {partition: _Partition(offset, offset) for partition, offset in positions.items()}
        self._placement = placement

    def stored(self) -> dict[int, int]:
        """Partition -> `next_offset` of what is stored."""
        return {partition: place.stored for partition, place in self._partitions.items()}

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that this worker holds."""
        return tuple(sorted(self._partitions))


def _retrieved(task: asyncio.Task[None]) -> None:
    """A failure was told when it happened; the next batch meets it again, if there is one."""
    if not task.cancelled():
        task.exception()


class TallyApp(faust.App):
    """A Faust app on the batch transport. Nothing is declared, nothing kept in tables."""

    settings: Settings

    def __init__(self, name: str, settings: Settings) -> None:
        self.settings = settings
        self.deliveries: dict[str, Delivery] = {}
        self._pulse = Pulse(Connection(settings))
        self._closing: list[Callable[[], Awaitable[None]]] = [self._pulse.close]
        self.shifts: dict[TP, int] = {}
        """Position minus the broker's offset, where it is not 0: the log was adopted (`agents.epochs`)."""
        self._placement = 0
        self._placing = asyncio.Lock()
        self._lost: Counter[tuple[str, int, int]] = Counter()
        self.failed = asyncio.Event()
        self.crash_point = CrashPoint(settings.crash_at)
        self.failure: BaseException | None = None
        # A worker without outputs reads beside those with them: in a group of its own.
        group = f"{settings.topic_prefix}tally-{name}" + f"-{settings.database}" * (settings.outputs == "off")
        super().__init__(
            group,
            broker=";".join(f"kafka://{address}" for address in settings.kafka.split(",")),
            store="memory://",
            TableManager=NoTables,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            # A named member that died and came back has its partitions again at once, without a session's time-out.
            consumer_group_instance_id=f"{name}-{settings.instance}" if settings.instance else None,
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

    def _create_directories(self) -> None:
        """No tables, so no folders."""

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def deliver(
        self, topic: str, *, process: Process, resume: Resume, flush_rows: int | None = None,
        linger_s: float | None = None, prepare: Prepare | None = None,
    ) -> Delivery:  # fmt: skip
        """Attaches an agent that hands the records of a topic to `process`, as `prepare` made them ready."""
        settings = self.settings
        delivery = Delivery(
            self,
            topic,
            process=process,
            resume=resume,
            flush_rows=flush_rows or settings.flush_rows,
            linger_s=settings.linger_ms / 1000 if linger_s is None else linger_s,
            pending_rows=settings.pending_rows,
            prepare=prepare,
            after=bool if topic == USAGE_EVENTS else self._pulse.stored,
        )
        full_name = settings.topic_prefix + topic
        self.deliveries[full_name] = delivery
        source = BatchTopic(self, topics=[full_name], maxsize=8, value_type=bytes, key_type=bytes)

        async def deliver_batches(stream: Any) -> None:
            async for event in stream.noack().events():
                await delivery.put(event.value, event.message.placement)

        self.agent(source, name=f"deliver-{topic}")(deliver_batches)
        return delivery

    def look(self, name: str, look: Callable[[], Awaitable[bool]]) -> None:
        """Looks once tables were written, or partitions came or went; `look` says if it waits for more than that."""
        held = self.deliveries.values
        self.repeat(name, LOOK_EVERY_S, Looks(self._pulse, look, lambda: [each.partitions for each in held()]))

    def repeat(self, name: str, every_s: float, look: Callable[[], Awaitable[object]]) -> None:
        """Looks again and again, outside every stream; a store that is away is asked again the next time."""

        @self.task
        async def looking() -> None:
            while not self.should_stop:
                try:
                    await look()
                except (StoreUnavailable, KafkaUnavailable) as error:
                    log.warning("%s: %s; looking again", name, error)
                except Exception as error:
                    log.critical("%s: cannot go on: %s", name, error, exc_info=error)
                    self.fail(error)
                    raise
                await self.sleep(every_s)

    def stored_offsets(self) -> dict[TP, int]:
        """What may be committed: as far as each delivery has stored."""
        return {
            TP(topic, partition): offset
            for topic, delivery in self.deliveries.items()
            for partition, offset in delivery.stored().items()
        }

    async def close_deliveries(self) -> None:
        """Ends running inserts of all deliveries, within a limit; nothing more is taken until partitions are placed."""
        await asyncio.gather(*(delivery.close(CLOSE_WITHIN_S) for delivery in self.deliveries.values()))

    def place_soon(self) -> None:
        """Places the assigned partitions, in the background: a store that is away must not hold up a rebalance."""
        self._placement += 1
        self.add_future(self._place(self._placement))

    async def _place(self, placement: int) -> None:
        try:
            async with self._placing:
                await self._place_in_turn(placement)
        except Exception as error:
            log.critical("partitions could not be placed: %s: %s", type(error).__name__, error, exc_info=error)
            self.fail(error)
            raise

    async def _place_in_turn(self, placement: int) -> None:
        give_up_at = time.monotonic() + self.settings.store_retry_s
        pause = FIRST_RETRY_S
        while placement == self._placement and not self.should_stop:
            await self.close_deliveries()
            try:
                await self._place_once(placement)
                return
            except (StoreUnavailable, KafkaUnavailable) as error:
                if time.monotonic() >= give_up_at:
                    raise
                log.warning("partitions wait for their ledger: %s; asking again in %.1f s", error, pause)
            except IllegalStateError:
                return  # a partition went while we asked: the rebalance that took it places again
            await self.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY_S)

    async def _place_once(self, placement: int) -> None:
        held = self.consumer.assignment()
        found = {
            topic: await delivery.positions(sorted(tp.partition for tp in held if tp.topic == topic))
            for topic, delivery in self.deliveries.items()
        }
        if placement != self._placement:
            return
        for topic, delivery in self.deliveries.items():
            delivery.open(found[topic], placement)
        await self.consumer.place(
            {TP(topic, partition): offset for topic, places in found.items() for partition, offset in places.items()},
            placement,
        )
        log.info("reading %s", ", ".join(f"{topic} {sorted(places)}" for topic, places in found.items()))

    def lost_place(self, delivery: Delivery, batch: RecordBatch, expected: int) -> None:
        """A batch begins where none should: the log changed under us, or a position did. The ledger is asked again."""
        what = f"{delivery.topic}/{batch.partition}: expected offset {expected}, got {batch.first_offset}"
        self._lost[delivery.topic, batch.partition, expected] += 1
        if self._lost[delivery.topic, batch.partition, expected] > LOST_AT_MOST:
            self.fail(PlaceLost(what))
            return
        log.warning("%s: asking the ledger again", what)
        self.place_soon()

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
        self.failure = self.failure or error
        self.failed.set()
