"""What waits for a person, as counts for gauges. Nothing billed reads here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.store.connection import Connection, query_text

OUTGOING = {
    "payment": "payment_requests", "refund": "refund_requests", "notice": "notices", "command": "collection_commands",
}  # fmt: skip
"""Kind of record that is sent once -> the table in which it waits."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts of one moment."""

    dead_letters_open: float
    runs_open: float
    runs_parked: float
    clock_behind_s: float
    gaps_open: float
    """Numbers of producers that are missing."""
    leaks: Mapping[str, int]
    """Events by kind of leak."""
    copies: Mapping[str, int]
    """Records that do not count because their identity came before, by kind: duplicate or conflict."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """The most groups that a customer has in a period that is not billed, by meter."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """Requests to a payment service without an outcome, by kind."""
    oldest_s: float = 0
    """Billing time since the oldest of them was asked for."""
    unsent: Mapping[str, int] = field(default_factory=dict)
    """What the books decided and no topic has yet, by kind."""
    past_due: float = 0


class WaitingStore:
    """Reads of the gauges."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def look(self) -> Waiting:
        """All of them."""
        ((letters, runs, parked, behind_ms),) = self._db.tuples(query_text("waiting"))
        leaks = self._db.tuples("SELECT leak, sum(events) FROM v_leaks GROUP BY leak ORDER BY leak")
        copies = self._db.tuples("SELECT kind, sum(copies) FROM v_duplicates GROUP BY kind ORDER BY kind")
        ((gaps,),) = self._db.tuples("SELECT sum(missing) FROM v_gaps WHERE state = 'open'")
        groups = self._db.tuples("SELECT meter, max(groups) FROM v_meter_groups GROUP BY meter ORDER BY meter")
        ((payments, refunds, oldest, now, past_due),) = self._db.tuples(query_text("collection_waiting"))
        unsent = {kind: self._unsent(table) for kind, table in OUTGOING.items()}
        return Waiting(
            letters, runs, parked, behind_ms / 1000, gaps, dict(leaks), dict(copies), dict(groups),
            {"payment": payments, "refund": refunds},
            max(0.0, (now - oldest).total_seconds()) if payments or refunds else 0.0, unsent, past_due,
        )  # fmt: skip

    def _unsent(self, table: str) -> int:
        rows = self._db.tuples(
            f"SELECT uniqExact(key) FROM {table} WHERE toString(key) NOT IN (SELECT key FROM sent_records)"
        )
        return int(rows[0][0])
