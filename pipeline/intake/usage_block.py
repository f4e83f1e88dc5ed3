"""Batches of records, judged: each in exactly one of three places, with its position.

Records are judged some at a time: what is clean becomes columns at once, without an object per event. Where one of
them is anything but a plain event, that handful is judged one by one; both ways give the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Protocol

import msgspec

from pipeline.intake.numbers import exact_payload, is_suspicious
from pipeline.intake.validation import (
    AHEAD_MS,
    KEY_DIFFERS,
    ROUNDED,
    Correction,
    Envelope,
    Event,
    Headers,
    binary_attributes,
    decode,
    validate,
)
from schemas.dead_letter import DeadLetter
from schemas.event_time import EARLIEST_MS, LATEST_MS, all_milliseconds
from schemas.usage_event import CORRECTION_TYPE, DEPTH_MAX, RECORD_MAX

MS_PER_PANE = 300_000
TOGETHER = 256


class Records(Protocol):
    """Consecutive records of one partition, as columns."""

    @property
    def partition(self) -> int: ...
    @property
    def offsets(self) -> Sequence[int]: ...
    @property
    def timestamps(self) -> Sequence[int]: ...
    @property
    def keys(self) -> Sequence[bytes | None]: ...
    @property
    def headers(self) -> Sequence[Headers]: ...
    @property
    def values(self) -> Sequence[bytes | None]: ...


@dataclass(slots=True)
class Events:
    """Accepted events as columns of equal length; `ts_ms` and `appended_at_ms` are milliseconds since 1970."""

    type: list[str] = field(default_factory=list)
    subject: list[str] = field(default_factory=list)
    ts_ms: list[int] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    id: list[str] = field(default_factory=list)
    partition: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)
    exact: list[str] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    sequence: list[str] = field(default_factory=list)
    appended_at_ms: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offset)

    def extend(self, others: Events) -> None:
        """Adds the rows of others."""
        for name in COLUMNS:
            getattr(self, name).extend(getattr(others, name))

    def between(self, from_ms: int, to_ms: int) -> Events:
        """The rows whose time lies in [from_ms, to_ms)."""
        kept = [from_ms <= ts < to_ms for ts in self.ts_ms]
        return Events(*([value for value, keep in zip(getattr(self, name), kept, strict=True) if keep]
                        for name in COLUMNS))  # fmt: skip

    def append(self, event: Event, partition: int, offset: int, appended_at_ms: int) -> None:
        """Adds a row."""
        row = (*event[:5], partition, offset, *event[5:], appended_at_ms)
        for name, value in zip(COLUMNS, row, strict=True):
            getattr(self, name).append(value)


COLUMNS = tuple(column.name for column in fields(Events))


class CorrectionRow(NamedTuple):
    """A correction with its position and the broker's time."""

    correction: Correction
    partition: int
    offset: int
    appended_at_ms: int


@dataclass(slots=True)
class UsageBlock:
    """What batches hold, and which five-minute panes they touch."""

    events: Events = field(default_factory=Events)
    corrections: list[CorrectionRow] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    panes: set[int] = field(default_factory=set)

    def extend(self, other: UsageBlock) -> None:
        """Adds what another block holds."""
        self.events.extend(other.events)
        self.corrections += other.corrections
        self.dead_letters += other.dead_letters
        self.panes |= other.panes


def judge(topic: str, batches: Iterable[Records], *, wall_clock: bool) -> UsageBlock:
    """Puts every record into exactly one place of a block."""
    block = UsageBlock()
    for batch in batches:
        for start in range(0, len(batch.offsets), TOGETHER):
            some = slice(start, start + TOGETHER)
            if not _judge_together(block, batch, some, wall_clock):
                _judge_singly(block, topic, batch, some, wall_clock)
    return block


