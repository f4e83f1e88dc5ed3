"""Money: what was booked, what is asked of a payment service, and what collection has to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agents.store.connection import Connection, query_text
from pipeline.collection.collection_effects import Effects
from pipeline.collection.dunning import next_step_at
from schemas.payment import PaymentRequest, RefundRequest
from schemas.posting import Transaction
from schemas.receivable import Receivable
from schemas.revenue import RevenueLine

POSTING_COLUMNS = ("id", "customer", "currency", "at", "cause", "document", "detail", "book", "amount")
REVENUE_COLUMNS = (
    "document", "line", "customer", "currency", "minor_units", "subscription", "plan", "charge", "issued_at",
    "first_day", "days", "net", "monthly",
)  # fmt: skip
REQUEST_COLUMNS = ("key", "document", "attempt", "customer", "tick", "record")
STEPS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class DueStep:
    """What collection has to do for a receivable, and since when."""

    action: Literal["past_due", "collect", "give_up"]
    customer: str
    receivable: Receivable
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record that waits to be sent, with the key that it has for ever."""

    key: str
    customer: str
    value: str


class MoneyStore:
    """Reads and writes of collection; each write may be repeated and changes nothing then."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_transactions(self, transactions: Sequence[Transaction]) -> None:
        """Stores postings under the id of their transaction."""
        self._db.insert("postings", POSTING_COLUMNS, [
            (each.id, each.customer, each.currency, each.at, each.cause, each.document or "", each.detail,
             posting.book, posting.amount)
            for each in transactions for posting in each.postings
        ])  # fmt: skip

    def insert_revenue(self, lines: Iterable[RevenueLine]) -> None:
        """Stores what final documents booked as revenue, by document and line."""
        self._db.insert("revenue_lines", REVENUE_COLUMNS, [
            tuple(getattr(line, name) for name in REVENUE_COLUMNS) for line in lines
        ])  # fmt: skip

    def insert_requests(self, requests: Sequence[PaymentRequest | RefundRequest]) -> None:
        """Stores what is asked of a payment service, under its key."""
        self._db.insert("payment_requests", REQUEST_COLUMNS, [
            (each.key, each.document, each.attempt, each.customer, each.tick, each.model_dump_json())
            for each in requests if isinstance(each, PaymentRequest)
        ])  # fmt: skip
        self._db.insert("refund_requests", ("key", "customer", "record"), [
            (each.key, each.customer, each.model_dump_json()) for each in requests if isinstance(each, RefundRequest)
        ])  # fmt: skip

    def insert_effects(self, effects: Sequence[Effects]) -> None:
        """Stores notices and commands that wait to be sent."""
        self._db.insert("notices", ("key", "customer", "record"), [
            (notice.key, notice.customer, notice.model_dump_json()) for each in effects for notice in each.notices
        ])  # fmt: skip
        self._db.insert("collection_commands", ("key", "customer", "record"), [
            (command.request_id, command.customer, command.model_dump_json())
            for each in effects for command in each.commands
        ])  # fmt: skip

    def due_steps(self, at: datetime, known: Mapping[str, int]) -> tuple[list[DueStep], dict[str, int]]:
        """What collection has to do at a time, in the order in which it became due; and how the invoices stand now.

        `known` are revisions of invoices, by id, that were looked at: what has not changed since is left out.
        """
        rows = self._db.tuples(query_text("due_steps"), {"at": at, "at_most": STEPS_AT_ONCE})
        found = []
        for name, revision, customer, status, record, due_at, step_at in rows:
            if known.get(name) == revision:
                continue
            held = Receivable.model_validate_json(record)
            if status == "open" and held.open > 0 and due_at <= at and not (held.rests or _is_asked_first(held)):
                found.append(DueStep("past_due", customer, held, due_at))
            if step_at is not None and step_at <= at and next_step_at(held) is not None and held.policy is not None:
                again = len(held.attempts) < len(held.policy.days)
                found.append(DueStep("collect" if again else "give_up", customer, held, step_at))
        return found, {row[0]: row[1] for row in rows}

    def waiting(self, table: str, at_most: int) -> list[Outgoing]:
        """Records of a table that were not sent yet, in the order of their keys."""
        rows = self._db.tuples(
            f"SELECT toString(key), customer, record FROM {table} FINAL "
            "WHERE toString(key) NOT IN (SELECT key FROM sent_records) ORDER BY key LIMIT {at_most:UInt32}",
            {"at_most": at_most},
        )
        return [Outgoing(*row) for row in rows]

    def mark_sent(self, keys: Sequence[str]) -> None:
        """Notes what is out; only saves looking at it again."""
        self._db.insert("sent_records", ("key",), [(key,) for key in keys])


def _is_asked_first(held: Receivable) -> bool:
    """A sale of credits is due when it is made: it is overdue once a payment was refused, not before that."""
    asks = bool(held.order) and held.policy is not None
    return asks and not any(attempt.state == "failed" for attempt in held.attempts)
