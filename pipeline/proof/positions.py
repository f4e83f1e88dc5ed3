"""A position of usage.events without a row of its own: a copy, nothing, or a row that was lost.

Copies of an event in its partition share the sorting key of the first and collapse into it; the log still holds them.
Whatever else the log holds must have a row. Source: design.md §2.5, §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from pipeline.intake.validation import Correction, Event, Rejection

FAR_APART = 2_000
"""Ranges closer than this are read in one go: finding a place in the log costs as much as reading so many records."""


class Range(NamedTuple):
    """Positions `[first, next)` of a partition."""

    partition: int
    first: int
    next: int


class Judged(NamedTuple):
    """A record that has no row, with its place and the verdict on it."""

    partition: int
    offset: int
    appended_at_ms: int
    verdict: Event | Correction | Rejection


Key = tuple[str, str, int, str, str, int]
"""Type, subject, time, source, id, partition: what a copy shares with the first."""


class First(NamedTuple):
    """The stored row of a key: the copy that counts."""

    offset: int
    payload: bytes


class Copy(NamedTuple):
    """A record that collapsed into an earlier one of its partition."""

    partition: int
    offset: int
    first_offset: int
    kind: Literal["duplicate", "conflict"]
    event: Event
    appended_at_ms: int


class Lost(NamedTuple):
    """A record that should have a row and has none; of a correction, whom it corrects and what it brings."""

    partition: int
    offset: int
    what: Literal["event", "correction", "dead letter"]
    source: str = ""
    id: str = ""
    type: str = ""
    subject: str = ""
    ts_ms: int = 0


def key_of(event: Event, partition: int) -> Key:
    """What copies of an event in a partition share."""
    return event.type, event.subject, event.ts_ms, event.source, event.id, partition


def settled(records: Iterable[Judged], firsts: Mapping[Key, First]) -> Iterator[Copy | Lost]:
    """What each record without a row is; `firsts` are the stored rows of their keys."""
    for record in records:
        found = record.verdict
        if isinstance(found, Rejection):
            yield Lost(record.partition, record.offset, "dead letter", found.source)
        elif isinstance(found, Correction):
            by = found.event
            brought = (by.type, by.subject, by.ts_ms) if by is not None else ()
            yield Lost(record.partition, record.offset, "correction", found.target_source, found.target_id, *brought)
        else:
            first = firsts.get(key_of(found, record.partition))
            if first is None or first.offset >= record.offset:
                yield Lost(record.partition, record.offset, "event", found.source, found.id, found.type, found.subject,
                           found.ts_ms)  # fmt: skip
            else:
                kind: Literal["duplicate", "conflict"] = "duplicate" if first.payload == found.payload else "conflict"
                yield Copy(record.partition, record.offset, first.offset, kind, found, record.appended_at_ms)


def together(ranges: Iterable[Range]) -> Iterator[tuple[Range, ...]]:
    """Ranges, in order, grouped by what is read in one go."""
    near: list[Range] = []
    for found in ranges:
        if near and (found.partition != near[-1].partition or found.first - near[-1].next > FAR_APART):
            yield tuple(near)
            near = []
        near.append(found)
    if near:
        yield tuple(near)


def empty_parts(found: Range, offsets: Sequence[int]) -> Iterator[Range]:
    """The parts of a range that hold no record; `offsets` are those of its records, ascending."""
    position = found.first
    for offset in (*offsets, found.next):
        if offset > position:
            yield Range(found.partition, position, offset)
        position = offset + 1
