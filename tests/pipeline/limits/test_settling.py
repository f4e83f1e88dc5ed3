"""Which events settle reservations: accepted ones that carry the attribute, in any mode, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pipeline.intake.usage_block import judge
from pipeline.limits.settling import settlements
from tests.builders import attributes

AT = "2026-10-05 10:00"


@dataclass
class Batch:
    values: list[bytes]
    headers: list[list[tuple[str, bytes]]]
    partition: int = 2
    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    keys: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.values)
        self.offsets, self.timestamps, self.keys = list(range(10, 10 + count)), [1] * count, [None] * count


def found(*values: bytes, headers: list[tuple[str, bytes]] | None = None) -> list[tuple[str, int]]:
    batch = Batch(list(values), [headers or []] * len(values))
    block = judge("usage.events", [batch], wall_clock=False)  # type: ignore[list-item]
    return [(each.reservation, each.offset) for each in settlements(batch, block.events)]  # type: ignore[arg-type]


def usage(data: object = None, **others: object) -> bytes:
    return json.dumps(attributes("acme/key", AT, data or {}, **others)).encode()


def test_an_event_that_carries_an_id_settles_that_reservation() -> None:
    assert found(usage(), usage(reservation="r-1"), usage(reservation="r-2")) == [("r-1", 11), ("r-2", 12)]


def test_the_word_elsewhere_a_number_and_a_long_text_settle_nothing() -> None:
    assert found(usage({"reservation": "r-1"}), usage(reservation=7), usage(reservation="x" * 201)) == []


def test_a_refused_record_settles_nothing() -> None:
    assert found(usage(reservation="r-1", id="")) == []


BINARY = [
    ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/test"), ("ce_type", b"call"),
    ("ce_subject", b"acme/key"), ("ce_time", b"2026-10-05T10:00:00Z"), ("ce_reservation", b"r-9"),
]  # fmt: skip


def test_a_binary_event_carries_it_in_a_header() -> None:
    assert found(b"{}", headers=BINARY) == [("r-9", 10)]


def test_among_structured_events_a_binary_one_is_seen() -> None:
    batch = Batch([usage(), b"{}", usage()], [[], BINARY, []])
    block = judge("usage.events", [batch], wall_clock=False)  # type: ignore[list-item]
    assert [each.reservation for each in settlements(batch, block.events)] == ["r-9"]  # type: ignore[arg-type]


def test_of_no_records_there_are_none() -> None:
    assert found() == []
