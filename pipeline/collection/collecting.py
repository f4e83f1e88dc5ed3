"""Collection in the books: attempts and results, as their order in the log has them, and how an invoice then stands."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipeline.collection.booking import Booking
from pipeline.collection.dunning import Now, next_step_at, retry, step
from pipeline.collection.receivables import settle, write_off
from pipeline.collection.refunds import ask, ask_apart, asked_by
from schemas.document_log import DocumentAction
from schemas.invoice import Invoice, Status
from schemas.payment import Outcome, PaymentRequest, PaymentResult, RefundRequest
from schemas.posting import Transaction
from schemas.receivable import Receivable

COLLECTS = ("payment", "collect", "give_up", "hold", "uncollectible", "refund")
"""Actions that change what an invoice brings."""

_ANNOUNCED: dict[Outcome, str] = {
    "succeeded": "payment_received",
    "failed": "payment_failed",
    "requires_action": "payment_action_required",
    "refunded": "payment_refunded",
    "dispute_opened": "payment_disputed",
    "dispute_won": "dispute_won",
    "dispute_lost": "dispute_lost",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """What an action did to a receivable; `announced` is the transition that says so."""

    receivable: Receivable
    announced: str
    transactions: tuple[Transaction, ...] = ()
    request: PaymentRequest | RefundRequest | None = None


def collect(held: Receivable, action: DocumentAction, balance: Decimal) -> Moved:
    """What an action does; `balance` is the customer's. Raises ValueError for one that changes nothing, with why."""
    now = Now(action.customer, action.tick, action.time)
    if action.action == "payment":
        return _settled(held, result_of(held, action), Booking(action.customer, action.time, balance))
    if action.action == "collect":
        return _attempted(held, action, now)
    if action.action == "refund":
        return _refund_asked(held, action, balance)
    if action.action == "hold":
        return Moved(held.model_copy(update={"held_until": action.until}), "collection_held")
    return _given_up(held, action, now)


def result_of(held: Receivable, action: DocumentAction) -> PaymentResult:
    """The result of a payment; one that was recorded by hand succeeded."""
    if action.result is not None:
        return action.result
    if not action.amount:
        raise ValueError("amount: must be greater than 0")
    return PaymentResult(
        id=action.request_id,
        outcome="succeeded",
        document=held.document,
        amount=action.amount,
        currency=held.currency,
        detail=action.reason,
    )


def _settled(held: Receivable, result: PaymentResult, booking: Booking) -> Moved:
    booked = settle(held, result, booking)
    if booked.receivable == held:
        raise ValueError(f"result: {booked.note}")
    announced = "refund_failed" if result.refund and result.outcome == "failed" else _ANNOUNCED[result.outcome]
    return Moved(booked.receivable, announced, booked.transactions)


def _refund_asked(held: Receivable, action: DocumentAction, balance: Decimal) -> Moved:
    """Money that came for the invoice, or in another currency with it, is asked to be sent back."""
    asked = asked_by(action)
    apart = next((each for each in held.apart if each.payment == asked.payment), None)
    if apart is None:
        after, request = ask(held, asked, balance)
    else:
        bound, request = ask_apart(apart, asked)
        request = request.model_copy(update={"number": held.number})
        after = held.model_copy(update={"apart": tuple(bound if each is apart else each for each in held.apart)})
    return Moved(after, "refund_requested", (), request)


def _attempted(held: Receivable, action: DocumentAction, now: Now) -> Moved:
    """By dunning only when it is due; by hand whenever no outcome is unknown."""
    if action.attempt is None:
        made = retry(held, now)
    else:
        due = step(held, now)
        if due is None or due.request is None or due.request.attempt != action.attempt:
            raise ValueError(f"attempt: {action.attempt} of {held.number} is not due")
        made = due
    return Moved(made.receivable, "payment_requested", made.transactions, made.request)


def _given_up(held: Receivable, action: DocumentAction, now: Now) -> Moved:
    if held.state != "open" or not held.open:
        raise ValueError(f"document: {held.number} is {held.state}; only an open invoice can be given up")
    if action.action == "uncollectible":
        booked = write_off(held, Booking(action.customer, action.time), action.reason)
        return Moved(booked.receivable, "uncollectible", booked.transactions)
    end = step(held, now)
    if end is None or not end.gives_up:
        raise ValueError(f"document: {held.number} is not given up yet; the next step is at {next_step_at(held)}")
    announced = "uncollectible" if end.receivable.state == "uncollectible" else "given_up"
    return Moved(end.receivable, announced, end.transactions)


def standing(invoice: Invoice, before: Receivable, after: Receivable) -> Invoice:
    """The invoice as it stands with its receivable. What a refund had taken from the balance comes back if it fails."""
    returned = after.returnable - before.returnable
    came = returned if returned > 0 and after.refunds == before.refunds else returned - returned
    balance = invoice.balance.model_copy(update={
        "paid": after.paid + after.set_free,
        "overpaid": invoice.balance.overpaid + came,
        "refunded": invoice.balance.refunded + came - returned,
        "open": after.open + after.written_off,
    })  # fmt: skip
    return invoice.model_copy(update={"balance": balance, "status": _status(invoice, after)})


def _status(invoice: Invoice, held: Receivable) -> Status:
    if held.state == "void":
        return "voided"
    if held.state == "open":
        return "past_due" if invoice.status == "past_due" else "open"
    return held.state


def transitions(before: Invoice, after: Invoice, moved: Moved) -> tuple[str, ...]:
    """What is announced: what happened, then whether the invoice is paid by it or owed again."""
    if before.status == after.status or moved.announced == after.status:
        return (moved.announced,)
    if after.status == "paid":
        return (moved.announced, "paid")
    return (moved.announced, "reopened") if after.status == "open" else (moved.announced,)
