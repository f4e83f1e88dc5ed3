"""What waits for a person, as counts for gauges. Nothing billed reads here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.store.connection import Connection, query_text


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
        return Waiting(letters, runs, parked, behind_ms / 1000, gaps, dict(leaks), dict(copies), dict(groups))
