"""Positions of usage.events without a row of their own: which there are, and what the log says of them."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from agents.store.connection import Connection, query_text
from pipeline.intake.validation import Event
from pipeline.meters.vectors import padded
from pipeline.proof.positions import Copy, First, Judged, Key, Lost, Range
from schemas.event_time import moment

TOUCHED_DAYS = (
    "toYYYYMMDD(ts) IN (SELECT toYYYYMMDD(toDateTime(arrayJoin(panes) * 300, 'UTC')) FROM ledger "
    "WHERE topic = 'usage.events' AND next_offset > {from:Array(UInt64)}[k_partition + 1])"
)
COPY_COLUMNS = ("k_partition", "k_offset", "first_offset", "kind", "source", "id", "type", "subject", "ts",
                "appended_at")  # fmt: skip
LOST_COLUMNS = ("k_partition", "k_offset", "what", "source", "id", "type", "subject", "ts")


class PositionStore:
    """What the search for records without rows asks of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def without_rows(self, start: Sequence[int], to: Sequence[int]) -> tuple[Range, ...]:
        """Ranges of `[start, to)` that no table knows, in order. Days that the ledger does not name are not read."""
        days = TOUCHED_DAYS if any(start) else "1"
        sql = Template(query_text("positions_without_rows")).substitute(days=days)
        return tuple(Range(*row) for row in self._db.tuples(sql, {"from": padded(start, len(to)), "to": list(to)}))

    def firsts(self, records: Sequence[Judged]) -> dict[Key, First]:
        """The stored rows that share their key with events among the records."""
        wanted = [(record.verdict, record.partition) for record in records if isinstance(record.verdict, Event)]
        if not wanted:
            return {}
        rows = self._db.tuples(query_text("first_copies"), {
            "types": [event.type for event, _ in wanted], "subjects": [event.subject for event, _ in wanted],
            "times": [event.ts_ms for event, _ in wanted], "sources": [event.source for event, _ in wanted],
            "ids": [event.id for event, _ in wanted], "partitions": [partition for _, partition in wanted],
        })  # fmt: skip
        return {tuple(row[:6]): First(row[6], row[7].encode()) for row in rows}

    def insert_copies(self, copies: Sequence[Copy]) -> None:
        """Stores copies under their positions."""
        self._db.insert("copies", COPY_COLUMNS, [
            (c.partition, c.offset, c.first_offset, c.kind, c.event.source, c.event.id, c.event.type, c.event.subject,
             moment(c.event.ts_ms), moment(c.appended_at_ms))
            for c in copies
        ])  # fmt: skip

    def insert_empty(self, ranges: Sequence[Range], why: str) -> None:
        """Stores ranges at which the log holds nothing: `control`, or `expired` beyond its retention."""
        columns = ("k_partition", "first_offset", "next_offset", "why")
        self._db.insert("empty_positions", columns, [(*found, why) for found in ranges])

    def insert_lost(self, lost: Sequence[Lost]) -> None:
        """Stores which rows are missing; each stands for as long as it is."""
        self._db.insert("lost_rows", LOST_COLUMNS, [(*found[:7], moment(found.ts_ms)) for found in lost])

    def lost(self, to: Sequence[int]) -> tuple[Lost, ...]:
        """Rows that are missing below a vector."""
        return tuple(
            Lost(partition, offset, what, source, identity, kind, subject, int(ts.timestamp() * 1000))
            for partition, offset, what, source, identity, kind, subject, ts in self._db.tuples(
                query_text("lost_rows_now"), {"to": list(to)}
            )
        )

    def twice(
        self, start: Sequence[int], to: Sequence[int], *, at_most: int
    ) -> tuple[tuple[int, int, int, list[str]], ...]:
        """(partition, offset, rows, tables) of positions in `[start, to)` that stand in several rows."""
        parameters = {"from": list(start), "to": list(to), "at_most": at_most}
        return tuple(self._db.tuples(query_text("positions_twice"), parameters))
