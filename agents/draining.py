"""Record batches straight out of aiokafka's fetcher: per partition, contiguous, without an object per record.

The only private parts of aiokafka that we touch are named in `REQUIRED` and asserted at start; where one is missing,
`drain_records` does the same over the public shape, more slowly. Aborted transactions are skipped (read_committed)
with aiokafka's own bookkeeping.
"""

from __future__ import annotations

from typing import Any

from aiokafka.errors import CorruptRecordException

from agents.record_batch import RecordBatch, empty_batch

REQUIRED = {
    "PartitionRecords": ("next_fetch_offset", "_records", "_check_crcs", "_isolation_level", "_aborted_producers",
                         "_consume_aborted_up_to", "_contains_abort_marker"),
    "FetchResult": ("_partition_records", "check_assignment", "has_more", "_update_position", "getall"),
}  # fmt: skip
READ_COMMITTED = 1


def fast_drain_possible() -> bool:
    """Whether this aiokafka has every private part that the fast drain uses."""
    from aiokafka.consumer import fetcher

    code = {
        "PartitionRecords": fetcher.PartitionRecords.__init__.__code__.co_names + tuple(dir(fetcher.PartitionRecords)),
        "FetchResult": fetcher.FetchResult.__init__.__code__.co_names + tuple(dir(fetcher.FetchResult)),
    }
    return all(name in code[kind] for kind, names in REQUIRED.items() for name in names)


def drain(result: Any, topic: str, partition: int, tp: Any, max_records: int) -> list[RecordBatch]:
    """Everything that a fetch holds for a partition, in batches of about `max_records`.

    A batch that cannot be read (checksum, codec) never hides what precedes it: that is returned, and the error comes
    with the next fetch. Raises what aiokafka would raise if the first batch is the bad one.
    """
    if not result.check_assignment(tp) or not result.has_more():
        return []
    held = result._partition_records
    builder = _Builder(topic, partition, held.next_fetch_offset, max_records)
    try:
        while held._records.has_next():
            _take(held, builder, tp)
    except Exception:
        if builder.position == builder.start:
            raise
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


def drain_records(result: Any, topic: str, partition: int, max_records: int) -> list[RecordBatch]:
    """The slower way over `getall`, for an aiokafka that we do not know inside."""
    held = result._partition_records
    start = held.next_fetch_offset if held is not None else 0
    records = result.getall(None)
    end = held.next_fetch_offset if held is not None else start
    if end == start:
        return []
    builder = _Builder(topic, partition, start, max_records)
    builder.add(records, end)
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
                    [record.offset for record in records],
                    [record.timestamp for record in records],
                    [record.key for record in records],
                    [record.headers for record in records],
                    [record.value for record in records],
                )
            )
        self._first, self._records = self.position, []
