"""Refunds: money is asked back once, never more than came, and what comes of it is booked in every state."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collection.booking import Booking
from pipeline.collection.collection_effects import effects_of
from pipeline.collection.dunning import next_step_at
from pipeline.collection.receivables import credited, settle
from pipeline.collection.refunds import Asked, ask, refundable
from pipeline.documents.books import Change, Entered
from schemas.credit_note import Settled
from schemas.payment import PaymentResult, RefundRequest, refund_key, request_key
from schemas.receivable import Receivable
from tests.pipeline.collection.test_collecting import Case, collected
from tests.pipeline.collection.test_receivables import (
    BOOKING,
    GIVEN_UP,
    OPEN,
    PAID,
    PARTLY,
    VOID,
    booked,
    receivable,
    result,
    text,
)
from tests.pipeline.document_log import FIRST, note

D = Decimal
OVERPAID = receivable(state="paid", paid=D("100.00"), returnable=D("30.00"))
CREDITED = receivable(state="paid", credited=D("40.00"), paid=D("60.00"), set_free=D("40.00"), due_back=D("40.00"))
DISPUTED = PAID.model_copy(
    update={"disputes": settle(PAID, result("dispute_opened", "80.00"), BOOKING).receivable.disputes}
)
PAID_WHEN_VOID = receivable(state="void", credited=D("100.00"), returnable=D("100.00"))


def asked(amount: str, *, balance: str = "1000.00", of: Receivable = PAID) -> tuple[Receivable, RefundRequest]:
    about = Asked("acme", of.document, D(amount), "", "a test", 9, BOOKING.at)
    return ask(of, about, D(balance))


def answer(held: Receivable, outcome: str, amount: str | None = None, **changed: Any) -> PaymentResult:
    told = {"id": f"a{len(held.results)}", "attempt": None, "refund": held.refunds[-1].key if held.refunds else "none"}
    return result(outcome, amount, **(told | changed))


@pytest.mark.parametrize(
    ("held", "amount", "outcome", "came", "state", "left", "postings"),
    [
        (PARTLY, "40.00", "refunded", "40.00", "open", "100.00", {"cash": "-40.00", "receivable": "40.00"}),
        (PARTLY, "40.00", "failed", None, "open", "60.00", {}),
        (PAID, "30.00", "refunded", "30.00", "open", "30.00", {"cash": "-30.00", "receivable": "30.00"}),
        (PAID, "30.00", "failed", None, "paid", "0.00", {}),
        (PAID, "30.00", "refunded", "10.00", "open", "10.00", {"cash": "-10.00", "receivable": "10.00"}),
        (PAID, "30.00", "refunded", "130.00", "open", "100.00",
         {"cash": "-130.00", "receivable": "100.00", "unapplied": "30.00"}),
        (OVERPAID, "30.00", "refunded", "30.00", "paid", "0.00", {"cash": "-30.00", "customer_balance": "30.00"}),
        (OVERPAID, "30.00", "failed", None, "paid", "0.00", {}),
        (OVERPAID, "130.00", "refunded", "130.00", "open", "100.00",
         {"cash": "-130.00", "customer_balance": "30.00", "receivable": "100.00"}),
        (CREDITED, "40.00", "refunded", "40.00", "paid", "0.00", {"cash": "-40.00", "customer_balance": "40.00"}),
        (CREDITED, "40.00", "refunded", "15.00", "paid", "0.00", {"cash": "-15.00", "customer_balance": "15.00"}),
        (CREDITED, "40.00", "failed", None, "paid", "0.00", {}),
        (CREDITED, "100.00", "refunded", "100.00", "open", "60.00",
         {"cash": "-100.00", "customer_balance": "40.00", "receivable": "60.00"}),
        (GIVEN_UP, "40.00", "refunded", "40.00", "open", "40.00", {"cash": "-40.00", "receivable": "40.00"}),
        (GIVEN_UP, "40.00", "failed", None, "uncollectible", "0.00", {}),
        (PAID_WHEN_VOID, "100.00", "refunded", "100.00", "void", "0.00",
         {"cash": "-100.00", "customer_balance": "100.00"}),
        (PAID_WHEN_VOID, "100.00", "failed", None, "void", "0.00", {}),
    ],
)  # fmt: skip
def test_a_refund_that_was_asked_for_ends_in_every_state_as_the_table_says(
    held: Receivable, amount: str, outcome: str, came: str | None, state: str, left: str, postings: dict[str, str]
) -> None:
    going, _ = asked(amount, of=held)
    assert text(going) == text(held)  # until it is gone, it is there
    settled = settle(going, answer(going, outcome, came), BOOKING)
    assert text(settled.receivable) == (state, left)
    assert booked(settled) == postings
    assert [refund.state for refund in settled.receivable.refunds] == [outcome]


@pytest.mark.parametrize(
    ("held", "balance", "there"),
    [
        (OPEN, "0", "0"), (PARTLY, "0", "40.00"), (PAID, "0", "100.00"), (GIVEN_UP, "0", "40.00"), (VOID, "0", "0"),
        (OVERPAID, "30.00", "130.00"), (CREDITED, "0", "100.00"), (DISPUTED, "0", "20.00"),
        (OVERPAID, "12.00", "112.00"),  # the next invoice took the rest of the balance
    ],
)  # fmt: skip
def test_no_more_can_be_asked_back_than_came_and_is_still_there(held: Receivable, balance: str, there: str) -> None:
    assert refundable(held, D(balance)).total == D(there)
    if D(there):
        going, request = asked(there, balance=balance, of=held)
        assert (str(request.refund_amount), refundable(going, D(0)).total) == (there, 0)
    beyond = str(D(there) + D("0.01"))
    with pytest.raises(
        ValueError, match=rf"^amount: {there}\S* EUR came for INV-000001 and can be sent back, not {beyond}$"
    ):
        asked(beyond, balance=balance, of=held)


@pytest.mark.parametrize("amount", ["0", "-1.00"])
def test_a_refund_is_of_something(amount: str) -> None:
    with pytest.raises(ValueError, match="can be sent back, not"):
        asked(amount)


def test_a_request_has_a_key_for_ever_and_names_the_payments_that_it_sends_back() -> None:
    paid = settle(receivable(), result("succeeded", "100.00"), BOOKING).receivable
    going, first = asked("10.00", of=paid)
    _, second = asked("10.00", of=going)
    assert [first.key, second.key] == [refund_key("acme", "d", "", number) for number in (1, 2)]
    assert (first.kind, first.number, first.requests) == ("refund", "INV-000001", (request_key("d", 1),))
    assert {"amount", "attempt"}.isdisjoint(first.model_dump())  # who knows only payments must not charge it


def test_what_was_sent_back_because_we_asked_is_not_collected_again_by_itself() -> None:
    policy = {"days": [0, 3]}
    held = receivable(state="paid", paid=D("100.00"), policy=policy)
    unasked = settle(held, result("refunded", "30.00"), BOOKING).receivable
    assert next_step_at(unasked.model_copy(update={"attempts": ()})) is not None
    going, _ = asked("30.00", of=held)
    back = settle(going, answer(going, "refunded", "30.00"), BOOKING).receivable
    assert (text(back), back.rests) == (("open", "30.00"), True)
    assert next_step_at(back.model_copy(update={"attempts": ()})) is None


def test_a_refund_that_failed_is_tried_again_under_another_key_and_one_that_came_later_is_booked() -> None:
    going, first = asked("30.00", of=OVERPAID)
    assert (going.returnable, going.due_back) == (D("0.00"), D("30.00"))
    failed = settle(going, answer(going, "failed", detail="closed"), BOOKING).receivable
    assert (failed.returnable, failed.due_back, failed.refunds[0].detail) == (D("30.00"), D("0.00"), "closed")
    again, second = asked("30.00", of=failed)
    assert first.key != second.key
    late = settle(again, answer(again, "refunded", "30.00", refund=first.key), BOOKING)
    assert booked(late) == {"cash": "-30.00", "receivable": "30.00"}  # the second still has the balance
    assert [refund.state for refund in late.receivable.refunds] == ["refunded", "requested"]


def test_an_answer_that_comes_twice_counts_once_and_a_failure_after_it_changes_nothing() -> None:
    going, _ = asked("30.00")
    once = settle(going, answer(going, "refunded", "30.00", id="x"), BOOKING).receivable
    assert settle(once, answer(once, "refunded", "30.00", id="x"), BOOKING).receivable == once
    after = settle(once, answer(once, "failed"), BOOKING).receivable
    assert (text(after), after.refunds) == (text(once), once.refunds)


@pytest.mark.parametrize(
    "changed", [{"outcome": "succeeded", "amount": "1.00"}, {"outcome": "refunded", "amount": "1.00", "attempt": 1}]
)
def test_an_answer_to_a_refund_says_what_it_must(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="refund: the key of a refund request goes with refunded and failed"):
        result(**{"attempt": None, "refund": "k", **changed})


CENTS = st.integers(1, 15_000).map(lambda cents: D(cents).scaleb(-2))
STEPS = st.lists(
    st.tuples(st.sampled_from(["pay", "ask", "refunded", "failed", "unasked", "note"]), CENTS), max_size=12
)


@given(STEPS)
def test_whatever_is_asked_and_answered_no_more_is_bound_than_there_is(steps: list[tuple[str, D]]) -> None:
    held, cash, owed = OPEN, D(0), D(0)
    for number, (what, amount) in enumerate(steps):
        booking = Booking("acme", BOOKING.at, held.returnable)
        if what == "ask":
            if amount <= refundable(held, held.returnable).total:
                held, _ = asked(str(amount), of=held, balance=str(held.returnable))
        elif what == "note":
            freed = min(amount, held.paid)
            held = credited(held, Settled(refunded=freed, kept=D(0)))
            owed += freed
        else:
            outcome = {"pay": "succeeded", "unasked": "refunded"}.get(what, what)
            key = held.refunds[-1].key if held.refunds and what != "unasked" else None
            told = result(outcome, None if what == "failed" else str(amount), id=f"r{number}",
                          attempt=1 if what == "pay" else None, refund=None if what == "pay" else key)  # fmt: skip
            settled = settle(held, told, booking)
            held = settled.receivable
            cash += D(booked(settled).get("cash", "0"))
            owed -= D(booked(settled).get("customer_balance", "0"))
        assert owed == held.returnable + held.due_back
        assert held.due_back >= sum((each.aside for each in held.refunds if each.state == "requested"), D(0))
        assert min(held.returnable, held.due_back, held.paid, refundable(held, None).total) >= 0
        assert cash == held.paid + held.returnable + held.due_back - held.early_refunds


# -- in the books ------------------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Case:
    case = Case(collected())
    case.final("a")
    return case


def only(entered: Entered) -> Change:
    (change,) = entered.changes
    return change


def request_of(change: Change) -> RefundRequest:
    assert isinstance(change.request, RefundRequest)
    return change.request


def test_a_refund_of_the_balance_takes_it_from_the_next_invoice_at_once_and_gives_it_back_if_it_fails(
    log: Case,
) -> None:
    log.told("succeeded", "150.00")
    made = only(log.enter("refund", amount="4.80"))
    assert (made.transitions, made.transactions) == (("refund_requested",), ())
    assert (log.books.balances["acme", "EUR"], log.invoice("a").balance.refunded) == (0, D("4.80"))
    key = request_of(made).key
    failed = only(log.told("failed", None, attempt=None, refund=key))
    assert failed.transitions == ("refund_failed",)
    assert [each.kind for each in effects_of(failed).notices] == ["refund_failed"]
    assert (str(log.books.balances["acme", "EUR"]), log.invoice("a").balance.refunded) == ("4.80", 0)
    assert log.enter("refund", amount="150.01").refusal == (
        "amount: 150.00 EUR came for INV-000001 and can be sent back, not 150.01"
    )


def test_what_a_credit_note_refunds_is_asked_of_the_service_that_collected_it_and_owed_to_nobody_after(
    log: Case,
) -> None:
    log.add(note("n", log.invoice("a"), {"fee": "20.00"}, refund=True))
    log.enter("collect", attempt=1)
    log.told("succeeded", "145.20")
    noted, told = log.final("n").changes
    request = request_of(told)
    assert (noted.request, told.transitions) == (None, ("credited", "refund_requested"))
    assert (str(request.refund_amount), request.reason) == ("24.20", "credit note CN-000001")
    assert request.requests == (request_key("a", 1),)
    sent = only(log.told("refunded", "24.20", attempt=None, refund=request.key))
    assert (sent.transitions, log.invoice("a").status) == (("payment_refunded",), "paid")
    assert (log.balance("customer_balance"), log.balance("receivable"), log.balance("unapplied")) == (0, 0, 0)
    assert str(log.balance("cash")) == "121.00"


def test_what_was_paid_past_the_service_is_not_asked_of_it_by_itself(log: Case) -> None:
    log.add(note("n", log.invoice("a"), {"fee": "20.00"}, refund=True))
    log.told("succeeded", "145.20", attempt=None)
    assert [each.request for each in log.final("n").changes] == [None, None]
    assert str(request_of(only(log.enter("refund", amount="24.20"))).refund_amount) == "24.20"


def test_money_in_another_currency_is_sent_back_in_that_currency_and_once(log: Case) -> None:
    log.told("succeeded", "50.00", id="usd", currency="USD")
    beyond = log.enter("refund", amount="50.01", payment="usd")
    assert beyond.refusal == "amount: 50.00 USD came for payment usd and can be sent back, not 50.01"
    request = request_of(only(log.enter("refund", amount="50.00", payment="usd")))
    assert (request.currency, request.payment, request.number) == ("USD", "usd", "INV-000001")
    assert "0.00 USD came" in log.enter("refund", amount="0.01", payment="usd").refusal
    log.told("refunded", "50.00", attempt=None, refund=request.key, currency="USD")
    assert (log.balance("cash"), log.balance("unapplied")) == (0, 0)
    assert "amount: 0 USD came" in log.enter("refund", amount="50.00", payment="usd").refusal


def test_money_for_a_document_that_there_is_not_is_sent_back_when_somebody_asks() -> None:
    log = Case(collected())
    told = {"id": "x", "outcome": "succeeded", "document": "z", "amount": "7.00", "currency": "EUR"}
    log.enter("payment", "z", unknown=True, result=PaymentResult.model_validate(told))
    twice = log.enter("payment", "z", unknown=True, result=PaymentResult.model_validate(told))
    assert twice.refusal == "result: result x was booked before"
    assert "there is none with the id z" in log.enter("refund", "z", unknown=True, payment="y", amount="1.00").refusal
    made = log.enter("refund", "z", unknown=True, payment="x", amount="7.00", at=FIRST + timedelta(days=1))
    assert made.request is not None
    assert (made.request.payment, made.request.document, made.changes) == ("x", "z", ())
    answered = {**told, "id": "back", "outcome": "refunded", "refund": made.request.key}
    log.enter("payment", "z", unknown=True, result=PaymentResult.model_validate(answered))
    assert (log.balance("cash"), log.balance("unapplied")) == (0, 0)
    assert "amount: 0 EUR came" in log.enter("refund", "z", unknown=True, payment="x", amount="7.00").refusal


def test_a_refund_of_stray_money_that_fails_can_be_asked_for_again() -> None:
    log = Case(collected())
    told = {"id": "x", "outcome": "succeeded", "document": "z", "amount": "7.00", "currency": "EUR"}
    log.enter("payment", "z", unknown=True, result=PaymentResult.model_validate(told))
    made = log.enter("refund", "z", unknown=True, payment="x", amount="7.00")
    assert made.request is not None
    failed = {"id": "f", "outcome": "failed", "document": "z", "currency": "EUR", "refund": made.request.key}
    assert log.enter("payment", "z", unknown=True, result=PaymentResult.model_validate(failed)).refusal == ""
    again = log.enter("refund", "z", unknown=True, payment="x", amount="7.00")
    assert again.request is not None
    assert again.request.key != made.request.key
