"""Raw usage that is no longer kept: whole days behind everything that may still be billed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from string import Template

from agents.store.connection import Connection, query_text
from pipeline.meters.meter_sql import quoted


class RetentionStore:
    """Retires raw events. What was billed of them, their totals and their positions' account stay."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def billing_time(self) -> tuple[int, datetime] | None:
        """Number and time of the last tick."""
        rows = self._db.tuples("SELECT number, time FROM ticks FINAL ORDER BY number DESC LIMIT 1")
        return (int(rows[0][0]), rows[0][1]) if rows else None

    def first_open(self) -> datetime | None:
        """The start of the first period that is not billed, or whose run is not closed; None if there is none."""
        rows = self._db.tuples(query_text("first_open_period"))
        return rows[0][1] if rows[0][0] else None

    def days(self, before: datetime, kept_types: Sequence[str]) -> list[tuple[str, int, int]]:
        """(day, events, bytes of payload) that would go, in order."""
        return list(self._db.tuples(
            "SELECT toString(toDate(ts, 'UTC')) AS day, count(), sum(length(data)) FROM events "
            f"WHERE ts < {{before:DateTime64(3, 'UTC')}} AND {_not(kept_types)} GROUP BY day ORDER BY day",
            {"before": before},
        ))  # fmt: skip

    def retire(self, before: datetime, tick: int, kept_types: Sequence[str], *, actor: str, reason: str) -> int:
        """Accounts for the positions, remembers the cut, then deletes the rows; how many. May be repeated."""
        bound = {"before": before}
        chosen = f"ts < {{before:DateTime64(3, 'UTC')}} AND {_not(kept_types)}"
        events = int(self._db.tuples(f"SELECT count() FROM events WHERE {chosen}", bound)[0][0])
        self._db.insert("retirements", ("before", "tick", "events", "actor", "reason"),
                        [(before, tick, events, actor, reason)])  # fmt: skip
        self._db.execute(Template(query_text("account_retired")).substitute(chosen=chosen), bound)
        self._db.execute(f"ALTER TABLE events DELETE WHERE {chosen} SETTINGS mutations_sync = 2", bound)
        return events


def _not(types: Sequence[str]) -> str:
    return f"type NOT IN ({', '.join(quoted(kind) for kind in types)})" if types else "1"
