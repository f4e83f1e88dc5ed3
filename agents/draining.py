"""Record batches straight out of aiokafka's fetcher: per partition, contiguous, without an object per record.

The only private parts of aiokafka that we touch are named here and looked for at start. Where one of `FAST_NEEDS` is
missing, `drain_records` does the same record by record, more slowly; without `ALL_NEED` no position is known and a
worker does not start. Aborted transactions are skipped (read_committed) with aiokafka's own bookkeeping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, KafkaError

from agents.record_batch import RecordBatch, empty_batch

FAST_NEEDS = {
    "PartitionRecords": ("_records", "_check_crcs", "_isolation_level", "_aborted_producers", "_consume_aborted_up_to",
                         "_contains_abort_marker"),
    "FetchResult": ("check_assignment", "_update_position"),
}  # fmt: skip
ALL_NEED = {
    "PartitionRecords": ("next_fetch_offset",),
    "FetchResult": ("_partition_records", "has_more", "getone"),
    "FetchError": ("check_raise",),
    "Fetcher": ("_records", "_subscriptions", "_wait_consume_future", "_closed", "_notify", "_create_fetch_waiter"),
}
READ_COMMITTED = 1


class UnreadableBatch(KafkaError):  # type: ignore[misc]
    """The next record batch has a wrong checksum, or a codec that is not installed. Nothing before it is affected."""


def has_parts(needed: Mapping[str, Sequence[str]]) -> bool:
    """Whether this aiokafka has the private parts named per class of its fetcher."""
    kinds = {name: getattr(fetcher, name, None) for name in needed}
    return all(
        kind is not None and part in (*kind.__init__.__code__.co_names, *dir(kind))
        for name, kind in kinds.items()
        for part in needed[name]
    )


def drain(result: Any, topic: str, partition: int, tp: Any, max_records: int) -> list[RecordBatch]:
    """Everything that a fetch holds for a partition, in batches of about `max_records`.

    A batch that cannot be read (checksum, codec) never hides what precedes it: that is returned, and the error comes
    with the next fetch. Raises UnreadableBatch if the first batch is the bad one; the position stays before it.
    """
    if not result.has_more() or not result.check_assignment(tp):
        return []
    held = result._partition_records
    builder = _Builder(topic, partition, held.next_fetch_offset, max_records)
    try:
        while held._records.has_next():
            _take(held, builder, tp)
    except Exception as error:  # whatever a codec raises
        if builder.position == builder.start:
            # The iterator is past the bad batch: it must be fetched again, or the next poll would skip it.
            result._partition_records = None
            raise UnreadableBatch(f"{topic}/{partition} at offset {builder.start}: {error!r}") from error
    held.next_fetch_offset = builder.position
    result._update_position()
    result._partition_records = None
    return builder.finish()


def _take(held: Any, builder: _Builder, tp: Any) -> None:
    batch = held._records.next_batch()
    if held._check_crcs and not batch.validate_crc():
        raise CorruptRecordException(f"Invalid CRC - {tp}")
    if held._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        held._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and held._contains_abort_marker(batch):
            held._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in held._aborted_producers:
            builder.skip_to(batch.next_offset)
            return
    if batch.is_control_batch:
        builder.skip_to(batch.next_offset)
        return
    records = list(batch)
    if batch.base_offset < builder.position:
        records = [record for record in records if record.offset >= builder.position]
    builder.add(records, batch.next_offset)


def drain_records(result: Any, topic: str, partition: int, tp: Any, max_records: int) -> list[RecordBatch]:
    """The slower way, record by record, for an aiokafka that we do not know inside. Raises as `drain` does."""
    held = result._partition_records
    if held is None:
        return []
    builder = _Builder(topic, partition, held.next_fetch_offset, max_records)
    try:
        while (record := result.getone()) is not None:
            builder.add([record], record.offset + 1)
    except Exception as error:  # whatever a codec raises
        result._partition_records = None
        if builder.position == builder.start:
            raise UnreadableBatch(f"{topic}/{partition} at offset {builder.start}: {error!r}") from error
        return builder.finish()
    builder.skip_to(held.next_fetch_offset)
    return builder.finish()


class _Builder:
    """Collects records into batches, tracking the position behind the last one."""

    __slots__ = ("_first", "_max", "_out", "_partition", "_records", "_topic", "position", "start")

    def __init__(self, topic: str, partition: int, start: int, max_records: int) -> None:
        self._topic, self._partition, self._max = topic, partition, max_records
        self.start = self.position = self._first = start
        self._records: list[Any] = []
        self._out: list[RecordBatch] = []

    def skip_to(self, offset: int) -> None:
        """Offsets without records."""
        self.position = max(self.position, offset)

    def add(self, records: list[Any], next_offset: int) -> None:
        """Records, and the offset behind their batch."""
        self._records += records
        self.position = max(self.position, next_offset)
        if len(self._records) >= self._max:
            self._cut()

    def finish(self) -> list[RecordBatch]:
        """The batches; the last one may be empty, if only offsets without records are left."""
        if self.position > self._first:
            self._cut()
        return self._out

    def _cut(self) -> None:
        records = self._records
        if not records:
            self._out.append(empty_batch(self._topic, self._partition, self._first, self.position))
        else:
            self._out.append(
                RecordBatch(
                    self._topic,
                    self._partition,
                    self._first,
                    self.position,
                    self._offsets(),
                    [*map(_TIMESTAMP, records)],
                    [*map(_KEY, records)],
                    _shared([*map(_HEADERS, records)]),
                    [*map(_VALUE, records)],
                )
            )
        self._first, self._records = self.position, []

    def _offsets(self) -> Sequence[int]:
        """Those of the records; where each offset has one, they need not be asked."""
        if len(self._records) == self.position - self._first:
            return range(self._first, self.position)
        return [record.offset for record in self._records]


_TIMESTAMP, _KEY, _HEADERS, _VALUE = map(attrgetter, ("timestamp", "key", "headers", "value"))


def _shared(headers: list[Any]) -> list[Any]:
    """The same headers as one object, where all records have the same: they are a third of what a record weighs."""
    return [headers[0]] * len(headers) if headers.count(headers[0]) == len(headers) else headers
