"""Publishes many records fast: whole batches per partition, each acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.logs import partition_of
from agents.settings import Settings
from agents.topics import KafkaUnavailable

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

    def __init__(self, settings: Settings, topic: str, *, partitions: int, headers: Headers = STRUCTURED) -> None:
        self._settings = settings
        self._topic = settings.topic_prefix + topic
        self._partitions = partitions
        self._headers = list(headers)
        self._places: dict[bytes, int] = {}
        self._next = count()
        self._producer: Any = None

    async def start(self) -> None:
        """Connects. Raises KafkaUnavailable when no broker answers."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
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

    def partition_of(self, key: bytes | None) -> int:
        """Where a record goes: by its key as every Kafka client does it, in turn without one."""
        if key is None:
            return next(self._next) % self._partitions
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = partition_of(key, self._partitions)
        return place

    async def publish(self, records: Iterable[tuple[bytes | None, bytes]]) -> None:
        """Returns once all in-sync replicas have every record. Raises KafkaUnavailable."""
        by_partition: list[list[tuple[bytes | None, bytes]]] = [[] for _ in range(self._partitions)]
        for record in records:
            by_partition[self.partition_of(record[0])].append(record)
        sending = [self._send(partition, each) for partition, each in enumerate(by_partition) if each]
        try:
            await asyncio.gather(*sending)
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error

    async def _send(self, partition: int, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        acknowledged = []
        batch = self._producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=None, headers=self._headers) is None:
                acknowledged.append(await self._producer.send_batch(batch, self._topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=self._headers)
        acknowledged.append(await self._producer.send_batch(batch, self._topic, partition=partition))
        await asyncio.gather(*acknowledged)
