"""Wallets as stored: entries, each under its place in the log of documents, folded when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agents.store.connection import Connection, query_text
from pipeline.wallets.wallet import Wallet, wallet_of
from schemas.wallet import WalletEntry

COLUMNS = (
    "customer", "k_offset", "place", "kind", "grant_id", "currency", "amount", "on_order", "at", "document", "record",
)  # fmt: skip
NO_BOUND = 2**63


class CreditStore:
    """Reads and writes of wallets; a write may be repeated and changes nothing then."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert(self, entries: Sequence[tuple[int, Sequence[WalletEntry]]]) -> None:
        """Stores the entries of records, by offset, in their order."""
        self._db.insert("credit_entries", COLUMNS, [
            (each.customer, offset, place, each.kind, each.grant, each.currency, each.amount, each.on_order, each.at,
             each.document, each.model_dump_json())
            for offset, found in entries for place, each in enumerate(found)
        ])  # fmt: skip

    def entries(self, customers: Sequence[str], below: int = NO_BOUND) -> list[WalletEntry]:
        """Everything that happened to the wallets of customers, below a position of the log, in its order."""
        rows = self._db.tuples(
            "SELECT record FROM credit_entries FINAL WHERE customer IN {customers:Array(String)} "
            "AND k_offset < {below:UInt64} ORDER BY k_offset, place",
            {"customers": list(customers), "below": below},
        )
        return [WalletEntry.model_validate_json(row[0]) for row in rows]

    def wallets(self, customers: Sequence[str], below: int = NO_BOUND) -> dict[str, Wallet]:
        """The wallets of customers as of a position of the log; those without one are left out."""
        found: dict[str, list[WalletEntry]] = {}
        for entry in self.entries(customers, below) if customers else ():
            found.setdefault(entry.customer, []).append(entry)
        return {customer: wallet_of(entries) for customer, entries in found.items()}

    def last_position(self) -> int:
        """Changes whenever a wallet does."""
        return int(self._db.tuples("SELECT max(k_offset) FROM credit_entries")[0][0])

    def to_look_at(self, at: datetime) -> list[str]:
        """Customers with a recharge rule, or with credit left that has expired at a time."""
        return [row[0] for row in self._db.tuples(query_text("wallets_to_look_at"), {"at": at})]
