"""What is stored of identities: records that were sent again, and the history of one identity."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from agents.store.connection import Connection, query_text


class SentAgain(NamedTuple):
    """A record that does not count, since another of its identity came first."""

    source: str
    id: str
    kind: str
    """duplicate, or conflict where the content is another."""
    place: str
    """same partition, other partition, or re-stamped: another time, type or subject."""
    partition: int
    offset: int
    first_partition: int
    first_offset: int
    type: str
    subject: str
    ts: datetime


class HistoryRecord(NamedTuple):
    """A record about an identity: an event, a copy, or a correction (`replace`, `retract`)."""

    what: str
    partition: int
    offset: int
    appended_at: datetime
    type: str
    subject: str
    ts: datetime
    data: str
    by: str
    reason: str


class IdentityStore:
    """What `tally duplicates` and `tally correct` ask of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def duplicates(self, source: str = "") -> list[dict[str, Any]]:
        """Rows of v_duplicates, the most first."""
        sql = (
            "SELECT * FROM v_duplicates WHERE {source:String} IN ('', source) ORDER BY copies DESC, source, kind, place"
        )
        return self._db.rows(sql, {"source": source})

    def copies(self, *, source: str, kind: str, at_most: int) -> list[SentAgain]:
        """Each copy with its position."""
        asked = {"source": source, "kind": kind, "at_most": at_most}
        return [SentAgain(*row) for row in self._db.tuples(query_text("copies_listed"), asked)]

    def history(self, source: str, identity: str) -> list[HistoryRecord]:
        """Every record about an identity, in order of arrival."""
        rows = self._db.tuples(query_text("identity_history"), {"source": source, "id": identity})
        return [HistoryRecord(*row) for row in rows]

    def counted(self, source: str, identity: str) -> list[tuple[str, str, datetime, str, int, int]]:
        """(type, subject, time, data, partition, offset) of what counts of an identity now: at most one."""
        rows = self._db.tuples(
            "SELECT type, subject, ts, data, k_partition, k_offset FROM counted_events_now "
            "WHERE source = {source:String} AND id = {id:String}",
            {"source": source, "id": identity},
        )
        return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]
