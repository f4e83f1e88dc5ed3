"""The audit of copies: what the auditor asks of ClickHouse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from string import Template

from agents.store.connection import Connection, query_text
from agents.store.positions import TOUCHED_DAYS
from pipeline.meters.sealing import chunks
from pipeline.meters.vectors import padded
from schemas.tick import USAGE, Tick

NEW_AT_ONCE = 20_000_000
CANDIDATES_AT_ONCE = 5_000  # a parameter may have 128 KiB, and an identity has up to 16 characters of it


class AuditStore:
    """Retractions of later copies, and the ticks that they are complete for."""

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

    def retract_copies(self, before: Sequence[int], usage: Sequence[int], *, horizon_days: int) -> None:
        """Retracts later copies of identities that have a copy between an audited vector and another.

        Identities are looked up in an index, which learns the new ones last: a run that dies in between only makes the
        next one look at more. Many are looked at in shares, so that memory stays bounded.
        """
        start = padded(before, len(usage))
        asked: dict[str, object] = {"from": start, "usage": list(usage)}
        days = TOUCHED_DAYS if any(start) else "1"
        candidates, retract, index = (
            Template(query_text(name)).substitute(days=days)
            for name in ("audit_candidates", "retract_copies", "index_identities")
        )
        shares = 1 + (sum(usage) - sum(start)) // NEW_AT_ONCE
        for share in range(shares):
            rows = self._db.tuples(candidates, {**asked, "shares": shares, "share": share})
            for some in chunks([row[0] for row in rows], CANDIDATES_AT_ONCE):
                self._db.execute(retract, {**asked, "identities": some, "horizon_days": horizon_days})
        self._db.execute(index, asked)

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
