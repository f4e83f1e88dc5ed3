"""Refunds: money is asked to be sent back once, never more than came, and booked when it is gone.

What is asked for is bound at once, so that two refunds, or a refund and the next invoice, cannot take the same money:
first what credit notes set aside, then what the customer's balance holds because of the invoice, then what was paid.
Only the last is owed again, and then nobody is asked for it by itself.

| what comes of it | postings | the invoice |
|---|---|---|
| asked for | none | its amount is set aside |
| refunded, set aside | cash to customer_balance | stays as it is |
| refunded, paid | cash to receivable | owed again; dunning rests |
| refunded in part | what was sent back | the rest is free again |
| failed | none | everything is free again; a notice |
| refunded unasked, or more than asked for | as above; beyond what came to unapplied | as above, and dunning goes on |
| of money that no document takes | cash to unapplied | – |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from pipeline.collection.booking import Booked, Booking, booked, restated
from schemas.document_log import DocumentAction
from schemas.payment import PaymentResult, RefundRequest, moved, refund_key, request_key
from schemas.posting import Book
from schemas.quantity import ZERO
from schemas.receivable import Apart, Receivable, Refund


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked to be sent back, by whom, and under which tick; `payment` is the result that is meant, or empty."""

    customer: str
    document: str
    amount: Decimal
    payment: str
    reason: str
    tick: int
    at: datetime


def asked_by(action: DocumentAction) -> Asked:
    """What an action asks to be sent back."""
    amount = action.amount if action.amount is not None else ZERO
    return Asked(action.customer, action.document_id, amount, action.payment or "", action.reason, action.tick,
                 action.time)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refundable:
    """What can be sent back of an invoice: set aside, in the customer's balance, and paid (then it is owed again)."""

    aside: Decimal
    balance: Decimal
    paid: Decimal

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.aside + self.balance + self.paid


def refundable(held: Receivable, balance: Decimal | None) -> Refundable:
    """What came for an invoice and was not sent back, is not disputed and no other refund will take.

    `balance` is what the customer's balance holds; None for as much as is needed.
    """
    going = [refund for refund in held.refunds if refund.state == "requested"]
    there = held.returnable if balance is None else min(held.returnable, max(ZERO, balance))
    return Refundable(
        held.due_back - sum((refund.aside for refund in going), ZERO),
        there,
        max(ZERO, held.paid - held.held_back - sum((refund.amount - refund.aside for refund in going), ZERO)),
    )


def ask(held: Receivable, asked: Asked, balance: Decimal) -> tuple[Receivable, RefundRequest]:
    """The receivable with a refund on its way, and the request for it. Raises ValueError for more than there is."""
    there = refundable(held, balance)
    asked = _checked(asked, there.total, held.owed, held.currency, held.number)
    aside = min(asked.amount, there.aside)
    from_balance = min(asked.amount - aside, there.balance)
    paid_by = [each.number for each in reversed(held.attempts) if each.state == "succeeded"]
    request = _request(asked, held.currency, len(held.refunds) + 1).model_copy(update={
        "number": held.number, "requests": tuple(request_key(held.document, number) for number in paid_by),
    })  # fmt: skip
    refund = _refund(request).model_copy(update={"aside": aside + from_balance, "from_balance": from_balance})
    after = {
        "refunds": (*held.refunds, refund), "due_back": held.due_back + from_balance,
        "returnable": held.returnable - from_balance,
    }  # fmt: skip
    return held.model_copy(update=after), request


def ask_apart(held: Apart, asked: Asked) -> tuple[Apart, RefundRequest]:
    """Likewise for money that no document takes."""
    asked = _checked(asked, held.free, held.amount, held.currency, f"payment {held.payment}")
    request = _request(asked, held.currency, len(held.refunds) + 1)
    return held.model_copy(update={"refunds": (*held.refunds, _refund(request))}), request


def _checked(asked: Asked, there: Decimal, like: Decimal, currency: str, name: str) -> Asked:
    """With the decimals of the money that came. Raises ValueError for finer amounts, and for more than there is."""
    amount = asked.amount + (like - like)
    if not ZERO < amount <= there:
        raise ValueError(f"amount: {there} {currency} came for {name} and can be sent back, not {asked.amount}")
    if amount.as_tuple().exponent != (like - like).as_tuple().exponent:
        raise ValueError(f"amount: {asked.amount} is finer than the minor unit of {currency}")
    return replace(asked, amount=amount)


