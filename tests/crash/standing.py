"""Where a crash run stands while it lasts: what is stored, audited and billed, and what the rest waits for."""

from __future__ import annotations

from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection

FIRST_OPEN = """
SELECT min(tick) FROM billing_runs FINAL
WHERE (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes)
"""
COUNTS = """
SELECT
  (SELECT sum(last) FROM (SELECT max(events) AS last FROM ledger WHERE topic = 'usage.events' GROUP BY k_partition)),
  (SELECT max(number) FROM ticks), (SELECT max(tick) FROM audits),
  (SELECT count() FROM invoices FINAL WHERE number != '')
"""
PARKED = "SELECT customer, tick, detail FROM parked_runs FINAL LIMIT 2"


class Standing:
    """Looks at the tables on a connection of its own, one question at a time."""

    def __init__(self, settings: Settings) -> None:
        self._db = Connection(settings)
        self._billing = BillingStore(self._db)

    def text(self) -> str:
        """In words. Raises StoreUnavailable while ClickHouse is away."""
        stored, tick, audited, invoices = self._db.tuples(COUNTS)[0]
        found = f"{int(stored or 0):,} records stored, tick {tick}, audited to {audited}, {invoices:,} invoices"
        return "; ".join([found, *self._waits_for(), *self._parked()])

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def _waits_for(self) -> list[str]:
        number = self._db.tuples(FIRST_OPEN)[0][0]
        tick = self._billing.tick(number) if number else None
        waits_for = self._billing.missing(tick) if tick is not None else ""
        return [waits_for] if waits_for else [f"tick {number} is being closed"] if number else []

    def _parked(self) -> list[str]:
        return [f"parked {rows}"] if (rows := self._db.tuples(PARKED)) else []
