"""Collection in the books: attempts, results and their order in billing.finalisations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pipeline.collection.collection_effects import effects_of
from pipeline.documents.books import Change, Entered
from pipeline.documents.document_keys import number_text
from schemas.document_log import DocumentAction
from schemas.dunning import DunningPolicy
from schemas.invoice import DocumentTerms, Invoice
from schemas.payment import PaymentResult, request_key
from tests.pipeline.document_log import FIRST, Log, invoice

DUE = FIRST + timedelta(days=14)
POLICY = DunningPolicy(days=(0, 3), patience=timedelta(days=4), at_end="cancel")


def collected(name: str = "a", policy: DunningPolicy | None = POLICY) -> Invoice:
    return invoice(name).model_copy(update={"terms": DocumentTerms(dunning=policy)})


class Case(Log):
    """A log in which collection acts."""

    def enter(self, action: str, name: str = "a", *, at: datetime = DUE, **told: Any) -> Entered:
        record = {
            "action": action, "document_id": name, "customer": "acme", "request_id": f"c{self.offset}", "actor": "test",
            "reason": "a test", "tick": 9, "time": at, "partition": 0, "offset": self.offset, **told,
        }  # fmt: skip
        return self._enter(DocumentAction.model_validate(record))

    def told(self, outcome: str, amount: str | None = None, **changed: Any) -> Entered:
        result = {"id": f"p{self.offset}", "outcome": outcome, "document": "a", "attempt": 1, "amount": amount,
                  "currency": "EUR", **changed}  # fmt: skip
        return self.enter("payment", result=PaymentResult.model_validate(result))


@pytest.fixture
def log() -> Case:
    case = Case(collected())
    case.final("a")
    return case


def transitions(entered: Entered) -> list[tuple[str, ...]]:
    return [change.transitions for change in entered.changes]


def only(entered: Entered) -> Change:
    (change,) = entered.changes
    return change


def test_an_attempt_is_made_once_when_it_is_due_and_asks_for_what_is_open(log: Case) -> None:
    early = log.enter("collect", attempt=1, at=DUE - timedelta(seconds=1))
    assert early.refusal == f"attempt: 1 of {number_text('INV', 1)} is not due"
    made = only(log.enter("collect", attempt=1))
    assert made.transitions == ("payment_requested",)
    assert made.request is not None
    assert (made.request.key, str(made.request.amount)) == (request_key("a", 1), "145.20")
    assert log.enter("collect", attempt=1).refusal == "attempt: 1 of INV-000001 is not due"
    assert log.enter("collect").refusal == "the outcome of attempt 1 of INV-000001 is unknown"


def test_a_payment_pays_and_a_result_twice_pays_once(log: Case) -> None:
    log.enter("collect", attempt=1)
    paid = only(log.told("succeeded", "145.20", id="x"))
    assert (paid.transitions, log.invoice("a").status) == (("payment_received", "paid"), "paid")
    assert log.told("succeeded", "145.20", id="x").refusal == "result: result x was booked before"
    assert log.invoice("a").balance.paid == log.invoice("a").totals.total


def test_what_is_sent_back_is_owed_again(log: Case) -> None:
    log.told("succeeded", "145.20")
    assert transitions(log.told("refunded", "45.20")) == [("payment_refunded", "reopened")]
    stands = log.invoice("a")
    assert (stands.status, str(stands.balance.open), str(stands.balance.paid)) == ("open", "45.20", "100.00")


def test_what_was_overpaid_is_the_customers_balance_until_it_is_sent_back(log: Case) -> None:
    log.told("succeeded", "150.00")
    assert log.books.balances["acme", "EUR"] == log.invoice("a").balance.overpaid
    assert str(log.books.balances["acme", "EUR"]) == "4.80"
    log.told("refunded", "4.80")
    assert log.books.balances["acme", "EUR"] == 0
    assert log.invoice("a").status == "paid"


def test_after_the_last_attempt_an_invoice_is_given_up_when_the_policy_says(log: Case) -> None:
    for attempt, day in ((1, 0), (2, 3)):
        log.enter("collect", attempt=attempt, at=DUE + timedelta(days=day))
        log.told("failed", attempt=attempt)
    assert "is not given up yet" in log.enter("give_up", at=DUE + timedelta(days=6)).refusal
    assert transitions(log.enter("give_up", at=DUE + timedelta(days=7))) == [("uncollectible",)]
    assert (log.invoice("a").status, str(log.invoice("a").balance.open)) == ("uncollectible", "145.20")
    assert transitions(log.told("succeeded", "145.20")) == [("payment_received", "paid")]


def test_a_hold_puts_an_attempt_off(log: Case) -> None:
    until = DUE + timedelta(days=2)
    assert transitions(log.enter("hold", until=until)) == [("collection_held",)]
    assert log.enter("collect", attempt=1).refusal
    assert transitions(log.enter("collect", attempt=1, at=until)) == [("payment_requested",)]


def test_an_invoice_without_a_policy_is_collected_only_by_hand() -> None:
    log = Case(collected(policy=None))
    log.final("a")
    assert log.enter("collect", attempt=1).refusal == "attempt: 1 of INV-000001 is not due"
    assert transitions(log.enter("collect")) == [("payment_requested",)]


def test_a_payment_of_a_void_invoice_is_kept_for_the_customer(log: Case) -> None:
    log.act("void", "a")
    log.told("succeeded", "145.20")
    assert (log.invoice("a").status, str(log.books.balances["acme", "EUR"])) == ("voided", "145.20")


def test_every_change_of_money_is_booked_and_adds_up(log: Case) -> None:
    entered = [log.told("succeeded", "100.00"), log.told("dispute_opened", "30.00", dispute="d"),
               log.told("dispute_lost", "30.00", dispute="d")]  # fmt: skip
    causes = [t.cause for each in entered for change in each.changes for t in change.transactions]
    assert causes == ["paid", "dispute_opened", "dispute_lost"]
    assert str(log.invoice("a").balance.open) == "75.20"


@pytest.mark.parametrize(
    ("at_end", "command"), [("cancel", [("cancel", "now")]), ("pause", [("pause", "")]), ("leave", [])]
)
def test_what_becomes_of_the_subscription_is_the_policys_end(at_end: str, command: list[tuple[str, str]]) -> None:
    log = Case(collected(policy=DunningPolicy.model_validate({**POLICY.model_dump(), "days": [0], "at_end": at_end})))
    log.final("a")
    log.enter("collect", attempt=1)
    log.told("failed")
    effects = effects_of(only(log.enter("give_up", at=DUE + timedelta(days=4))))
    assert [(each.command, getattr(each, "when", "")) for each in effects.commands] == command
    assert [notice.kind for notice in effects.notices] == ["uncollectible"]


def test_an_invoice_past_due_marks_its_subscription_and_its_payment_clears_that(log: Case) -> None:
    late = effects_of(only(log.enter("past_due")))
    assert [(c.command, c.request_id) for c in late.commands] == [
        ("mark_past_due", f"collection/a/{log.invoice('a').revision}/past_due/s")
    ]
    assert late.notices[0].text == "INV-000001 over 145.20 EUR is past due"
    paid = effects_of(only(log.told("succeeded", "145.20")))
    assert [c.command for c in paid.commands] == ["mark_paid"]
    assert [notice.kind for notice in paid.notices] == ["paid"]


def test_a_payment_in_time_says_nothing_of_the_subscription(log: Case) -> None:
    paid = effects_of(only(log.enter("payment", at=FIRST, amount="145.20")))
    assert paid.commands == ()


def test_money_for_a_document_that_there_is_not_is_kept_apart_once(log: Case) -> None:
    told = PaymentResult.model_validate(
        {"id": "x", "outcome": "succeeded", "document": "z", "amount": "7.00", "currency": "EUR"}
    )
    first = log.enter("payment", "z", unknown=True, result=told, request_id="r")
    assert (first.refusal, first.changes) == ("", ())
    assert [str(p.amount) for p in first.transactions[0].postings] == ["7.00", "-7.00"]
    assert log.enter("payment", "z", unknown=True, result=told, request_id="r").repeats
    assert log.enter("void", "z", unknown=True).refusal == "document: there is none with the id z"