def _request(asked: Asked, currency: str, number: int) -> RefundRequest:
    return RefundRequest(
        key=refund_key(asked.customer, asked.document, asked.payment, number),
        document=asked.document,
        customer=asked.customer,
        payment=asked.payment or None,
        refund_amount=asked.amount,
        currency=currency,
        reason=asked.reason,
        tick=asked.tick,
        at=asked.at,
    )


def _refund(request: RefundRequest) -> Refund:
    return Refund(
        key=request.key, amount=request.refund_amount, requested_at=request.at, payment=request.payment or "",
    )  # fmt: skip


def sent_back(held: Receivable, result: PaymentResult, booking: Booking) -> Booked:
    """Money that was sent back, asked for or not: of what was set aside, then of the balance, then of what was paid."""
    amount = moved(result)
    released = _released(held, result)
    there = refundable(released, booking.balance)
    aside = min(amount, there.aside)
    set_free = min(amount - aside, there.balance)
    again = min(amount - aside - set_free, there.paid)
    rest = amount - aside - set_free - again
    after = released.model_copy(update={
        "paid": released.paid - again, "returnable": released.returnable - set_free,
        "due_back": released.due_back - aside, "early_refunds": released.early_refunds + rest,
        "refunds": _with_outcome(released.refunds, result, "refunded", again),
    })  # fmt: skip
    note = f"{rest} {held.currency} more was refunded than came" if rest else ""
    postings: dict[Book, Decimal] = {
        "cash": -amount, "customer_balance": aside + set_free, "receivable": again, "unapplied": rest,
    }  # fmt: skip
    return Booked(restated(after), (booked(result, booking, "refunded", postings, note),), note)


def refund_failed(held: Receivable, result: PaymentResult) -> Booked:
    """What was set aside for a refund is free again; one that was sent back stays sent back."""
    released = _released(held, result)
    return Booked(released.model_copy(update={"refunds": _with_outcome(released.refunds, result, "failed", ZERO)}))


def _released(held: Receivable, result: PaymentResult) -> Receivable:
    """The receivable with the refund that is answered not on its way any more, and what is not gone of it free."""
    refund = next((each for each in held.refunds if each.key == result.refund and each.state == "requested"), None)
    if refund is None:
        return held
    gone = moved(result)
    back = min(refund.from_balance, max(ZERO, refund.aside - gone))
    over = refund.model_copy(update={"state": "failed"})
    return held.model_copy(update={
        "returnable": held.returnable + back, "due_back": held.due_back - back,
        "refunds": tuple(over if each.key == refund.key else each for each in held.refunds),
    })  # fmt: skip


def _with_outcome(
    refunds: tuple[Refund, ...], result: PaymentResult, state: str, again: Decimal
) -> tuple[Refund, ...]:  # fmt: skip
    return tuple(
        each.model_copy(update={"state": state, "detail": result.detail, "owed_again": each.owed_again + again})
        if each.key == result.refund and (state == "refunded" or each.state != "refunded") else each
        for each in refunds
    )  # fmt: skip


def apart_from(held: Receivable, result: PaymentResult) -> Receivable:
    """The receivable with what it knows of money in another currency: that it came, or was sent back again."""
    if result.outcome == "succeeded":
        came = Apart(payment=result.id, currency=result.currency, amount=moved(result))
        return held.model_copy(update={"apart": (*held.apart, came)})
    meant = next((each for each in held.apart if is_meant(each, result)), None)
    told = tuple(answered(each, result) if each is meant else each for each in held.apart)
    return held.model_copy(update={"apart": told})


def is_meant(held: Apart, result: PaymentResult) -> bool:
    """Whether a result is about this money: by the refund that it answers, else the first of its currency."""
    if result.refund is not None:
        return any(refund.key == result.refund for refund in held.refunds)
    return result.outcome == "refunded" and held.currency == result.currency and held.amount > ZERO


def answered(held: Apart, result: PaymentResult) -> Apart:
    """Money that no document takes, after it was sent back, asked for or not, or could not be."""
    left = max(ZERO, held.amount - moved(result))
    state = "refunded" if result.outcome == "refunded" else "failed"
    return held.model_copy(update={"amount": left, "refunds": _with_outcome(held.refunds, result, state, ZERO)})
