"""How far usage.events is stored, followed in memory: asked for once, then found from the ledger rows that follow."""

from __future__ import annotations

from collections.abc import Sequence

from agents.store.billing import BillingStore
from agents.store.connection import Connection, query_text
from agents.topics import USAGE_EVENTS
from pipeline.meters.sealing import LedgerRange, beyond_sql, followed
from pipeline.meters.vectors import vector_of


class Following:
    """The contiguous vector of usage.events, and what was stored since it was looked at last."""

    def __init__(self, connection: Connection, billing: BillingStore) -> None:
        self._db, self._billing = connection, billing
        self.covered: list[int] | None = None

    def follow(self, partitions: int) -> list[LedgerRange] | None:
        """Moves on; the ranges that were found, or None if the vector was asked for."""
        if self.covered is None:
            self.covered = vector_of(self._billing.coverage(USAGE_EVENTS), partitions)
            return None
        ranges = self._beyond(self.covered)
        self.covered, _ = followed(self.covered, ranges)
        return ranges

    def forget(self) -> None:
        """Another worker goes on."""
        self.covered = None

    def _beyond(self, covered: Sequence[int]) -> list[LedgerRange]:
        sql = query_text("ledger_beyond").replace("$beyond", beyond_sql(list(map(str, covered))))
        return [LedgerRange(*row) for row in self._db.tuples(sql, {"topic": USAGE_EVENTS})]
