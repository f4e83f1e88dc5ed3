"""Publishes many records fast: whole batches per partition, each acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.logs import partition_of
from agents.settings import Settings
from agents.topics import KafkaUnavailable

Record = tuple[bytes | None, bytes]
Headers = tuple[tuple[str, bytes], ...]
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
BATCH_BYTES = 512 * 1024


class _Keyed(msgspec.Struct, gc=False):
    subject: str | None = None


_KEYED = msgspec.json.Decoder(_Keyed)


def subject_of(event: bytes) -> bytes | None:
    """The key of a CloudEvent: its subject; None where it has none that can be read, and then it is dead anyway."""
    try:
        subject = _KEYED.decode(event).subject
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return subject.encode() if subject else None


class Publisher:
    """Sends (key, value) records to one topic of known width, in order within each partition."""

    def __init__(
        self, settings: Settings, topic: str, *, partitions: int, headers: Headers = STRUCTURED,
        compression: str | None = "lz4",
    ) -> None:  # fmt: skip
        self._settings = settings
        self._compression = compression
        self._topic = settings.topic_prefix + topic
        self._partitions = partitions
        self._headers = list(headers)
        self._places: dict[bytes, int] = {}
        self._producer: Any = None

    async def start(self) -> None:
        """Connects. Raises KafkaUnavailable when no broker answers."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            acks="all",
            enable_idempotence=True,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
            max_request_size=8 * 1024 * 1024,
        )
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error

    async def stop(self) -> None:
        """Sends what is under way and closes."""
        await self._producer.stop()

    async def __aenter__(self) -> Publisher:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _by_key(self, key: bytes) -> int:
        """Where a record goes: by its key, as every Kafka client does it."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = partition_of(key, self._partitions)
        return place

    def spread(self, records: Iterable[Record]) -> list[list[Record]]:
        """The records by partition, in order; one without a key goes where its content says, so a rerun agrees."""
        by_partition: list[list[Record]] = [[] for _ in range(self._partitions)]
        for record in records:
            key, value = record
            place = crc32(value) % self._partitions if key is None else self._by_key(key)
            by_partition[place].append(record)
        return by_partition

    async def publish(self, records: Iterable[Record]) -> None:
        """Returns once all in-sync replicas have every record. Raises KafkaUnavailable."""
        spread = enumerate(self.spread(records))
        sending = [self._send(partition, each) for partition, each in spread if each]
        try:
            await asyncio.gather(*sending)
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error

    async def _send(self, partition: int, records: Sequence[Record]) -> None:
        acknowledged = []
        batch = self._producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=None, headers=self._headers) is None:
                acknowledged.append(await self._producer.send_batch(batch, self._topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=self._headers)
        acknowledged.append(await self._producer.send_batch(batch, self._topic, partition=partition))
        await asyncio.gather(*acknowledged)
