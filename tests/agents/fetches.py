"""Fetches as aiokafka holds them, built by hand from Kafka record batches."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

TP = TopicPartition("usage.events", 3)
ABORT = struct.pack(">hh", 0, 0)
COMMIT = struct.pack(">hh", 0, 1)
_CONTROL, _TRANSACTIONAL = 0x20, 0x10


def record_batch(
    base: int, values: Sequence[bytes], *, offsets: Sequence[int] | None = None, last: int | None = None,
    producer: int = -1, control: bytes | None = None, compression: int = 0, corrupt: bool = False,
) -> bytes:  # fmt: skip
    """A record batch of format 2: `offsets` leaves gaps as compaction does, `control` makes it a marker."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=compression, is_transactional=producer >= 0, producer_id=producer,
        producer_epoch=0, base_sequence=0, batch_size=1 << 20,
    )  # fmt: skip
    deltas = range(len(values)) if offsets is None else [offset - base for offset in offsets]
    for delta, value in zip(deltas, values, strict=True):
        key = control if control is not None else b"k"
        builder.append(delta, timestamp=1_700_000_000_000 + delta, key=key, value=value, headers=[("h", b"v")])
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)
    attributes = struct.unpack_from(">h", raw, 21)[0] | (_CONTROL if control is not None else 0)
    attributes |= _TRANSACTIONAL if producer >= 0 else 0
    struct.pack_into(">h", raw, 21, attributes)
    if last is not None:
        struct.pack_into(">i", raw, 23, last - base)
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    if corrupt:
        raw[-1] ^= 0xFF
    return bytes(raw)


@dataclass
class Assignment:
    """Of aiokafka's subscription state, what a fetch looks at."""

    position: int
    active: bool = True
    paused: bool = False
    seen: list[int] = field(default_factory=list)

    def state_value(self, tp: object) -> Assignment:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position
        self.seen.append(position)


def fetch(position: int, *batches: bytes, aborted: Sequence[tuple[int, int]] = ()) -> Any:
    """What aiokafka holds after a fetch at `position`; `aborted` are (producer id, first offset)."""
    records = PartitionRecords(
        TP, MemoryRecords(b"".join(batches)), list(aborted), position, None, None, True, READ_COMMITTED
    )
    return FetchResult(TP, assignment=Assignment(position), partition_records=records, backoff=0)


def state() -> Any:
    """A fetcher's subscriptions, with everything assigned."""
    return SimpleNamespace(is_assigned=lambda tp: True, reassignment_in_progress=False)
