"""Record batches out of a fetch: every offset from the position on is handed on once, in order, or read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agents.draining import ALL_NEED, FAST_NEEDS, UnreadableBatch, drain, drain_records, has_parts
from agents.record_batch import RecordBatch
from tests.agents.fetches import ABORT, COMMIT, TP, fetch, record_batch

Drain = Callable[[Any, str, int, Any, int], list[RecordBatch]]


@pytest.fixture(params=[drain, drain_records], ids=["fast", "slow"])
def drained(request: pytest.FixtureRequest) -> Callable[..., list[RecordBatch]]:
    take: Drain = request.param

    def run(result: Any, most: int = 1000) -> list[RecordBatch]:
        return take(result, TP.topic, TP.partition, TP, most)

    return run


def spans(batches: Sequence[RecordBatch]) -> list[tuple[int, int, list[int]]]:
    return [(batch.first_offset, batch.next_offset, list(batch.offsets)) for batch in batches]


def test_this_aiokafka_has_the_private_parts_that_the_drain_needs() -> None:
    assert has_parts(FAST_NEEDS)
    assert has_parts(ALL_NEED)
    assert not has_parts({"FetchResult": ("something_else",)})
    assert not has_parts({"NoSuchClass": ("x",)})


def test_records_come_with_offset_time_key_headers_and_value(drained: Callable[..., list[RecordBatch]]) -> None:
    (batch,) = drained(fetch(10, record_batch(10, [b"a", b"b"])))
    assert (batch.topic, batch.partition) == ("usage.events", 3)
    assert list(batch.offsets) == [10, 11]
    assert list(batch.timestamps) == [1_700_000_000_000, 1_700_000_000_001]
    assert list(batch.keys) == [b"k", b"k"]
    assert [tuple(headers) for headers in batch.headers] == [(("h", b"v"),)] * 2
    assert list(batch.values) == [b"a", b"b"]


def test_a_position_inside_a_batch_leaves_out_what_is_below_it(drained: Callable[..., list[RecordBatch]]) -> None:
    assert spans(drained(fetch(12, record_batch(10, [b"a", b"b", b"c", b"d"])))) == [(12, 14, [12, 13])]


def test_the_next_offset_counts_what_compaction_removed(drained: Callable[..., list[RecordBatch]]) -> None:
    first = record_batch(10, [b"a", b"c"], offsets=[10, 12], last=14)
    second = record_batch(20, [b"d"])
    result = fetch(10, first, second)
    assert spans(drained(result)) == [(10, 21, [10, 12, 20])]


def test_a_trailing_marker_arrives_as_offsets_without_a_record(drained: Callable[..., list[RecordBatch]]) -> None:
    marker = record_batch(12, [b"\0\0\0\0\0\0"], producer=7, control=COMMIT)
    result = fetch(12, marker)
    assert spans(drained(result)) == [(12, 13, [])]
    assert result._assignment.position == 13


def test_markers_between_records_belong_to_the_span_but_hold_no_record(
    drained: Callable[..., list[RecordBatch]],
) -> None:
    batches = (
        record_batch(10, [b"a"], producer=7),
        record_batch(11, [b""], producer=7, control=COMMIT),
        record_batch(12, [b"b"]),
    )
    assert spans(drained(fetch(10, *batches))) == [(10, 13, [10, 12])]


def test_aborted_records_are_skipped_and_counted_as_offsets(drained: Callable[..., list[RecordBatch]]) -> None:
    batches = (
        record_batch(10, [b"a", b"b"], producer=7),
        record_batch(12, [b""], producer=7, control=ABORT),
        record_batch(13, [b"c"], producer=7),
        record_batch(14, [b""], producer=7, control=COMMIT),
    )
    assert spans(drained(fetch(10, *batches, aborted=[(7, 10)]))) == [(10, 15, [13])]


@pytest.mark.parametrize("compression", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_kafka_is_read(drained: Callable[..., list[RecordBatch]], compression: int) -> None:
    values = [b"value" * 100, b"again" * 100]
    (batch,) = drained(fetch(0, record_batch(0, values, compression=compression)))
    assert list(batch.values) == values


def test_what_precedes_a_corrupt_batch_is_handed_on_and_the_next_fetch_begins_at_it() -> None:
    result = fetch(10, record_batch(10, [b"a", b"b"]), record_batch(12, [b"c"], corrupt=True), record_batch(13, [b"d"]))
    assert spans(drain(result, TP.topic, TP.partition, TP, 1000)) == [(10, 12, [10, 11])]
    assert result._assignment.position == 12
    assert not result.has_more()


def test_a_corrupt_batch_at_the_position_is_an_error_and_is_never_passed(
    drained: Callable[..., list[RecordBatch]],
) -> None:
    result = fetch(12, record_batch(12, [b"c"], corrupt=True), record_batch(13, [b"d"]))
    with pytest.raises(UnreadableBatch, match="at offset 12"):
        drained(result)
    assert result._assignment.position == 12
    # The same fetch gives nothing more: going on in it would skip the corrupt batch.
    assert drained(result) == []


def test_batches_are_cut_near_the_wanted_size_and_continue_each_other(
    drained: Callable[..., list[RecordBatch]],
) -> None:
    batches = [record_batch(base, [b"x"] * 10) for base in range(0, 50, 10)]
    cut = drained(fetch(0, *batches), 20)
    assert [(batch.first_offset, batch.next_offset) for batch in cut] == [(0, 20), (20, 40), (40, 50)]
    assert [offset for batch in cut for offset in batch.offsets] == list(range(50))


def test_a_fetch_of_a_partition_that_moved_gives_nothing(drained: Callable[..., list[RecordBatch]]) -> None:
    result = fetch(10, record_batch(10, [b"a"]))
    result._assignment.position = 99
    assert drained(result) == []
    assert result._assignment.position == 99
