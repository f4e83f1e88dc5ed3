"""Payments, refunds and disputes: state × result with the postings, and the laws of the books."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collection.booking import Booked, Booking
from pipeline.collection.receivables import credited, settle, unapplied, write_off
from schemas.credit_note import Settled
from schemas.payment import PaymentResult, moved
from schemas.posting import Transaction
from schemas.receivable import Attempt, Receivable

D = Decimal
BOOKING = Booking("acme", datetime(2027, 3, 1, tzinfo=UTC))
REQUESTED = (Attempt(number=1, requested_at=BOOKING.at),)


def receivable(**changed: Any) -> Receivable:
    held = {"document": "d", "number": "INV-000001", "currency": "EUR", "due_at": BOOKING.at, "owed": D("100.00")}
    return Receivable(**(held | {"attempts": REQUESTED} | changed))


OPEN = receivable()
PARTLY = receivable(paid=D("40.00"))
PAID = receivable(state="paid", paid=D("100.00"))
GIVEN_UP = receivable(state="uncollectible", paid=D("40.00"), written_off=D("60.00"))
VOID = receivable(state="void", credited=D("100.00"))


def result(outcome: str, amount: str | None = None, **changed: Any) -> PaymentResult:
    found = {"id": "r1", "outcome": outcome, "document": "d", "attempt": 1, "amount": amount, "currency": "EUR"}
    if outcome.startswith("dispute"):
        found["dispute"] = "dp1"
    return PaymentResult.model_validate(found | changed)


def booked(settled: Booked) -> dict[str, str]:
    """Account -> debit (positive) or credit, of everything that was booked."""
    totals: Counter[str] = Counter()
    for transaction in settled.transactions:
        for posting in transaction.postings:
            totals[posting.book] += posting.amount  # type: ignore[assignment]
    return {book: str(amount) for book, amount in totals.items() if amount}


def text(held: Receivable) -> tuple[str, str]:
    return held.state, str(held.open)


@pytest.mark.parametrize(
    ("held", "outcome", "amount", "state", "left", "postings"),
    [
        (OPEN, "succeeded", "100.00", "paid", "0.00", {"cash": "100.00", "receivable": "-100.00"}),
        (OPEN, "succeeded", "40.00", "open", "60.00", {"cash": "40.00", "receivable": "-40.00"}),
        (OPEN, "succeeded", "130.00", "paid", "0.00",
         {"cash": "130.00", "receivable": "-100.00", "customer_balance": "-30.00"}),
        (OPEN, "failed", None, "open", "100.00", {}),
        (OPEN, "requires_action", None, "open", "100.00", {}),
        (OPEN, "refunded", "10.00", "open", "100.00", {"cash": "-10.00", "unapplied": "10.00"}),
        (OPEN, "dispute_opened", "10.00", "open", "100.00", {"cash": "-10.00", "unapplied": "10.00"}),
        (OPEN, "dispute_won", "10.00", "open", "100.00", {}),
        (OPEN, "dispute_lost", "10.00", "open", "100.00", {"cash": "-10.00", "unapplied": "10.00"}),
        (PARTLY, "succeeded", "60.00", "paid", "0.00", {"cash": "60.00", "receivable": "-60.00"}),
        (PARTLY, "refunded", "30.00", "open", "90.00", {"cash": "-30.00", "receivable": "30.00"}),
        (PAID, "succeeded", "100.00", "paid", "0.00", {"cash": "100.00", "customer_balance": "-100.00"}),
        (PAID, "failed", None, "paid", "0.00", {}),
        (PAID, "requires_action", None, "paid", "0.00", {}),
        (PAID, "refunded", "30.00", "open", "30.00", {"cash": "-30.00", "receivable": "30.00"}),
        (PAID, "refunded", "130.00", "open", "100.00",
         {"cash": "-130.00", "receivable": "100.00", "unapplied": "30.00"}),
        (PAID, "dispute_opened", "100.00", "paid", "0.00", {"cash": "-100.00", "disputed": "100.00"}),
        (PAID, "dispute_won", "100.00", "paid", "0.00", {}),
        (PAID, "dispute_lost", "100.00", "open", "100.00", {"cash": "-100.00", "receivable": "100.00"}),
        (GIVEN_UP, "succeeded", "60.00", "paid", "0.00", {"cash": "60.00", "bad_debt": "-60.00"}),
        (GIVEN_UP, "succeeded", "25.00", "uncollectible", "0.00", {"cash": "25.00", "bad_debt": "-25.00"}),
        (GIVEN_UP, "failed", None, "uncollectible", "0.00", {}),
        (GIVEN_UP, "requires_action", None, "uncollectible", "0.00", {}),
        (GIVEN_UP, "refunded", "40.00", "open", "40.00", {"cash": "-40.00", "receivable": "40.00"}),
        (GIVEN_UP, "dispute_opened", "40.00", "uncollectible", "0.00", {"cash": "-40.00", "disputed": "40.00"}),
        (GIVEN_UP, "dispute_won", "40.00", "uncollectible", "0.00", {}),
        (GIVEN_UP, "dispute_lost", "40.00", "open", "40.00", {"cash": "-40.00", "receivable": "40.00"}),
        (VOID, "succeeded", "100.00", "void", "0.00", {"cash": "100.00", "customer_balance": "-100.00"}),
        (VOID, "failed", None, "void", "0.00", {}),
        (VOID, "requires_action", None, "void", "0.00", {}),
        (VOID, "refunded", "100.00", "void", "0.00", {"cash": "-100.00", "unapplied": "100.00"}),
        (VOID, "dispute_opened", "100.00", "void", "0.00", {"cash": "-100.00", "unapplied": "100.00"}),
        (VOID, "dispute_won", "100.00", "void", "0.00", {}),
        (VOID, "dispute_lost", "100.00", "void", "0.00", {"cash": "-100.00", "unapplied": "100.00"}),
    ],
)  # fmt: skip
def test_each_state_takes_each_result(
    held: Receivable, outcome: str, amount: str | None, state: str, left: str, postings: dict[str, str]
) -> None:
    settled = settle(held, result(outcome, amount), BOOKING)
    assert text(settled.receivable) == (state, left)
    assert booked(settled) == postings


def test_what_was_overpaid_is_sent_back_first() -> None:
    over = settle(OPEN, result("succeeded", "130.00"), BOOKING).receivable
    settled = settle(over, result("refunded", "50.00", id="r2"), BOOKING)
    assert booked(settled) == {"cash": "-50.00", "customer_balance": "30.00", "receivable": "20.00"}
    assert text(settled.receivable) == ("open", "20.00")


def test_a_dispute_holds_back_and_is_won_or_lost_once() -> None:
    opened = settle(PAID, result("dispute_opened", "80.00"), BOOKING).receivable
    assert text(opened) == ("paid", "0.00")
    won = settle(opened, result("dispute_won", "80.00", id="r2"), BOOKING)
    assert booked(won) == {"disputed": "-80.00", "cash": "80.00"}
    lost = settle(opened, result("dispute_lost", "80.00", id="r3"), BOOKING)
    assert booked(lost) == {"disputed": "-80.00", "receivable": "80.00"}
    assert text(lost.receivable) == ("open", "80.00")
    after = settle(won.receivable, result("dispute_lost", "80.00", id="r3"), BOOKING)
    assert (booked(after), after.note) == ({}, "dispute dp1 is won already")
    late = settle(lost.receivable, result("dispute_opened", "80.00", id="r4"), BOOKING)
    assert (booked(late), late.note) == ({}, "dispute dp1 is lost already")


def test_a_result_that_comes_twice_is_booked_once() -> None:
    once = settle(OPEN, result("succeeded", "40.00"), BOOKING)
    again = settle(once.receivable, result("succeeded", "40.00"), BOOKING)
    assert again.receivable == once.receivable
    assert again.transactions == ()
    assert again.note == "result r1 was booked before"


def test_money_in_another_currency_is_kept_apart_with_the_reason() -> None:
    settled = settle(OPEN, result("succeeded", "100.00", currency="USD"), BOOKING)
    assert text(settled.receivable) == ("open", "100.00")
    (transaction,) = settled.transactions
    assert (transaction.currency, transaction.detail) == ("USD", "INV-000001 is in EUR, the money came in USD")
    assert booked(settled) == {"cash": "100.00", "unapplied": "-100.00"}


@pytest.mark.parametrize(
    ("outcome", "cash"),
    [("succeeded", "5.00"), ("refunded", "-5.00"), ("dispute_opened", "-5.00"), ("dispute_won", "5.00")],
)
def test_money_for_an_unknown_document_is_kept_apart(outcome: str, cash: str) -> None:
    (transaction,) = unapplied(result(outcome, "5.00"), BOOKING, "no such document")
    assert {posting.book: str(posting.amount) for posting in transaction.postings} == {
        "cash": cash, "unapplied": str(-D(cash))
    }  # fmt: skip
    assert unapplied(result("failed"), BOOKING, "no such document") == ()


def test_a_success_stays_though_a_failure_of_the_same_attempt_comes_later() -> None:
    paid = settle(OPEN, result("succeeded", "100.00"), BOOKING).receivable
    after = settle(paid, result("failed", id="r2"), BOOKING).receivable
    assert [attempt.state for attempt in after.attempts] == ["succeeded"]
    assert after.state == "paid"


def note(**settled: str) -> Settled:
    return Settled.model_validate(settled)


def test_a_credit_note_cancels_what_is_open_then_sets_money_free() -> None:
    # rating.md §8: total 145.20, credits 30.00, paid 100.00, open 15.20.
    held = receivable(owed=D("115.20"), paid=D("100.00"))
    small = credited(held, note(cancelled="15.20"))
    assert (text(small), small.returnable) == (("paid", "0.00"), 0)
    rest = credited(small, note(restored="30.00", kept="4.80", refunded="95.20"))
    assert (text(rest), rest.paid, rest.set_free) == (("paid", "0.00"), 0, D("100.00"))
    assert (rest.returnable, rest.due_back) == (D("4.80"), D("95.20"))
    refunded = settle(rest, result("refunded", "100.00"), BOOKING)
    assert booked(refunded) == {"cash": "-100.00", "customer_balance": "100.00"}
    with pytest.raises(ValueError, match=r"^cancelled: 0\.01 is more than is open of INV-000001$"):
        credited(rest, note(cancelled="0.01"))


def test_a_credit_note_for_what_was_given_up_is_no_loss_any_more() -> None:
    after = credited(GIVEN_UP, note(cancelled="60.00"))
    assert (text(after), after.written_off) == (("paid", "0.00"), 0)


def test_what_notes_set_free_beyond_the_money_was_paid_otherwise() -> None:
    after = credited(receivable(state="paid", owed=D("60.00"), paid=D("60.00")), note(kept="100.00"))
    assert (after.set_free, after.returnable, after.open) == (D("60.00"), D("100.00"), 0)


def test_a_refund_takes_from_the_balance_only_what_it_still_has() -> None:
    held = credited(PAID, note(kept="100.00"))
    settled = settle(held, result("refunded", "100.00"), Booking("acme", BOOKING.at, D("30.00")))
    assert booked(settled) == {"cash": "-100.00", "customer_balance": "30.00", "unapplied": "70.00"}


def test_writing_off_gives_up_what_is_open() -> None:
    settled = write_off(PARTLY, BOOKING, "no answer")
    assert text(settled.receivable) == ("uncollectible", "0.00")
    assert booked(settled) == {"bad_debt": "60.00", "receivable": "-60.00"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outcome": "succeeded", "amount": None}, "amount: is missing: outcome succeeded"),
        ({"outcome": "failed", "amount": "1.00"}, "amount: must be left out: outcome failed"),
        ({"outcome": "dispute_won", "amount": "1.00", "dispute": None}, "dispute: the id of the dispute goes with"),
        ({"outcome": "succeeded", "amount": "-1.00"}, "greater than 0"),
    ],
)
def test_a_result_says_what_it_must(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        result(**{"amount": None, **changed})


OUTCOMES = ("succeeded", "failed", "requires_action", "refunded", "dispute_opened", "dispute_won", "dispute_lost")
CENTS = st.integers(1, 20_000).map(lambda cents: D(cents).scaleb(-2))


@st.composite
def results(draw: st.DrawFn) -> list[PaymentResult]:
    found = []
    for index in range(draw(st.integers(1, 8))):
        outcome = draw(st.sampled_from(OUTCOMES))
        amount = None if outcome in ("failed", "requires_action") else str(draw(CENTS))
        found.append(result(outcome, amount, id=f"r{draw(st.integers(0, index))}", attempt=draw(st.integers(1, 2))))
        if outcome.startswith("dispute"):
            found[-1] = found[-1].model_copy(update={"dispute": draw(st.sampled_from(["a", "b"]))})
    return found


def books(transactions: list[Transaction]) -> dict[str, D]:
    totals: dict[str, D] = {}
    for transaction in transactions:
        assert sum(posting.amount for posting in transaction.postings) == 0
        for posting in transaction.postings:
            totals[posting.book] = totals.get(posting.book, D(0)) + posting.amount
    return totals


@given(results(), st.sampled_from([OPEN, VOID]), st.booleans())
def test_the_books_say_what_the_receivable_says(found: list[PaymentResult], held: Receivable, gives_up: bool) -> None:
    booked_so_far: list[Transaction] = []
    now = held
    for index, each in enumerate(found):
        if gives_up and index == len(found) // 2 and now.state == "open":
            written = write_off(now, BOOKING, "")
            now, booked_so_far = written.receivable, [*booked_so_far, *written.transactions]
        settled = settle(now, each, BOOKING)
        now, booked_so_far = settled.receivable, [*booked_so_far, *settled.transactions]
        assert now.open >= 0
        assert (now.state == "open") == (now.open > 0)
    totals = books(booked_so_far)
    assert held.open + totals.get("receivable", D(0)) == now.open
    assert totals.get("bad_debt", D(0)) == now.written_off
    assert -totals.get("customer_balance", D(0)) == now.returnable + now.due_back
    assert totals.get("disputed", D(0)) == sum(d.amount for d in now.disputes if d.state == "opened")
    assert len({transaction.id for transaction in booked_so_far}) == len(booked_so_far)


def test_payments_and_refunds_add_up_in_any_order() -> None:
    payments = [
        result("succeeded", "60.00", id="a"), result("succeeded", "70.00", id="b"), result("refunded", "45.00", id="c"),
        result("refunded", "5.00", id="d"),
    ]  # fmt: skip
    ends = set()
    for order in permutations(payments):
        now, transactions = OPEN, list[Transaction]()
        for each in order:
            settled = settle(now, each, BOOKING)
            now, transactions = settled.receivable, [*transactions, *settled.transactions]
        totals = books(transactions)
        assert totals["cash"] == sum(moved(r) if r.outcome == "succeeded" else -moved(r) for r in payments) == D(80)
        ends.add((now.state, now.open, now.returnable, totals.get("unapplied", D(0))))
    assert ends == {("open", D("20.00"), D("0.00"), D("0.00"))}
