"""Which events settled reservations."""

from __future__ import annotations

from collections.abc import Sequence

from agents.store.connection import Connection
from pipeline.limits.settling import Settlement


class SettlementStore:
    """Reads of the table `settlements`."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def below(self, reservations: Sequence[str], vector: Sequence[int]) -> list[Settlement]:
        """Settlements of reservations by events below a vector."""
        if not reservations:
            return []
        rows = self._db.tuples(
            "SELECT reservation, subject, toUnixTimestamp64Milli(ts), k_partition, k_offset, "
            "toUnixTimestamp64Milli(appended_at) FROM settlements FINAL "
            "WHERE reservation IN {ids:Array(String)} AND k_offset < {usage:Array(UInt64)}[k_partition + 1]",
            {"ids": sorted(set(reservations)), "usage": list(vector)},
        )
        return [Settlement(*row) for row in rows]
