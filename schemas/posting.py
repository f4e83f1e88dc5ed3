"""Double-entry bookkeeping: what was invoiced, credited, paid, written off and refunded, per customer.

A transaction moves money between the accounts of one customer and currency, and its postings add up to zero. A balance
is a sum of postings; it is never stored as a fact of its own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from schemas.period import Instant
from schemas.quantity import ZERO, Amount

Book = Literal[
    "receivable", "revenue", "tax", "cash", "disputed", "customer_balance", "unapplied", "prepaid_credits", "bad_debt",
    "credits_on_order", "promotions", "breakage",
]  # fmt: skip
"""The accounts that a posting names; the export translates them into a chart of accounts.

`receivable` is owed by the customer; `customer_balance` is owed to it (overpaid, or credited after it was paid);
`unapplied` is money whose document is not known; `prepaid_credits` is owed to it in service; `disputed` is money that
the network holds back; `bad_debt` was given up; `credits_on_order` are credits that are sold and not paid;
`promotions` is what free credits paid; `breakage` is what paid credits left when they expired.
"""

Cause = Literal[
    "invoiced", "credited", "paid", "refunded", "dispute_opened", "dispute_won", "dispute_lost", "written_off",
    "balance_used", "credits_sold", "credits_expired", "credits_granted", "credits_revoked", "credits_withdrawn",
    "credits_closed",
]  # fmt: skip


class Posting(BaseModel):
    """An amount on one account: positive is debit, negative is credit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    book: Book
    amount: Amount


class Transaction(BaseModel):
    """Postings that belong together. `id` is derived from what caused it, so booking twice is booking once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    customer: str
    currency: str
    at: Instant
    """Billing time: the tick under which it was booked."""
    cause: Cause
    document: str | None = None
    detail: str = ""
    """Why it was booked like this, where that is not plain: an overpayment, an unknown document."""
    postings: tuple[Posting, ...]

    @field_validator("postings")
    @classmethod
    def _adds_up(cls, postings: tuple[Posting, ...]) -> tuple[Posting, ...]:
        total = sum((posting.amount for posting in postings), ZERO)
        if total:
            raise ValueError(f"must add up to zero, not {total}")
        return postings


def balance(postings: tuple[Posting, ...], book: Book) -> Decimal:
    """The sum of an account: positive is a debit balance."""
    return sum((posting.amount for posting in postings if posting.book == book), ZERO)