def _judge_together(block: UsageBlock, batch: Records, some: slice, wall_clock: bool) -> bool:
    """Adds some records that all are plain events; False, and nothing added, if one may be anything else."""
    values, broker_ms = batch.values[some], batch.timestamps[some]
    if not are_structured(batch.headers[some]):
        return False
    try:
        envelopes = [decode(value) for value in values]  # type: ignore[arg-type]  # None is caught
        times = all_milliseconds([envelope.time for envelope in envelopes])  # type: ignore[misc]  # so is None
        payloads = [bytes(envelope.data) for envelope in envelopes]
        exact, rounded = _exact(payloads)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        return False
    types = [envelope.type for envelope in envelopes]
    if not (_are_plain(values, envelopes, payloads, types) and _are_in_time(times, broker_ms, wall_clock)):  # type: ignore[arg-type]
        return False
    subjects = [envelope.subject for envelope in envelopes]
    flags = _flags(batch.keys[some], subjects, rounded)
    events = block.events
    events.type += types
    events.subject += subjects
    events.ts_ms += times
    events.source += [envelope.source for envelope in envelopes]
    events.id += [envelope.id for envelope in envelopes]
    events.partition += [batch.partition] * len(values)
    events.offset += batch.offsets[some]
    events.payload += payloads
    events.exact += exact
    events.flags += flags
    sequences = [envelope.sequence for envelope in envelopes]
    if sequences.count(None) == len(sequences):
        events.sequence += [""] * len(sequences)
    else:
        events.sequence += ["" if found is None else str(found) for found in sequences]
    events.appended_at_ms += broker_ms
    block.panes.update({time // MS_PER_PANE for time in times})
    return True


def are_structured(headers: Sequence[Headers]) -> bool:
    """Whether the headers of some records are those of structured events; producers send the same with each."""
    first = headers[0] if headers else ()
    return headers.count(first) == len(headers) and not (first and binary_attributes(first))


def _exact(payloads: Sequence[bytes]) -> tuple[list[str], list[int]]:
    """The exact forms, and 1 for each that was rounded. Raises NumberOutOfRange."""
    if not is_suspicious(b" ".join(payloads)):
        return [""] * len(payloads), []
    found = [exact_payload(payload) for payload in payloads]
    return [text for text, _ in found], [ROUNDED if rounded else 0 for _, rounded in found]


def _are_plain(
    values: Sequence[bytes], envelopes: Sequence[Envelope], payloads: Sequence[bytes], types: Sequence[str]
) -> bool:
    """Whether decoded records are UTF-8, neither large nor deep, no corrections, and each payload is an object."""
    joined = b"\0".join(values)  # JSON holds no zero byte, so records stay apart
    return (
        (joined.isascii() or _is_utf8(joined))
        and (len(joined) <= RECORD_MAX or max(map(len, values)) <= RECORD_MAX)
        and max(map(len, joined.translate(None, _NO_OPENING).split(b"\0"))) <= DEPTH_MAX + 1
        and {payload[0] for payload in payloads if payload} == {ord("{")}
        and all(payloads)
        and {envelope.data_base64 for envelope in envelopes} == {None}
        and CORRECTION_TYPE not in types
    )


_NO_OPENING = bytes(byte for byte in range(256) if byte not in b"{[\0")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _are_in_time(times: Sequence[int], broker_ms: Sequence[int], wall_clock: bool) -> bool:
    in_range = min(times) >= EARLIEST_MS and max(times) < LATEST_MS
    return in_range and (not wall_clock or max(times) <= min(broker_ms) + AHEAD_MS)


def _flags(keys: Sequence[bytes | None], subjects: Sequence[str], rounded: Sequence[int]) -> Sequence[int]:
    if not rounded and _are_same(keys, subjects):
        return bytes(len(keys))
    wanted = [subject.encode() for subject in subjects]
    differs = [0 if key == want else KEY_DIFFERS for key, want in zip(keys, wanted, strict=True)]
    return [a | b for a, b in zip(differs, rounded, strict=True)] if rounded else differs


def _are_same(keys: Sequence[bytes | None], subjects: Sequence[str]) -> bool:
    """Whether every key is its subject; False may also mean that it was not cheap to say."""
    joined = "\0".join(subjects).encode()
    try:
        return joined.count(b"\0") == len(subjects) - 1 and b"\0".join(keys) == joined  # type: ignore[arg-type]
    except TypeError:  # a record without a key
        return False


def _judge_singly(block: UsageBlock, topic: str, batch: Records, some: slice, wall_clock: bool) -> None:
    rows = zip(
        batch.offsets[some], batch.timestamps[some], batch.keys[some], batch.headers[some], batch.values[some],
        strict=True,
    )  # fmt: skip
    for offset, broker_ms, key, headers, value in rows:
        verdict = validate(value, key, headers, broker_ms, wall_clock=wall_clock)
        if isinstance(verdict, Event):
            block.events.append(verdict, batch.partition, offset, broker_ms)
            block.panes.add(verdict.ts_ms // MS_PER_PANE)
        elif isinstance(verdict, Correction):
            block.corrections.append(CorrectionRow(verdict, batch.partition, offset, broker_ms))
            if verdict.event is not None:
                block.panes.add(verdict.event.ts_ms // MS_PER_PANE)
        else:
            block.dead_letters.append(DeadLetter.model_construct(
                topic=topic, partition=batch.partition, offset=offset, reason=verdict.reason, detail=verdict.detail,
                source=verdict.source, key=key, headers=tuple(headers or ()), value=value, appended_at_ms=broker_ms,
            ))  # fmt: skip
