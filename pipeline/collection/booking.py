"""How money is booked: transactions whose ids are derived, so that booking twice is booking once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from schemas.identity import derived_id
from schemas.payment import PaymentResult
from schemas.posting import Book, Cause, Posting, Transaction
from schemas.quantity import ZERO
from schemas.receivable import Receivable


@dataclass(frozen=True, slots=True)
class Booked:
    """A receivable after a result, and what was booked; `note` says what a person should know."""

    receivable: Receivable
    transactions: tuple[Transaction, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Booking:
    """For whom and when something is booked."""

    customer: str
    at: datetime
    balance: Decimal | None = None
    """What the customer's balance holds; None for as much as is needed."""


def booked(
    result: PaymentResult, booking: Booking, cause: Cause, postings: dict[Book, Decimal], detail: str
) -> Transaction:
    """What a result moved, under an id that only this result has."""
    key = ("payment result", booking.customer, result.id)
    return transaction(key, booking, result.currency, cause, postings, result.document, detail)


def transaction(
    key: tuple[str | int, ...], booking: Booking, currency: str, cause: Cause, postings: dict[Book, Decimal],
    document: str | None = None, detail: str = "",
) -> Transaction:  # fmt: skip
    """A transaction with an id derived from `key`; accounts without an amount are left out."""
    return Transaction(
        id=str(derived_id("transaction", *key)),
        customer=booking.customer,
        currency=currency,
        at=booking.at,
        cause=cause,
        document=document,
        detail=detail,
        postings=tuple(Posting(book=book, amount=amount) for book, amount in postings.items() if amount),
    )


def restated(held: Receivable) -> Receivable:
    """The receivable with the state that its amounts give; void stays void."""
    if held.state == "void":
        return held
    if held.open > ZERO:
        return held.model_copy(update={"state": "open"})
    return held.model_copy(update={"state": "uncollectible" if held.written_off else "paid"})
