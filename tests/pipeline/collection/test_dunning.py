"""Dunning: when an unpaid invoice is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collection.booking import Booking
from pipeline.collection.dunning import Now, Step, next_step_at, retry, step
from pipeline.collection.receivables import settle
from schemas.dunning import DunningPolicy
from schemas.payment import PaymentResult, request_key
from schemas.receivable import Receivable

DUE = datetime(2027, 3, 1, tzinfo=UTC)


def now(day: float) -> Now:
    return Now("acme", 1, DUE + timedelta(days=day))


def receivable(**changed: Any) -> Receivable:
    held: dict[str, Any] = {
        "document": "d",
        "number": "INV-000001",
        "currency": "EUR",
        "due_at": DUE,
        "owed": "10.00",
        "policy": DunningPolicy(),
    }
    return Receivable.model_validate(held | changed)


def told(held: Receivable, outcome: str, attempt: int, amount: str | None = None) -> Receivable:
    result = PaymentResult.model_validate({
        "id": f"{outcome} {attempt}", "outcome": outcome, "document": "d", "attempt": attempt, "amount": amount,
        "currency": "EUR",
    })  # fmt: skip
    return settle(held, result, Booking("acme", DUE)).receivable


def after(held: Receivable, day: float) -> Step:
    found = step(held, now(day))
    assert found is not None
    return found


def all_failed(held: Receivable) -> Receivable:
    assert held.policy is not None
    for number, day in enumerate(held.policy.days, start=1):
        held = told(after(held, day).receivable, "failed", number)
    return held


def test_attempts_follow_the_days_of_the_policy_and_then_it_is_given_up() -> None:
    held, seen = receivable(), []
    for day in (0, 3, 7, 14):
        assert next_step_at(held) == DUE + timedelta(days=day)
        assert step(held, now(day - 0.001)) is None
        found = after(held, day)
        assert found.request is not None
        seen.append((found.request.attempt, str(found.request.amount), found.notice))
        assert found.request.key == request_key("d", found.request.attempt)
        held = told(found.receivable, "failed", found.request.attempt)
    assert seen == [(1, "10.00", "attempt"), (2, "10.00", "overdue"), (3, "10.00", "overdue"), (4, "10.00", "overdue")]
    assert next_step_at(held) == DUE + timedelta(days=21)
    end = after(held, 21)
    assert (end.gives_up, end.request, end.receivable.state) == (True, None, "uncollectible")
    assert [str(posting.amount) for posting in end.transactions[0].postings] == ["10.00", "-10.00"]
    assert next_step_at(end.receivable) is None


def test_an_invoice_that_is_left_is_given_up_once_and_stays_open() -> None:
    held = all_failed(receivable(policy=DunningPolicy(writes_off=False)))
    end = after(held, 21)
    assert (end.gives_up, end.transactions, end.receivable.state) == (True, (), "open")
    assert step(end.receivable, now(400)) is None


@pytest.mark.parametrize("outcome", ["none", "requires_action"])
def test_an_attempt_with_unknown_outcome_is_never_followed_by_another(outcome: str) -> None:
    held = after(receivable(), 0).receivable
    if outcome != "none":
        held = told(held, outcome, 1)
    assert next_step_at(held) is None
    assert step(held, now(1000)) is None
    with pytest.raises(ValueError, match=r"^the outcome of attempt 1 of INV-000001 is unknown$"):
        retry(held, now(1))


def test_what_was_paid_in_part_is_asked_for_no_more() -> None:
    held = told(after(receivable(), 0).receivable, "failed", 1)
    partly = told(held, "succeeded", 9, "4.00")
    found = after(partly, 3)
    assert found.request is not None
    assert str(found.request.amount) == "6.00"
    assert next_step_at(told(found.receivable, "succeeded", 2, "6.00")) is None


def test_a_hold_puts_off_and_skips_nothing() -> None:
    held = receivable(held_until=DUE + timedelta(days=10))
    assert step(held, now(9.9)) is None
    held = told(after(held, 10).receivable, "failed", 1)
    assert next_step_at(held) == DUE + timedelta(days=10)


def test_after_long_silence_of_ticks_one_attempt_is_made() -> None:
    found = after(receivable(), 100)
    assert found.request is not None
    assert found.request.attempt == 1
    assert step(found.receivable, now(100)) is None


def test_a_retry_by_hand_is_the_next_attempt() -> None:
    held = told(after(receivable(), 0).receivable, "failed", 1)
    found = retry(held, now(1))
    assert found.request is not None
    assert found.request.attempt == 2
    with pytest.raises(ValueError, match=r"^INV-000001 is paid: there is nothing to collect$"):
        retry(told(found.receivable, "succeeded", 2, "10.00"), now(1))


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["failed", "succeeded", "none"])), max_size=12))
def test_a_step_twice_at_one_tick_is_one_step_and_keys_are_used_once(story: list[tuple[int, str]]) -> None:
    held, keys, day = receivable(), list[str](), 0
    for wait, outcome in story:
        day += wait
        found = step(held, now(day))
        if found is None:
            continue
        held = found.receivable
        again = step(held, now(day))
        assert again is None or again.request is None or found.request is None
        if found.request is not None:
            keys.append(found.request.key)
            if outcome != "none":
                held = told(held, outcome, found.request.attempt, "10.00" if outcome == "succeeded" else None)
    assert len(keys) == len(set(keys)) <= 4
