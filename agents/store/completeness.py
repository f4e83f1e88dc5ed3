"""Whether usage is complete, in time, and would be billed: gaps, lateness, leaks."""

from __future__ import annotations

from typing import Any

from agents.store.connection import Connection


class CompletenessStore:
    """What `tally gaps`, `lateness` and `leaks`, and the metrics of the same, ask of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def gaps(self, source: str = "", *, waiting: bool = False) -> list[dict[str, Any]]:
        """Rows of v_gaps in order of source and number; with `waiting`, also those of the last ten minutes."""
        return self._db.rows(
            "SELECT * FROM v_gaps WHERE {source:String} IN ('', source) AND (state = 'open' OR {waiting:Bool}) "
            "ORDER BY source, epoch, run, first_missing",
            {"source": source, "waiting": waiting},
        )

    def numbered(self, source: str = "") -> list[tuple[str, int, int]]:
        """(source, runs, numbers) of producers that number their events."""
        return [
            (row[0], row[1], row[2])
            for row in self._db.tuples(
                "SELECT source, count(), sum(numbers) FROM (SELECT source, epoch, run, uniqExact(number) AS numbers "
                "FROM sequence_numbers WHERE {source:String} IN ('', source) GROUP BY source, epoch, run) "
                "GROUP BY source ORDER BY source",
                {"source": source},
            )
        ]

    def lateness(self, customer: str = "") -> list[dict[str, Any]]:
        """Rows of v_lateness: events by customer and label."""
        return self._db.rows(
            "SELECT * FROM v_lateness WHERE {customer:String} IN ('', customer) ORDER BY customer, lateness",
            {"customer": customer},
        )

    def late_events(self, customer: str, label: str, *, at_most: int) -> list[dict[str, Any]]:
        """Events of one label with their positions, in order of event time."""
        return self._db.rows(
            "SELECT * FROM event_lateness WHERE lateness = {label:String} AND {customer:String} IN ('', customer) "
            "ORDER BY customer, ts, k_partition, k_offset LIMIT {at_most:UInt64}",
            {"customer": customer, "label": label, "at_most": at_most},
        )

    def late(self) -> dict[str, int]:
        """Label -> events of all customers: for metrics."""
        return dict(self._db.tuples("SELECT lateness, sum(events) FROM v_lateness GROUP BY lateness ORDER BY lateness"))

    def leaks(self) -> list[dict[str, Any]]:
        """Rows of v_leaks, by kind, the most first."""
        return self._db.rows("SELECT * FROM v_leaks ORDER BY leak, events DESC, what, source")
