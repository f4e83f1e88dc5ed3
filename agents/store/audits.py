"""The audit of copies: what the auditor asks of ClickHouse."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from string import Template
from typing import NamedTuple

from agents.store.connection import Connection, query_text
from pipeline.meters.vectors import padded
from pipeline.proof.positions import Range
from schemas.tick import USAGE, Tick

AT_ONCE = 2_000_000
"""Identities that are looked up in one statement: so much memory a slice takes, however large it is."""
HASHES = 1 << 48
IDENTITY_HORIZON_DAYS = 400
SLICE_DAYS = (
    "toYYYYMMDD(ts) IN (SELECT toYYYYMMDD(toDateTime(arrayJoin(panes) * 300, 'UTC')) FROM ledger "
    "WHERE topic = 'usage.events' AND next_offset > {from:Array(UInt64)}[k_partition + 1] "
    "AND first_offset < {usage:Array(UInt64)}[k_partition + 1])"
)


class Slice(NamedTuple):
    """The positions from one vector of usage.events to another."""

    start: Sequence[int]
    to: Sequence[int]

    @property
    def positions(self) -> int:
        """How many they are."""
        return sum(self.to) - sum(self.start)


class AuditStore:
    """Retractions of later copies, and how far they are complete."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def waiting(self) -> tuple[Tick, ...]:
        """Ticks under which something is to be closed and that are not audited, in order."""
        return tuple(
            Tick.model_validate({"number": number, "time": time, "clock": clock, "vector": json.loads(vector)})
            for number, time, clock, vector in self._db.tuples(query_text("ticks_to_audit"))
        )

    def audited(self) -> tuple[int, tuple[int, ...]]:
        """Number and vector of the last audited tick; (0, ()) before the first."""
        rows = self._db.tuples("SELECT tick, usage FROM audits FINAL ORDER BY tick DESC LIMIT 1")
        return (rows[0][0], tuple(rows[0][1])) if rows else (0, ())

    def reached(self) -> tuple[int, ...]:
        """The vector below which everything was looked at, at or beyond that of the last audited tick; () at first."""
        rows = self._db.tuples("SELECT usage FROM audit_slices ORDER BY positions DESC LIMIT 1")
        return max(self.audited()[1], tuple(rows[0][0]) if rows else (), key=sum)

    def tick_within(self, positions: int, tick: int) -> tuple[int, ...]:
        """The vector of usage.events of the last tick, up to one, with at most so many positions below it; or ()."""
        rows = self._db.tuples(
            "SELECT usage FROM ticks FINAL WHERE number <= {tick:UInt64} AND arraySum(usage) <= {positions:UInt64} "
            "ORDER BY number DESC LIMIT 1",
            {"tick": tick, "positions": positions},
        )
        return tuple(rows[0][0]) if rows else ()

    def tick_beyond(self, positions: int) -> tuple[int, ...]:
        """The vector of usage.events of the first tick with more positions than that below it."""
        rows = self._db.tuples(
            "SELECT usage FROM ticks FINAL WHERE arraySum(usage) > {positions:UInt64} ORDER BY number LIMIT 1",
            {"positions": positions},
        )
        return tuple(rows[0][0])

    def begin(self, part: Slice) -> SliceTry:
        """A try of a slice. Everything before it must have been audited."""
        return SliceTry(self._db, part)

    def retracted_panes(self, before: Sequence[int], tick: Tick) -> tuple[int, ...]:
        """Panes (unix time ÷ 300) of the copies in `[before, tick's vector)` that are retracted, ascending."""
        usage = list(tick.vector.of(USAGE))
        rows = self._db.tuples(
            "SELECT DISTINCT intDiv(toUnixTimestamp(ts), 300) AS pane FROM retractions FINAL "
            "WHERE k_offset >= {before:Array(UInt64)}[k_partition + 1] "
            "AND k_offset < {usage:Array(UInt64)}[k_partition + 1] ORDER BY pane",
            {"usage": usage, "before": padded(before, len(usage))},
        )
        return tuple(row[0] for row in rows)

    def record(self, tick: Tick) -> None:
        """Notes that everything below a tick's vector is audited: the last write of an audit."""
        self._db.insert("audits", ("tick", "usage"), [(tick.number, list(tick.vector.of(USAGE)))])


class SliceTry:
    """One try of a slice, on rows of its own: others may try the same slice, and come to the same.

    Identities are looked up in an index, which learns the new ones last: a try that dies before makes the next one look
    at no more, one that dies between that and its end at every identity of the slice.
    """

    def __init__(self, connection: Connection, part: Slice) -> None:
        self._db, self._part = connection, part
        self._run = secrets.randbits(63)
        start = padded(part.start, len(part.to))
        self._asked: dict[str, object] = {"run": self._run, "from": start, "usage": list(part.to)}
        self._days = SLICE_DAYS if any(start) else "1"

    def look_up(self, *, horizon_days: int = IDENTITY_HORIZON_DAYS) -> tuple[Range, ...]:
        """Retracts later copies of the slice's identities; the positions of it that no table knows, in order."""
        self._execute("audit_identities")
        shares = 1 + self._part.positions // AT_ONCE
        for share in range(shares):
            self._execute("audit_candidates", low=HASHES * share // shares, high=HASHES * (share + 1) // shares)
        unknown = self._db.tuples(query_text("audit_gaps"), self._asked)
        if self._db.tuples("SELECT count() FROM audit_candidates WHERE run = {run:UInt64}", self._asked)[0][0]:
            self._execute("audit_rows")
            self._execute("retract_copies", horizon_days=horizon_days)
            unknown += self._db.tuples(query_text("audit_hidden"), self._asked)
        return tuple(sorted(Range(*row) for row in unknown))

    def done(self) -> None:
        """The index learns the slice's identities; then it is noted that everything below its end is looked at."""
        self._execute("index_identities")
        self._db.insert("audit_slices", ("positions", "usage"), [(sum(self._part.to), list(self._part.to))])

    def close(self) -> None:
        """Drops what it worked on. A try that never comes to it leaves rows that go after a day."""
        for table in ("audit_identities", "audit_candidates", "audit_rows"):
            self._db.execute(f"ALTER TABLE {table} DROP PARTITION {self._run}")

    def _execute(self, name: str, **more: object) -> None:
        self._db.execute(self._text(name), {**self._asked, **more})

    def _text(self, name: str) -> str:
        return Template(query_text(name)).substitute(days=self._days)
