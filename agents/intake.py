"""Usage on its way from many requests to the broker: what arrives while a batch is under way leaves in the next.

Whoever sends waits until every in-sync replica has his records, not longer; and nobody waits for a timer. What is held
is bounded in bytes: beyond, a sender is turned away at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.logs import partition_of
from agents.publisher import STRUCTURED
from agents.settings import Settings
from agents.topics import USAGE_EVENTS, KafkaUnavailable

BATCH_BYTES = 1024 * 1024
RECORD_BYTES = 64
"""What a record weighs beside its value."""

Record = tuple[bytes, bytes]
"""Key and value."""


class IntakeFull(Exception):
    """Too much is under way: come again in a moment."""


@dataclass(slots=True)
class _Parcel:
    """The records of one sender for one partition."""

    records: Sequence[Record]
    size: int
    since: float
    acknowledged: asyncio.Future[None]


@dataclass(slots=True)
class _Lane:
    """What goes to one partition, in the order in which it came."""

    partition: int
    waiting: list[_Parcel] = field(default_factory=list)
    working: asyncio.Task[None] | None = None


class Intake:
    """Sends records to usage.events; one producer, a lane per partition."""

    def __init__(self, settings: Settings, *, partitions: int, pending_bytes: int, ack_within_s: float) -> None:
        self._settings = settings
        self._topic = settings.topic_prefix + USAGE_EVENTS
        self._lanes = [_Lane(partition) for partition in range(partitions)]
        self._pending_limit, self._ack_within_s = pending_bytes, ack_within_s
        self._places: dict[bytes, int] = {}
        self._producer: Any = None
        self._renewing = asyncio.Lock()
        self._closing: asyncio.Future[None] | None = None
        self.pending_bytes = 0

    async def start(self) -> None:
        """Connects. Raises KafkaUnavailable when no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
            max_request_size=8 * 1024 * 1024,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error
        self._producer = producer

    async def _renew(self, failed: Any) -> None:
        """Another producer in the place of one that failed: some failures end it for good, such as a topic that was
        created anew. Nothing is sent by the old one any more; whoever waited has been told."""
        async with self._renewing:
            if failed is not self._producer:
                return
            with suppress(KafkaUnavailable):  # the failed one stays, and fails again, until a broker answers
                await self.start()
                self._closing = asyncio.ensure_future(failed.stop())
                self._closing.add_done_callback(_seen)

    async def stop(self, within_s: float) -> None:
        """Sends what is under way, within a limit, and closes."""
        working = [lane.working for lane in self._lanes if lane.working is not None]
        if working:
            await asyncio.wait(working, timeout=within_s)
        for task in working:
            task.cancel()
        # The producer waits for its broker for ever; whoever was told nothing sends again.
        await asyncio.wait([asyncio.ensure_future(self._producer.stop())], timeout=1)

    @property
    def waited_s(self) -> float:
        """How long the oldest record that is not acknowledged has waited; 0 if none waits."""
        oldest = min((parcel.since for lane in self._lanes for parcel in lane.waiting), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    async def send(self, records: Sequence[Record]) -> None:
        """Returns once all in-sync replicas have every record. Raises IntakeFull, KafkaUnavailable.

        After a failure some records may be in the log, or come into it later: sending all again is safe.
        """
        size = sum(len(key) + len(value) + RECORD_BYTES for key, value in records)
        if self.waited_s > self._ack_within_s:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka} has not acknowledged for {self.waited_s:.0f} s")
        if self.pending_bytes and self.pending_bytes + size > self._pending_limit:
            raise IntakeFull(
                f"{self.pending_bytes:,} bytes are under way to the broker, {self._pending_limit:,} may be"
            )
        waits = [self._enqueue(partition, mine) for partition, mine in self._spread(records).items()]
        done, late = await asyncio.wait(waits, timeout=self._ack_within_s)
        if late:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka} did not acknowledge within {self._ack_within_s} s")
        for failure in [found for each in done if (found := each.exception()) is not None]:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {failure!r}") from failure

    def _spread(self, records: Sequence[Record]) -> dict[int, list[Record]]:
        """Records by partition, in order: by key, as every Kafka client does it."""
        spread: dict[int, list[Record]] = {}
        for record in records:
            key = record[0]
            place = self._places.get(key)
            if place is None:
                if len(self._places) > 1_000_000:
                    self._places.clear()
                place = self._places[key] = partition_of(key, len(self._lanes))
            spread.setdefault(place, []).append(record)
        return spread

    def _enqueue(self, partition: int, records: Sequence[Record]) -> asyncio.Future[None]:
        size = sum(len(key) + len(value) + RECORD_BYTES for key, value in records)
        parcel = _Parcel(records, size, time.monotonic(), asyncio.get_running_loop().create_future())
        parcel.acknowledged.add_done_callback(_seen)
        self.pending_bytes += size
        lane = self._lanes[partition]
        lane.waiting.append(parcel)
        if lane.working is None or lane.working.done():
            lane.working = asyncio.ensure_future(self._work(lane))
        return parcel.acknowledged

    async def _work(self, lane: _Lane) -> None:
        """Sends what waits, batch after batch, until nothing does. A parcel waits until it is answered."""
        while lane.waiting:
            producer = self._producer
            parcels, batches = self._packed(lane, producer)
            failure: Exception | None = None
            try:
                sent = [await producer.send_batch(each, self._topic, partition=lane.partition) for each in batches]
                await asyncio.gather(*sent)
            except (KafkaError, OSError) as error:
                failure = error
            del lane.waiting[: len(parcels)]
            for parcel in parcels:
                self._answer(parcel, failure)
            if failure is not None:
                await self._renew(producer)

    def _packed(self, lane: _Lane, producer: Any) -> tuple[list[_Parcel], list[Any]]:
        """The next parcels, as many as fit into about one batch, and the batches that hold them."""
        parcels: list[_Parcel] = []
        size = 0
        for parcel in lane.waiting:
            if parcels and size + parcel.size > BATCH_BYTES:
                break
            parcels.append(parcel)
            size += parcel.size
        batches = [producer.create_batch()]
        for key, value in (record for parcel in parcels for record in parcel.records):
            if batches[-1].append(key=key, value=value, timestamp=None, headers=HEADERS) is None:
                batches.append(producer.create_batch())
                batches[-1].append(key=key, value=value, timestamp=None, headers=HEADERS)
        return parcels, batches

    def _answer(self, parcel: _Parcel, failure: Exception | None) -> None:
        self.pending_bytes -= parcel.size
        if parcel.acknowledged.done():
            return
        if failure is None:
            parcel.acknowledged.set_result(None)
        else:
            parcel.acknowledged.set_exception(failure)


HEADERS = list(STRUCTURED)


def _seen(answer: asyncio.Future[None]) -> None:
    """A sender that went away does not ask for its answer; that is no fault."""
    if not answer.cancelled():
        answer.exception()
