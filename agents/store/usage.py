"""The usage tables: events, corrections and dead letters, each record in one row under its position."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import groupby

from agents.store.connection import Connection
from pipeline.usage_block import MS_PER_DAY, EventRow, UsageBlock

# ClickHouse refuses an insert that touches more than 100 partitions; a partition is a day.
DAYS_PER_INSERT = 90

EVENT_COLUMNS = ("type", "subject", "ts", "source", "id", "k_partition", "inv_offset", "data", "exact", "flags",
                 "sequence", "appended_at")  # fmt: skip
CORRECTION_COLUMNS = ("target_source", "target_id", "k_partition", "k_offset", "action", "source", "id", "reason",
                      "type", "subject", "ts", "data", "exact", "flags", "appended_at")  # fmt: skip
DEAD_LETTER_COLUMNS = ("topic", "k_partition", "k_offset", "reason", "detail", "source", "record_key", "headers",
                       "payload", "appended_at")  # fmt: skip
ALL_ONES = (1 << 64) - 1


class UsageStore:
    """The writes of the ingestion cycle; each may be repeated and changes nothing then."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_events(self, block: UsageBlock) -> None:
        """Stores events, split by day."""
        rows = sorted(block.events, key=_day)
        days = [list(day) for _, day in groupby(rows, key=_day)]
        for start in range(0, len(days), DAYS_PER_INSERT):
            chunk = [row for day in days[start : start + DAYS_PER_INSERT] for row in day]
            self._insert_events(chunk)

    def _insert_events(self, rows: Sequence[EventRow]) -> None:
        columns = list(zip(*((
            row.event.type, row.event.subject, row.event.ts_ms, row.event.source, row.event.id, row.partition,
            ALL_ONES - row.offset, row.event.payload, row.event.exact, row.event.flags, row.event.sequence,
            row.appended_at_ms,
        ) for row in rows), strict=True))  # fmt: skip
        self._db.insert_columns("events", dict(zip(EVENT_COLUMNS, columns, strict=True)) if columns else {})

    def insert_corrections(self, block: UsageBlock) -> None:
        """Stores corrections."""
        rows = []
        for row in block.corrections:
            found, event = row.correction, row.correction.event
            replaced = ("", "", 0, "", "", 0) if event is None else (
                event.type, event.subject, event.ts_ms, event.payload, event.exact, event.flags)  # fmt: skip
            rows.append((
                found.target_source, found.target_id, row.partition, row.offset,
                "retract" if event is None else "replace", found.source, found.id, found.reason, *replaced,
                row.appended_at_ms,
            ))  # fmt: skip
        self._db.insert("corrections", CORRECTION_COLUMNS, rows)

    def insert_dead_letters(self, block: UsageBlock) -> None:
        """Stores refused records with their bytes."""
        self._db.insert("dead_letters", DEAD_LETTER_COLUMNS, [
            (letter.topic, letter.partition, letter.offset, letter.reason.value, letter.detail, letter.source,
             letter.key or b"", [(name, base64.b64encode(value).decode()) for name, value in letter.headers],
             letter.value or b"", letter.appended_at_ms)
            for letter in block.dead_letters
        ])  # fmt: skip


def _day(row: EventRow) -> int:
    return row.event.ts_ms // MS_PER_DAY
