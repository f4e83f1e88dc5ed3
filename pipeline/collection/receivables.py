"""Results of payments, refunds and disputes become postings and a new state of the receivable.

Results come in any order, twice, or never; each state takes every result, and money is never lost: what cannot be
applied is booked as the customer's balance or as unapplied, with the reason.

| state | succeeded | refunded | dispute opened | lost |
|---|---|---|---|---|
| open | pays what is open; rest to the balance | from the balance, then owed again | held back | owed again |
| paid | to the customer's balance | as above | held back | owed again |
| uncollectible | recovers what was given up | owed again | held back | owed again |
| void | to the customer's balance | from the balance | unapplied | unapplied |

What is refunded or lost beyond what came is unapplied, until the payment comes that it belongs to.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline.collection.booking import Booked, Booking, booked, restated, transaction
from pipeline.collection.refunds import apart_from, refund_failed, sent_back
from schemas.credit_note import Settled
from schemas.payment import PaymentResult, moved
from schemas.posting import Book, Cause, Transaction
from schemas.quantity import ZERO
from schemas.receivable import Attempt, Dispute, Receivable


def settle(held: Receivable, result: PaymentResult, booking: Booking) -> Booked:
    """The receivable after a result. A result that was booked before changes nothing.

    A refund takes from the customer's balance what came for this document, as far as the balance still has it.
    """
    if result.id in held.results:
        return Booked(held, note=f"result {result.id} was booked before")
    seen = held.model_copy(update={"results": (*held.results, result.id)})
    if result.currency != held.currency:
        why = f"{held.number} is in {held.currency}, the money came in {result.currency}"
        return Booked(apart_from(seen, result), unapplied(result, booking, why), why)
    if result.refund is not None and result.outcome == "failed":
        return refund_failed(seen, result)
    if result.outcome == "succeeded":
        return _succeeded(seen, result, booking)
    if result.outcome == "refunded":
        return sent_back(seen, result, booking)
    if result.outcome in ("dispute_opened", "dispute_won", "dispute_lost"):
        return _disputed(seen, result, booking)
    return _not_paid(seen, result)


def unapplied(result: PaymentResult, booking: Booking, why: str) -> tuple[Transaction, ...]:
    """Money that no document takes: kept apart with the reason. Nothing where no money moved."""
    amount = moved(result)
    if not amount:
        return ()
    signed = {"succeeded": amount, "dispute_won": amount}.get(result.outcome, -amount)
    cause: Cause = "paid" if result.outcome == "succeeded" else "refunded"
    if result.outcome in ("dispute_opened", "dispute_won", "dispute_lost"):
        cause = result.outcome
    return (booked(result, booking, cause, {"cash": signed, "unapplied": -signed}, why),)


def _succeeded(held: Receivable, result: PaymentResult, booking: Booking) -> Booked:
    amount = moved(result)
    sent_back = min(amount, held.early_refunds)
    applied = min(amount - sent_back, held.open) if held.state == "open" else ZERO
    recovered = min(amount - sent_back, held.written_off) if held.state == "uncollectible" else ZERO
    rest = amount - sent_back - applied - recovered
    paid = held.model_copy(update={
        "paid": held.paid + applied + recovered,
        "written_off": held.written_off - recovered,
        "returnable": held.returnable + rest,
        "early_refunds": held.early_refunds - sent_back,
        "attempts": _with_outcome(held.attempts, result, "succeeded"),
    })  # fmt: skip
    note = f"{rest} {held.currency} more than was owed: the customer's balance" if rest else ""
    postings: dict[Book, Decimal] = {
        "cash": amount, "unapplied": -sent_back, "receivable": -applied, "bad_debt": -recovered,
        "customer_balance": -rest,
    }  # fmt: skip
    return Booked(restated(paid), (booked(result, booking, "paid", postings, note),), note)


def _disputed(held: Receivable, result: PaymentResult, booking: Booking) -> Booked:
    known = next((dispute for dispute in held.disputes if dispute.id == result.dispute), None)
    if known is not None and (known.state != "opened" or result.outcome == "dispute_opened"):
        return Booked(held, note=f"dispute {known.id} is {known.state} already")
    if known is None:
        return _dispute_begins(held, result, booking)
    closed = known.model_copy(update={"state": result.outcome.removeprefix("dispute_")})
    after = held.model_copy(update={"disputes": tuple(closed if each is known else each for each in held.disputes)})
    if result.outcome == "dispute_won":
        postings: dict[Book, Decimal] = {"disputed": -known.amount, "cash": known.amount}
        return Booked(after, (booked(result, booking, "dispute_won", postings, ""),))
    return _lost(after, result, booking, "disputed", known.amount)


def _dispute_begins(held: Receivable, result: PaymentResult, booking: Booking) -> Booked:
    """A dispute that is not known: opened now, or over before its opening was told."""
    amount = min(moved(result), held.paid - held.held_back)
    rest = moved(result) - amount
    state = result.outcome.removeprefix("dispute_")
    dispute = Dispute.model_validate({"id": result.dispute, "amount": amount, "state": state})
    after = held.model_copy(update={"disputes": (*held.disputes, dispute)})
    if result.outcome == "dispute_won":
        return Booked(after, note="won before it was told that it is open: no money moved")
    if result.outcome == "dispute_lost":
        return _lost(after, result, booking, "cash", amount, rest)
    note = f"{rest} {held.currency} more is disputed than was paid" if rest else ""
    postings: dict[Book, Decimal] = {"disputed": amount, "unapplied": rest, "cash": -moved(result)}
    return Booked(after, (booked(result, booking, "dispute_opened", postings, note),), note)


def _lost(
    held: Receivable, result: PaymentResult, booking: Booking, source: Book, amount: Decimal, rest: Decimal = ZERO
) -> Booked:
    """What was lost does not count as paid any more: it is owed again."""
    after = held.model_copy(update={"paid": held.paid - amount})
    postings: dict[Book, Decimal] = {source: -amount - rest, "receivable": amount, "unapplied": rest}
    note = f"{rest} {held.currency} more was lost than was paid" if rest else ""
    return Booked(restated(after), (booked(result, booking, "dispute_lost", postings, note),), note)


def _not_paid(held: Receivable, result: PaymentResult) -> Booked:
    state = "failed" if result.outcome == "failed" else "requires_action"
    return Booked(held.model_copy(update={"attempts": _with_outcome(held.attempts, result, state)}), (), result.detail)


def _with_outcome(attempts: tuple[Attempt, ...], result: PaymentResult, state: str) -> tuple[Attempt, ...]:
    """The attempts with what is known of one now: a success stays, whatever comes later."""
    return tuple(
        attempt.model_copy(update={"state": state, "detail": result.detail})
        if attempt.number == result.attempt and attempt.state != "succeeded" else attempt
        for attempt in attempts
    )  # fmt: skip


def credited(held: Receivable, note: Settled) -> Receivable:
    """The receivable after a credit note: it cancels what is open, then what was given up, and sets money free.

    What is set free beyond the money that came was paid by set-off or from the balance. Source: rating.md §8.
    """
    freed = note.kept + note.refunded
    from_paid = min(freed, held.paid)
    forgiven = max(ZERO, note.cancelled - held.open)
    if forgiven > held.written_off:
        raise ValueError(f"cancelled: {note.cancelled} is more than is open of {held.number}")
    after = held.model_copy(update={
        "credited": held.credited + note.cancelled + from_paid, "written_off": held.written_off - forgiven,
        "paid": held.paid - from_paid, "set_free": held.set_free + from_paid,
        "returnable": held.returnable + note.kept, "due_back": held.due_back + note.refunded,
    })  # fmt: skip
    return restated(after)


def write_off(held: Receivable, booking: Booking, why: str) -> Booked:
    """What is open is given up; a payment that comes later recovers it."""
    amount = held.open
    after = held.model_copy(update={"written_off": held.written_off + amount, "state": "uncollectible"})
    key = ("written off", held.document, len(held.attempts), str(held.written_off))
    postings: dict[Book, Decimal] = {"bad_debt": amount, "receivable": -amount}
    return Booked(after, (transaction(key, booking, held.currency, "written_off", postings, held.document, why),))
