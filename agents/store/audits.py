"""The audit of copies: what the auditor asks of ClickHouse."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from string import Template
from typing import NamedTuple

from agents.store.connection import Connection, query_text
<<<<<<< HEAD
from agents.store.positions import TOUCHED_DAYS
from pipeline.meters.sealing import chunks
from pipeline.meters.vectors import padded
=======
from pipeline.proof.positions import Range
from pipeline.meters.vectors import padded
>>>>>>> 8d4e244 (WIP)
from schemas.tick import USAGE, Tick

AT_ONCE = 2_000_000
"""Identities that are looked up in one statement: so much memory a slice takes, however large it is."""
HASHES = 1 << 48
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
        """The vector below which every slice is done, at or beyond that of the last audited tick; () before the first."""
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

    def audit(self, part: Slice, *, horizon_days: int) -> tuple[Range, ...]:
        """Retracts later copies of the identities of a slice; the positions of it that no table knows, in order.

        Identities are looked up in an index, which learns the new ones last: a try that dies in between only makes the
        next one look at more. Everything before the slice must have been audited.
        """
        run = secrets.randbits(63)
        try:
            return self._audit(run, part, horizon_days)
        finally:
            for table in ("audit_identities", "audit_candidates"):
                self._db.execute(f"ALTER TABLE {table} DROP PARTITION {run}")

    def _audit(self, run: int, part: Slice, horizon_days: int) -> tuple[Range, ...]:
        width = len(part.to)
        start = padded(part.start, width)
        asked: dict[str, object] = {"run": run, "from": start, "usage": list(part.to)}
        days = SLICE_DAYS if any(start) else "1"
        self._run("audit_identities", asked, days)
        shares = 1 + part.positions // AT_ONCE
        for share in range(shares):
            self._run("audit_candidates", {**asked, "low": _hash(share, shares), "high": _hash(share + 1, shares)}, days)
        unknown = self._db.tuples(query_text("audit_gaps"), asked)
        count = "SELECT count() FROM audit_candidates WHERE run = {run:UInt64}"
        if self._db.tuples(count, asked)[0][0]:
            self._run("retract_copies", {**asked, "horizon_days": horizon_days}, days)
            unknown += self._db.tuples(Template(query_text("audit_hidden")).substitute(days=days), asked)
        self._run("index_identities", asked, days)
        return tuple(sorted(Range(*row) for row in unknown))

    def _run(self, name: str, asked: Mapping[str, object], days: str) -> None:
        self._db.execute(Template(query_text(name)).substitute(days=days), asked)

    def done(self, part: Slice) -> None:
        """Notes that everything below the end of a slice is looked at: its last write."""
        self._db.insert("audit_slices", ("positions", "usage"), [(sum(part.to), list(part.to))])

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


def _hash(share: int, shares: int) -> int:
    return HASHES * share // shares
