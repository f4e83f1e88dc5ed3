"""What is asked of ClickHouse about records without a row fits into what it takes: a parameter has 128 KiB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from agents.logs import LogRecord
from agents.positions import AT_ONCE, Positions
from pipeline.proof.positions import Judged, Range
from pipeline.proof.stretches import Stretch
from tests.builders import event

FIELD_MAX = 128 * 1024  # http_max_field_value_size


class Store:
    """Knows no record; notes how many bytes each field of each question has."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def firsts(self, records: Sequence[Judged]) -> dict[Any, Any]:
        fields = [
            [getattr(record.verdict, name) for record in records] for name in ("type", "subject", "source", "id")
        ]  # fmt: skip
        self.asked.append((len(records), max(len(str(texts).encode()) for texts in fields)))
        return {}

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


class Log:
    """Records of one partition, and a clock that nobody started."""

    def __init__(self, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        self._records = [LogRecord(0, offset, 0, key, value, ()) for offset, (key, value) in enumerate(records)]

    async def stream(
        self, topic: str, partition: int, first: int, following: int, shift: int = 0
    ) -> AsyncIterator[LogRecord]:
        for record in self._records[first:following]:
            yield record

    async def end_offsets(self, _: str) -> tuple[int, ...]:
        return (0,)

    async def stretches(self) -> tuple[tuple[Stretch, ...], ...]:
        return ((Stretch(0, len(self._records), 0),),)


@pytest.mark.parametrize(("text", "count"), [("a", 5_000), ("a" * 200, 3_000), ("'\\" * 100, 2_000)])
async def test_many_records_are_asked_about_in_parts_that_fit_into_a_parameter(text: str, count: int) -> None:
    log: Any = Log([event(text, "2026-10-01", id=f"{text}{number}") for number in range(count)])
    store: Any = Store()
    found = await Positions(log, store).look_up([Range(0, 0, count)])
    assert found.lost == count == sum(records for records, _ in store.asked if records)
    assert all(records <= AT_ONCE and size < FIELD_MAX for records, size in store.asked)
