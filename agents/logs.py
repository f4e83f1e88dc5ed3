"""Topics read and written as logs: by partition and offset, without a consumer group and without committing.

Topic names are those of design.md §4; the deployment's prefix is added here and nowhere else. Readers see committed
records only, so an end offset is the last stable one: everything below it is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.partitioner import murmur2

from agents.broker import BrokerRefused, addresses, sorted_failures
from agents.settings import Settings

Headers = tuple[tuple[str, bytes], ...]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLL_MS = 500


class TopicMissing(Exception):
    """The topic does not exist: `tally topics` creates it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a log with its position; `appended_at` is the record's timestamp, the broker's on our topics."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to append; without a `partition` its key decides."""

    key: bytes | None
    value: bytes
    headers: Headers = ()
    partition: int | None = None


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key among `partitions`: murmur2, as Kafka's own clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Logs:
    """Reads and appends; `start` connects, `stop` closes. Methods may be called from several tasks of one loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = None
        self._reader: Any = None
        self._producer: Any = None
        self._reading = asyncio.Lock()
        self._counts: dict[str, int] = {}

    async def start(self) -> None:
        """Connects. Raises `BrokerUnavailable` when no broker answers."""
        with sorted_failures(self._settings):
            self._admin = AIOKafkaAdminClient(bootstrap_servers=addresses(self._settings))
            self._reader = self._consumer()
            self._producer = AIOKafkaProducer(
                bootstrap_servers=addresses(self._settings),
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                max_request_size=4 * 1024 * 1024,
            )
            try:
                await asyncio.gather(self._admin.start(), self._reader.start(), self._producer.start())
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Sends what is under way and closes; calling it again does nothing."""
        clients = (self._producer, self._reader)
        admin, self._admin, self._reader, self._producer = self._admin, None, None, None
        for client in clients:
            if client is not None:
                await client.stop()
        if admin is not None:
            await admin.close()

    async def __aenter__(self) -> Logs:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `TopicMissing`."""
        if topic not in self._counts:
            with sorted_failures(self._settings):
                found = await self._admin.describe_topics()
            name = self._name(topic)
            count = next((len(entry["partitions"]) for entry in found if entry["topic"] == name), 0)
            if not count:
                raise TopicMissing(name)
            self._counts[topic] = count
        return self._counts[topic]

    async def begin_offsets(self, topic: str) -> tuple[int, ...]:
        """The first readable offset of each partition."""
        return await self._offsets(topic, "beginning_offsets")

    async def end_offsets(self, topic: str) -> tuple[int, ...]:
        """The `next_offset` (exclusive) of each partition: everything below it is committed or aborted."""
        return await self._offsets(topic, "end_offsets")

    async def _offsets(self, topic: str, method: str) -> tuple[int, ...]:
        name = self._name(topic)
        wanted = [TopicPartition(name, partition) for partition in range(await self.partitions(topic))]
        with sorted_failures(self._settings):
            found: Mapping[TopicPartition, int] = await getattr(self._reader, method)(wanted)
        return tuple(found[partition] for partition in wanted)

    async def read(self, topic: str, partition: int, start: int, end: int) -> list[Record]:
        """Records of one partition with `start <= offset < end`, in order; fewer where the log has gaps.

        Waits until the log reaches `end`; pass an end offset. Raises `BrokerRefused` if `start` was deleted.
        """
        if start >= end:
            return []
        place = TopicPartition(self._name(topic), partition)
        records: list[Record] = []
        async with self._reading:
            with sorted_failures(self._settings):
                self._reader.assign([place])
                self._reader.seek(place, start)
                while await self._reader.position(place) < end:
                    records += await self._poll(self._reader, topic)
        return [record for record in records if record.offset < end]

    async def read_all(self, topic: str) -> list[Record]:
        """Every record of a topic up to its present end; by partition, then offset."""
        starts, ends = await self.begin_offsets(topic), await self.end_offsets(topic)
        records: list[Record] = []
        for partition, (start, end) in enumerate(zip(starts, ends, strict=True)):
            records += await self.read(topic, partition, start, end)
        return records

    async def follow(self, topic: str, starts: Sequence[int]) -> AsyncIterator[Record]:
        """Records from `starts` (an offset per partition) on, for ever; order holds within a partition."""
        name = self._name(topic)
        consumer = self._consumer()
        try:
            with sorted_failures(self._settings):
                await consumer.start()
                consumer.assign([TopicPartition(name, partition) for partition in range(len(starts))])
                for partition, start in enumerate(starts):
                    consumer.seek(TopicPartition(name, partition), start)
            while True:
                with sorted_failures(self._settings):
                    records = await self._poll(consumer, topic)
                for record in records:
                    yield record
        finally:
            await consumer.stop()

    async def append(
        self, topic: str, key: bytes | None, value: bytes, headers: Headers = (), partition: int | None = None
    ) -> tuple[int, int]:
        """Appends one record and returns its (partition, offset) once all in-sync replicas have it."""
        (position,) = await self.extend(topic, [Entry(key, value, headers, partition)])
        return position

    async def extend(self, topic: str, entries: Iterable[Entry]) -> list[tuple[int, int]]:
        """Appends in order, returns each (partition, offset) once all in-sync replicas have all of them."""
        await self.partitions(topic)  # a topic that is missing is named instead of waited for
        with sorted_failures(self._settings):
            sent = [
                await self._producer.send(
                    self._name(topic), entry.value, entry.key, entry.partition, headers=list(entry.headers)
                )
                for entry in entries
            ]
            acknowledged = await asyncio.gather(*sent)
        return [(metadata.partition, metadata.offset) for metadata in acknowledged]

    def _name(self, topic: str) -> str:
        return self._settings.topic_prefix + topic

    def _consumer(self) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=addresses(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )

    async def _poll(self, consumer: Any, topic: str) -> list[Record]:
        try:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
        except OffsetOutOfRangeError as error:
            raise BrokerRefused(f"{self._name(topic)}: an offset asked for is no longer in the log: {error}") from error
        return [_record(topic, message) for messages in fetched.values() for message in messages]


def _record(topic: str, message: Any) -> Record:
    return Record(
        topic=topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers),
        appended_at=EPOCH + timedelta(milliseconds=message.timestamp),
    )
