"""What happens to documents reaches the state of their customer: rated anew, not issued, credit given back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipeline.closing.runs import bill, next_due_at
from pipeline.subscriptions.fold import decide
from schemas.catalogue_entry import PlanEntry, catalogue_of
from schemas.command import BillAgain, BilledPart, GrantCredit, Rerate, RestoreCredit, Subscribe
from schemas.customer_state import BillingRun, CustomerState
from schemas.period import Period
from schemas.plan import Plan
from schemas.tick import Tick, Vector


def plan(amount: str) -> PlanEntry:
    return PlanEntry.of(
        Plan.model_validate({
            "id": "p", "currency": "EUR", "anchor": "calendar",
            "rate_cards": [{"id": "fee", "price": {"model": "flat", "amount": amount}}],
        }), {},
    )  # fmt: skip


OLD, NEW = plan("10.00"), plan("12.00")
CATALOGUE = catalogue_of([OLD, NEW])
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
NOVEMBER = Period(OCTOBER.end, datetime(2026, 12, 1, tzinfo=UTC))
ASKED = {"actor": "test", "reason": "a test", "customer": "acme"}


def tick(number: int, month: int, day: int = 1, hour: int = 6) -> Tick:
    return Tick(number=number, time=datetime(2026, month, day, hour, tzinfo=UTC), clock="test", vector=Vector())


def billed() -> tuple[CustomerState, BillingRun]:
    """A customer on the old version, October billed by tick 2."""
    start = tick(1, 10, hour=0)
    command = Subscribe(request_id="s", subscription="s", plan="p", plan_version=OLD.version, **ASKED)  # type: ignore[arg-type]
    state = decide(CustomerState(customer="acme"), command, start, CATALOGUE).state
    state, run = bill(state, tick(2, 11))
    assert run is not None
    return state, run


def after(state: CustomerState, command: Any) -> CustomerState:
    found = decide(state, command, tick(2, 11), CATALOGUE)
    assert found.refusal == ""
    return found.state


def test_a_billed_period_is_rated_anew_with_the_version_that_is_right_for_it() -> None:
    state, run = billed()
    (due,) = run.periods
    assert (due.period, due.plan_version) == (OCTOBER, OLD.version)
    command = Rerate(
        request_id="r", subscription="s", batch="b", plan="p", plan_version=NEW.version, span=OCTOBER, **ASKED
    )  # type: ignore[arg-type]
    state = after(state, command)
    assert next_due_at(state) == OCTOBER.start  # the next tick bills it
    state, run_again = bill(state, tick(3, 11, 2))
    assert run_again is not None
    (again,) = run_again.periods
    assert (again.period, again.plan_version, again.rerates) == (OCTOBER, NEW.version, True)
    _, november = bill(state, tick(4, 12))
    assert november is not None
    assert [(each.period, each.plan_version) for each in november.periods] == [(NOVEMBER, OLD.version)]


def test_a_correction_of_what_was_never_billed_is_refused() -> None:
    state, _ = billed()
    command = Rerate(
        request_id="r", subscription="s", batch="b", plan="p", plan_version=NEW.version, span=NOVEMBER, **ASKED
    )  # type: ignore[arg-type]
    found = decide(state, command, tick(2, 11), CATALOGUE)
    assert found.refusal == "span: no billed period of s on p begins in it"
    assert found.state == state


def test_what_a_rejected_draft_billed_is_rated_anew_and_counts_as_not_issued() -> None:
    state, _ = billed()
    part = BilledPart(subscription="s", card="fee", period=OCTOBER)
    command = BillAgain(request_id="r", document_id="d", tick=2, parts=(part,), **ASKED)  # type: ignore[arg-type]
    _, run = bill(after(state, command), tick(3, 11, 2))
    assert run is not None
    assert [(due.period, due.rerates) for due in run.periods] == [(OCTOBER, True)]
    assert [(gone.tick, gone.card, gone.period) for gone in run.disregarded] == [(2, "fee", OCTOBER)]


def test_credit_that_a_note_gives_back_can_be_drawn_from_its_grant_again() -> None:
    state, _ = billed()
    granted = GrantCredit(request_id="g", amount=Decimal("50.00"), currency="EUR", funding="paid", priority=3, **ASKED)  # type: ignore[arg-type]
    state = after(state, granted)
    back = RestoreCredit(request_id="note", document_id="n", grant="g", amount=Decimal("4.80"), **ASKED)  # type: ignore[arg-type]
    state = after(state, back)
    (grant,) = state.grants
    assert (grant.id, grant.amount, grant.returned) == ("g", Decimal("50.00"), Decimal("4.80"))
    unknown = back.model_copy(update={"grant": "x"})
    assert "grant: acme has no x" in decide(state, unknown, tick(2, 11), CATALOGUE).refusal
