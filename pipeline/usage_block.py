"""A batch of records, judged: each in exactly one of three lists, with its position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from pipeline.validation import Correction, Event, Rejection, validate
from schemas.dead_letter import DeadLetter

MS_PER_DAY = 86_400_000
MS_PER_PANE = 300_000


class EventRow(NamedTuple):
    """An event with its position and the broker's time."""

    event: Event
    partition: int
    offset: int
    appended_at_ms: int


class CorrectionRow(NamedTuple):
    """A correction with its position and the broker's time."""

    correction: Correction
    partition: int
    offset: int
    appended_at_ms: int


class Record(NamedTuple):
    """A record of usage.events as it came."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    value: bytes | None


@dataclass(slots=True)
class UsageBlock:
    """What a batch holds, and which five-minute panes it touches."""

    events: list[EventRow] = field(default_factory=list)
    corrections: list[CorrectionRow] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    panes: set[int] = field(default_factory=set)


def judge(topic: str, records: Iterable[Record], *, wall_clock: bool) -> UsageBlock:
    """Puts every record into exactly one list of a block."""
    block = UsageBlock()
    for record in records:
        partition, offset, timestamp_ms, key, headers, value = record
        verdict = validate(value, key, headers, timestamp_ms, wall_clock=wall_clock)
        if type(verdict) is Event:
            block.events.append(EventRow(verdict, partition, offset, timestamp_ms))
            block.panes.add(verdict.ts_ms // MS_PER_PANE)
        elif type(verdict) is Correction:
            block.corrections.append(CorrectionRow(verdict, partition, offset, timestamp_ms))
            if verdict.event is not None:
                block.panes.add(verdict.event.ts_ms // MS_PER_PANE)
        else:
            refused = cast(Rejection, verdict)
            letter = DeadLetter.model_construct(
                topic=topic, partition=partition, offset=offset, reason=refused.reason, detail=refused.detail,
                source=refused.source, key=key, headers=tuple(headers or ()), value=value, appended_at_ms=timestamp_ms,
            )  # fmt: skip
            block.dead_letters.append(letter)
    return block
