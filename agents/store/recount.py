"""Stored rows as `tally reconcile --deep` compares them with the log, position by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agents.store.connection import Connection, query_text


class StoredRow(NamedTuple):
    """A row at a position; `what` is event, correction, dead letter, or copy with its kind."""

    offset: int
    what: str
    type: str
    subject: str
    ts_ms: int
    source: str
    id: str
    data: str
    exact: str


class RecountStore:
    """What the second reading asks of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def rows(self, partition: int, first: int, next_offset: int) -> dict[int, list[StoredRow]]:
        """Position -> its rows, in `[first, next_offset)`: one each, if all is well."""
        found: dict[int, list[StoredRow]] = {}
        parameters = {"partition": partition, "first": first, "next": next_offset}
        for row in self._db.tuples(query_text("rows_of_range"), parameters):
            found.setdefault(row[0], []).append(StoredRow(*row))
        return found

    def audited(self) -> tuple[int, ...]:
        """The vector up to which copies were looked for; empty before the first audit."""
        rows = self._db.tuples("SELECT usage FROM audits FINAL ORDER BY tick DESC LIMIT 1")
        return tuple(rows[0][0]) if rows else ()

    def retraction_faults(self, usage: Sequence[int], *, horizon_days: int, at_most: int) -> list[tuple[str, str, int]]:
        """(source, id, rows that count) of identities of which not exactly one counts below a vector."""
        rows = self._db.tuples(
            query_text("retraction_faults"), {"usage": list(usage), "horizon_days": horizon_days, "at_most": at_most}
        )
        return [(source, identity, found - retracted) for source, identity, found, retracted in rows]
