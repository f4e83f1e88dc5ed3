"""Topics read and written as logs: by position, without a consumer group, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.partitioner import murmur2

from agents.epochs import EpochLog
from agents.settings import Settings
from agents.topics import USAGE_EVENTS, KafkaRefused, KafkaUnavailable, TopicMissing
from pipeline.proof.stretches import Stretch, stretches
from schemas.epoch import Epoch

IDLE_MS = 300


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record with its position."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key among `partitions`: murmur2, as every Kafka client counts."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Logs:
    """A producer and readers on one cluster; names are given without the prefix."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._reader: AIOKafkaConsumer | None = None
        # One reader is shared: its assignment and its seeks belong together.
        self._reading = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._counts: dict[str, int] = {}
        self._epochs = EpochLog(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Sends what is pending and closes the connections."""
        if self._producer is not None:
            await self._producer.stop()
        if self._reader is not None:
            await self._reader.stop()
        self._producer = self._reader = None

    async def producer(self) -> AIOKafkaProducer:
        """The shared producer: acks from all in-sync replicas, one order per partition."""
        async with self._starting:  # many may ask at once, and there is one
            return await self._open_producer()

    async def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka,
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                max_batch_size=256 * 1024,
                # A document of 20,000 lines is 30 MB of JSON; it is the compressed record that the broker bounds.
                max_request_size=64 * 1024 * 1024,
                linger_ms=2,
            )
            await _started(producer, self._settings.kafka)
            self._producer = producer
        return self._producer

    async def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> tuple[int, int]:
        """Appends a record; returns its partition and offset once the broker has it."""
        try:
            sent = await self.send(topic, key, value, partition=partition, headers=headers)
            stored = await sent
        except KafkaError as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error
        return stored.partition, stored.offset + await self._shift(topic, stored.partition)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Any:
        """Hands a record to the producer; the future that it returns ends with the broker's answer."""
        await self.partitions(topic)
        producer = await self.producer()
        name = self._settings.topic_prefix + topic
        return await producer.send(name, value=value, key=key, partition=partition, headers=list(headers))

    async def all_stored(self, sent: Iterable[Awaitable[Any]]) -> None:
        """Waits for the broker's answers to records that were handed in one after the other."""
        try:
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises TopicMissing at once: a client that asks by name waits 40 s."""
        if topic not in self._counts:
            counts = await self._all_partitions()
            name = self._settings.topic_prefix + topic
            if name not in counts:
                raise TopicMissing(f"topic {name} is not there: create it with: tally topics")
            self._counts[topic] = counts[name]
        return self._counts[topic]

    async def _all_partitions(self) -> dict[str, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
        try:
            await admin.start()
            return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error
        finally:
            await admin.close()

    async def partition_of(self, topic: str, key: bytes) -> int:
        """The partition of a key of a topic."""
        return partition_of(key, await self.partitions(topic))

    async def end_offsets(self, topic: str) -> tuple[int, ...]:
        """`next_offset` of every partition, by partition."""
        return (await self.bounds(topic))[1]

    async def bounds(self, topic: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First and next offset of every partition, by partition."""
        parts = [TopicPartition(self._settings.topic_prefix + topic, p) for p in range(await self.partitions(topic))]
        async with self._reading:
            reader = await self._open_reader()
            try:
                begins = await reader.beginning_offsets(parts)
                ends = await reader.end_offsets(parts)
            except KafkaError as error:
                raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error
        shifts = [await self._shift(topic, part.partition) for part in parts]
        return (
            tuple(begins[part] + shift for part, shift in zip(parts, shifts, strict=True)),
            tuple(ends[part] + shift for part, shift in zip(parts, shifts, strict=True)),
        )

    async def epochs(self) -> Mapping[int, Epoch]:
        """Which log the positions of each partition of usage.events lie in; without partitions that never changed."""
        return await self._epochs.current()

    async def _shift(self, topic: str, partition: int) -> int:
        """A position minus the broker's offset: 0, unless a log was truncated or re-created and adopted."""
        if topic != USAGE_EVENTS:
            return 0
        epoch = (await self.epochs()).get(partition)
        return epoch.shift if epoch is not None else 0

    async def stretches(self) -> tuple[tuple[Stretch, ...], ...]:
        """Which positions of usage.events its log still holds, by partition: of every epoch, by its own shift."""
        begins, ends = await self.bounds(USAGE_EVENTS)
        known = await self._epochs.history()
        found = []
        for partition, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            epochs = known.get(partition, ())
            shift = epochs[-1].shift if epochs else 0
            found.append(stretches(epochs, begin - shift, end - shift))
        return tuple(found)

    async def read(
        self, topic: str, partition: int, start: int, end: int, *, shift: int | None = None
    ) -> list[LogRecord]:
        """The records of `[start, end)` of a partition; offsets without a record are left out.

        `shift` is that of a stretch of usage.events; None stands for the log as it is now.
        """
        records: list[LogRecord] = []
        async for record in self.stream(topic, partition, start, end, shift=shift):
            records.append(record)
        return records

    async def stream(
        self, topic: str, partition: int, start: int, end: int, *, shift: int | None = None
    ) -> AsyncIterator[LogRecord]:
        """Like `read`, one by one. The reader is busy until the last one is taken."""
        part = TopicPartition(self._settings.topic_prefix + topic, partition)
        if shift is None:
            shift = await self._shift(topic, partition)
        if start < shift:
            raise KafkaRefused(f"{part.topic}:{partition}: position {start} lies before the log that was adopted")
        async with self._reading:
            reader = await self._open_reader()
            reader.assign([part])
            reader.seek(part, start - shift)
            try:
                position = start - shift
                while position < end - shift:
                    for record in await _fetched(reader, part, position):
                        if record.offset >= end - shift:
                            return
                        yield _record(record, shift)
                    # A trailing transaction marker has an offset but no record; the position moves past it.
                    position = await reader.position(part)
            finally:
                reader.pause(part)  # it would go on fetching what nobody asked for

    async def follow(self, topic: str, starts: Sequence[int]) -> AsyncGenerator[LogRecord, None]:
        """All records from given offsets on, as they come; ends only when the caller stops."""
        parts = [TopicPartition(self._settings.topic_prefix + topic, p) for p in range(len(starts))]
        shifts = [await self._shift(topic, part.partition) for part in parts]
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        await _started(reader, self._settings.kafka)
        try:
            reader.assign(parts)
            for part, start in zip(parts, starts, strict=True):
                reader.seek(part, max(0, start - shifts[part.partition]))
            async for record in reader:
                yield _record(record, shifts[record.partition])
        finally:
            await reader.stop()

    async def _open_reader(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = AIOKafkaConsumer(
                bootstrap_servers=self._settings.kafka,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_partition_fetch_bytes=4 * 1024 * 1024,
                # A broker answers a connection's requests in turn: what is asked next waits for a fetch that waits.
                fetch_max_wait_ms=10,
            )
            await _started(reader, self._settings.kafka)
            self._reader = reader
        return self._reader


def _record(record: Any, shift: int) -> LogRecord:
    headers = tuple(record.headers or ())
    return LogRecord(record.partition, record.offset + shift, record.timestamp, record.key, record.value, headers)


async def _fetched(reader: AIOKafkaConsumer, part: TopicPartition, position: int) -> Sequence[Any]:
    try:
        fetched = await reader.getmany(part, timeout_ms=IDLE_MS)
    except OffsetOutOfRangeError as error:
        raise KafkaRefused(f"{part.topic}:{part.partition} no longer holds offset {position}") from error
    return tuple(fetched.get(part, ()))


async def _started(client: Any, address: str) -> None:
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.stop()
        raise KafkaUnavailable(f"Kafka at {address}: {error}") from error
