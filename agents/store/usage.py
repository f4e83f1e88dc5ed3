"""The usage tables: events, corrections and dead letters, each record in one row under its position."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agents.store.connection import Connection
from agents.store.native import Column, blobs, block, numbers, texts
from pipeline.intake.usage_block import CorrectionRow, Events
from pipeline.limits.settling import Settlement
from schemas.dead_letter import DeadLetter

# ClickHouse refuses an insert that touches more than 100 partitions; a partition is a day.
DAYS_PER_INSERT = 90
MS_PER_DAY = 86_400_000

CORRECTION_COLUMNS = ("target_source", "target_id", "k_partition", "k_offset", "action", "source", "id", "reason",
                      "type", "subject", "ts", "data", "exact", "flags", "appended_at")  # fmt: skip
DEAD_LETTER_COLUMNS = ("topic", "k_partition", "k_offset", "reason", "detail", "source", "record_key", "headers",
                       "payload", "appended_at")  # fmt: skip
ALL_ONES = (1 << 64) - 1


class UsageStore:
    """The writes of the ingestion cycle; each may be repeated and changes nothing then."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_events(self, events: Events) -> None:
        """Stores events, split where they span too many days."""
        self.insert_encoded(encoded(events))

    def insert_encoded(self, blocks: Sequence[Encoded]) -> None:
        """Stores events that are ready to be sent."""
        for each in blocks:
            self._db.insert_native("events", each.columns, each.block)

    def insert_settlements(self, settled: Sequence[Settlement]) -> None:
        """Stores which events settle reservations."""
        columns = ("reservation", "subject", "ts", "k_partition", "k_offset", "appended_at")
        self._db.insert("settlements", columns, settled)

    def insert_corrections(self, corrections: Sequence[CorrectionRow]) -> None:
        """Stores corrections."""
        rows = []
        for row in corrections:
            found, event = row.correction, row.correction.event
            replaced = ("", "", 0, "", "", 0) if event is None else (
                event.type, event.subject, event.ts_ms, event.payload.decode(), event.exact, event.flags)  # fmt: skip
            rows.append((
                found.target_source, found.target_id, row.partition, row.offset,
                "retract" if event is None else "replace", found.source, found.id, found.reason, *replaced,
                row.appended_at_ms,
            ))  # fmt: skip
        self._db.insert("corrections", CORRECTION_COLUMNS, rows)

    def insert_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Stores refused records with their bytes."""
        self._db.insert("dead_letters", DEAD_LETTER_COLUMNS, [
            (letter.topic, letter.partition, letter.offset, letter.reason.value, letter.detail, letter.source,
             letter.key or b"", [(name, base64.b64encode(value or b"").decode()) for name, value in letter.headers],
             letter.value or b"", letter.appended_at_ms)
            for letter in letters
        ])  # fmt: skip


class Encoded(NamedTuple):
    """Events as a block of bytes, and the columns that it holds."""

    columns: Sequence[str]
    block: bytes


def encoded(events: Events) -> list[Encoded]:
    """Events ready to be sent, in as few blocks as the days allow."""
    return [
        Encoded([name for name, _, _ in columns], block(columns, len(some)))
        for some in _split(events)
        for columns in (_columns(some),)
    ]


def encoded_together(parts: Sequence[Events]) -> list[Encoded]:
    """Events of several partitions ready to be sent: one insert of a block each, which the server makes one."""
    filled = [part for part in parts if part]
    first, last = (
        min((min(part.ts_ms) for part in filled), default=0),
        max((max(part.ts_ms) for part in filled), default=0),
    )
    if filled and (last - first) // MS_PER_DAY < DAYS_PER_INSERT:
        made = [each for part in filled for each in encoded(part)]
        return [Encoded(made[0].columns, b"".join([each.block for each in made]))]
    everything = Events()
    for part in filled:
        everything.extend(part)
    return encoded(everything)


def _columns(events: Events) -> list[Column]:
    """The columns of the table `events`, as they are sent."""
    return [
        ("type", "String", texts(events.type)),
        ("subject", "String", texts(events.subject)),
        ("ts", "DateTime64(3, 'UTC')", numbers("q", events.ts_ms)),
        ("source", "String", texts(events.source)),
        ("id", "String", texts(events.id)),
        ("k_partition", "UInt16", numbers("H", events.partition)),
        ("inv_offset", "UInt64", numbers("Q", [ALL_ONES - offset for offset in events.offset])),
        ("data", "String", blobs(events.payload)),
        ("exact", "String", texts(events.exact)),
        ("flags", "UInt8", bytes(events.flags)),
        ("sequence", "String", texts(events.sequence)),
        ("appended_at", "DateTime64(3, 'UTC')", numbers("q", events.appended_at_ms)),
    ]


def _split(events: Events) -> Iterator[Events]:
    if not events or (max(events.ts_ms) - min(events.ts_ms)) // MS_PER_DAY < DAYS_PER_INSERT:
        yield from [events] if events else []
        return
    days = sorted({ts // MS_PER_DAY for ts in events.ts_ms})
    for start in range(0, len(days), DAYS_PER_INSERT):
        some = days[start : start + DAYS_PER_INSERT]
        yield events.between(some[0] * MS_PER_DAY, (some[-1] + 1) * MS_PER_DAY)
