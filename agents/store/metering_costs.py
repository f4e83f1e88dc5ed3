"""What the queries of meters cost, as the server measured them: read from its log of queries, kept in a table."""

from __future__ import annotations

from typing import Any

from agents.store.connection import Connection, StoreRefused, query_text


class CostStore:
    """Costs of metering."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def collect(self, *, fresh: bool = False) -> bool:
        """Takes over what the server has logged of our queries; false if it keeps no log of queries.

        `fresh` makes the server write down what it still holds; otherwise that is seconds behind.
        """
        try:
            if fresh:
                self._db.execute("SYSTEM FLUSH LOGS query_log")
            self._db.execute(query_text("collect_costs"))
        except StoreRefused:
            if self._is_logged():
                raise
            return False
        return True

    def costs(self) -> list[dict[str, Any]]:
        """Rows of v_metering_cost, the dearest first."""
        return self._db.rows("SELECT * FROM v_metering_cost ORDER BY cpu_us DESC, meter, meter_version, customer")

    def by_work(self) -> list[dict[str, Any]]:
        """Queries, rows, bytes and CPU per meter and kind of work."""
        return self._db.rows(
            "SELECT meter, meter_version, work, count() AS queries, sum(read_rows) AS rows, sum(read_bytes) AS bytes, "
            "sum(cpu_us) AS cpu FROM metering_costs FINAL GROUP BY meter, meter_version, work ORDER BY meter, "
            "meter_version, work"
        )

    def _is_logged(self) -> bool:
        return bool(self._db.tuples("EXISTS TABLE system.query_log")[0][0])
