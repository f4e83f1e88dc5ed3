"""The log, counted again by code that knows nothing of ours: a plain consumer, the JSON library, dictionaries."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.crash.usage import CORRECTOR, SOURCE

Row = tuple[int, str, str, str]
"""Number, subject, time to the millisecond, tokens: what an event says."""


@dataclass(slots=True)
class Partition:
    """One partition of usage.events, record by record."""

    end: int = 0
    first: dict[Row | tuple[int, str, str], int] = field(default_factory=dict)
    """(number, subject, time) -> offset of its first record here."""
    events: dict[int, Row] = field(default_factory=dict)
    """Offset -> event; only the first of each number: what is stored once its copies have collapsed."""
    copies: list[int] = field(default_factory=list)
    corrections: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)

    def below(self, offset: int) -> tuple[int, int, int]:
        """Events (with their copies), corrections and broken records below an offset. Needs `sort` first."""
        return (
            bisect_left(self._accepted, offset), bisect_left(self.corrections, offset), bisect_left(self.broken, offset)
        )  # fmt: skip

    _accepted: list[int] = field(default_factory=list)

    def sort(self) -> None:
        """Once everything was read."""
        self._accepted = sorted([*self.events, *self.copies])

    def take(self, offset: int, value: bytes) -> None:
        """One record."""
        self.end = offset + 1
        try:
            event = json.loads(value)
        except ValueError:
            self.broken.append(offset)
            return
        if event["source"] == CORRECTOR:
            self.corrections.append(offset)
            return
        assert event["source"] == SOURCE
        place = (int(event["id"]), event["subject"], event["time"])
        if place in self.first:
            self.copies.append(offset)
        else:
            self.first[place] = offset
            self.events[offset] = (*place, event["data"]["tokens"])


async def read_log(kafka: str, topic: str) -> Mapping[int, Partition]:
    """Every record of a topic, from its first offset to its end as of now."""
    reader: Any = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="none")
    await reader.start()
    try:
        parts = [TopicPartition(topic, number) for number in sorted(reader.partitions_for_topic(topic) or ())]
        if not parts:
            parts = [TopicPartition(topic, number) for number in sorted(await _partitions(reader, topic))]
        reader.assign(parts)
        ends = await reader.end_offsets(parts)
        found = {part.partition: Partition() for part in parts}
        for part in parts:
            reader.seek(part, 0)
        while any(found[part.partition].end < ends[part] for part in parts):
            for part, records in (await reader.getmany(timeout_ms=500, max_records=5000)).items():
                for record in records:
                    if record.offset < ends[part]:
                        found[part.partition].take(record.offset, record.value)
    finally:
        await reader.stop()
    for partition in found.values():
        partition.sort()
    return found


async def read_values(kafka: str, topic: str) -> list[bytes]:
    """The values of a whole topic, from its first offset to its end as of now."""
    reader: Any = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="none")
    await reader.start()
    try:
        parts = [TopicPartition(topic, number) for number in sorted(await _partitions(reader, topic))]
        reader.assign(parts)
        ends = await reader.end_offsets(parts)
        for part in parts:
            reader.seek(part, 0)
        found: list[bytes] = []
        at = dict.fromkeys(parts, 0)
        while any(at[part] < ends[part] for part in parts):
            for part, records in (await reader.getmany(timeout_ms=500, max_records=5000)).items():
                found += [record.value or b"" for record in records if record.offset < ends[part]]
                at[part] = await reader.position(part)
        return found
    finally:
        await reader.stop()


async def _partitions(reader: Any, topic: str) -> set[int]:
    await reader._client.set_topics((topic,))
    return set(reader.partitions_for_topic(topic) or ())
