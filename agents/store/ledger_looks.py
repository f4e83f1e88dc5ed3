"""Reads of the books: trial balance, journal, what a customer owes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from agents.store.connection import Connection, query_text
from schemas.quantity import money_text, plain

OF_CUSTOMER = "({customer:String} = '' OR customer = {customer:String})"


@dataclass(frozen=True, slots=True)
class Entry:
    """A posting of the journal."""

    at: datetime
    transaction: str
    customer: str
    currency: str
    book: str
    amount: Decimal
    cause: str
    document: str
    detail: str


@dataclass(frozen=True, slots=True)
class StatementLine:
    """Something that changed what a customer owes, and what it owes after it."""

    at: datetime
    what: str
    document: str
    amount: Decimal
    balance: Decimal
    currency: str

    def described(self) -> dict[str, str]:
        """For programs."""
        return {
            "at": self.at.isoformat(), "what": self.what, "document": self.document, "amount": money_text(self.amount),
            "balance": money_text(self.balance), "currency": self.currency,
        }  # fmt: skip


class LedgerLooks:
    """Reads of the books."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def trial_balance(self, customer: str = "") -> list[tuple[str, str, Decimal]]:
        """(currency, book, balance): positive is debit."""
        rows = self._db.tuples(
            f"SELECT currency, book, sum(amount) FROM postings FINAL WHERE {OF_CUSTOMER} "
            "GROUP BY currency, book ORDER BY currency, book",
            {"customer": customer},
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def faults(self, customer: str = "") -> list[str]:
        """What does not add up: transactions whose postings do not cancel, receivables that differ from invoices."""
        rows = self._db.tuples(query_text("ledger_faults"), {"customer": customer})
        return [
            f"{kind} {name}: {plain(left)} in the books, {plain(right)} expected"
            for kind, name, left, right in sorted(rows)
        ]

    def journal(self, customer: str = "") -> list[Entry]:
        """Every posting, in order of billing time."""
        rows = self._db.tuples(
            "SELECT at, toString(id), customer, currency, book, amount, cause, document, detail FROM postings FINAL "
            f"WHERE {OF_CUSTOMER} ORDER BY at, id, book",
            {"customer": customer},
        )
        return [Entry(*row) for row in rows]

    def statement(self, customer: str) -> list[StatementLine]:
        """What changed what a customer owes or is owed, with the balance per currency after it."""
        rows = self._db.tuples(query_text("statement"), {"customer": customer})
        balances: dict[str, Decimal] = {}
        lines = []
        for at, cause, document, currency, amount in rows:
            balances[currency] = balances.get(currency, Decimal(0)) + amount
            lines.append(StatementLine(at, cause, document, amount, balances[currency], currency))
        return lines

    def ageing(self, customer: str) -> dict[str, dict[str, str]]:
        """Currency -> age -> what is open."""
        rows = self._db.tuples(
            "SELECT currency, age, sum(open_amount) FROM v_receivables WHERE customer = {customer:String} "
            "GROUP BY currency, age ORDER BY currency, age",
            {"customer": customer},
        )
        found: dict[str, dict[str, str]] = {}
        for currency, age, amount in rows:
            found.setdefault(currency, {})[age] = plain(amount)
        return found
