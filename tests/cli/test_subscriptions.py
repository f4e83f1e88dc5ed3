"""What people may say for a plan and its version, and what helps when a command is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from agents.cli.clock import Kind, clock_document, refuse_by_hand
from agents.cli.customers import well_formed
from agents.cli.failures import NotFound, Refused
from agents.cli.subscriptions import plan_version, refusal_text
from pipeline.subscriptions.fold import decide
from schemas.catalogue_entry import Catalogue, PlanEntry, catalogue_of
from schemas.command import CommandOutcome, Subscribe
from schemas.customer_state import CustomerState
from schemas.plan import Plan
from schemas.tick import Clock, Tick, Vector

MIDNIGHT = datetime(2026, 10, 1, tzinfo=UTC)


def entry(version: str, name: str = "team") -> PlanEntry:
    card = {"id": "fee", "price": {"model": "flat", "amount": "1"}}
    plan = Plan.model_validate({"id": name, "currency": "EUR", "rate_cards": [card]})
    return PlanEntry(name=name, version=version, plan=plan, meters={})


CATALOGUE = catalogue_of([entry("ab12"), entry("ab34"), entry("cd56", "scale"), entry("ef78")])


@pytest.mark.parametrize(
    ("plan", "version", "chosen"),
    [
        ("team", "", "ef78"),
        ("team", "ab12", "ab12"),
        ("team", "e", "ef78"),
        ("team@ab3", "", "ab34"),
        ("scale", "", "cd56"),
    ],
)
def test_the_newest_version_unless_another_is_named_by_how_it_begins(plan: str, version: str, chosen: str) -> None:
    assert plan_version(CATALOGUE, plan, version) == (plan.partition("@")[0], chosen)


@pytest.mark.parametrize(
    ("plan", "version", "said"),
    [
        ("teem", "", "no plan 'teem'; did you mean 'team'"),
        ("gold", "", "no plan 'gold'; there are scale, team"),
        ("team", "ff", "plan team has no version 'ff'; there are ab12, ab34, ef78"),
    ],
)
def test_what_is_not_in_the_catalogue_is_not_found(plan: str, version: str, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        plan_version(CATALOGUE, plan, version)


def test_an_empty_catalogue_says_how_to_fill_it() -> None:
    with pytest.raises(NotFound, match="none yet: tally catalogue apply"):
        plan_version(Catalogue(), "team", "")


def test_a_beginning_of_several_versions_asks_for_more_of_it() -> None:
    with pytest.raises(typer.BadParameter, match="'ab' begins ab12, ab34"):
        plan_version(CATALOGUE, "team", "ab")


def tick(clock: Clock = "test") -> Tick:
    return Tick(number=4, time=MIDNIGHT, clock=clock, vector=Vector())


def refused(clock: Tick | None, plan: PlanEntry | None, starts_at: datetime | None = None) -> str:
    """The text of a refusal, from the very reason that the fold gives."""
    command = Subscribe(
        request_id="r1", actor="ann", reason="", customer="acme", subscription="s", plan="team", plan_version="ab12",
        starts_at=starts_at,
    )  # fmt: skip
    reason = decide(CustomerState(customer="acme"), command, clock, catalogue_of([plan] if plan else [])).refusal
    assert reason
    outcome = CommandOutcome(
        request_id="r1", customer="acme", command="subscribe", actor="ann", reason="", accepted=False, detail=reason,
        tick=clock.number if clock else 0, partition=0, offset=0,
    )  # fmt: skip
    return refusal_text(outcome)


def test_a_refusal_names_its_request_its_tick_and_what_helps() -> None:
    before = refused(None, entry("ab12"))
    assert "(request id r1, before the first tick)" in before
    assert "tally tick --start" in before
    unseen = refused(tick(), None)
    assert "(request id r1, under tick 4)" in unseen
    assert "a version counts from the tick after it was applied" in unseen
    assert "400 days before billing time" in refused(tick(), entry("ab12"), datetime(2020, 10, 2, tzinfo=UTC))


@pytest.mark.parametrize("clock", ["test", "wall"])
@pytest.mark.parametrize("start", list(Kind))
def test_billing_time_begins_once_for_ever(clock: Clock, start: Kind) -> None:
    refuse_by_hand(None, start)
    with pytest.raises(Refused, match=f"the clock is {clock}, for ever; tick 4 is at 2026-10-01 00:00 UTC"):
        refuse_by_hand(tick(clock), start)


def test_a_tick_by_hand_needs_a_test_clock_that_has_begun() -> None:
    refuse_by_hand(tick("test"), None)
    with pytest.raises(Refused, match="the workers make its ticks"):
        refuse_by_hand(tick("wall"), None)
    with pytest.raises(Refused, match="has not begun"):
        refuse_by_hand(None, None)


def test_the_clock_for_programs_has_the_same_fields_before_the_first_tick() -> None:
    begun, before = clock_document(tick(), {0: 4}), clock_document(None, {0: 0})
    assert begun.keys() == before.keys()
    assert (begun["number"], begun["time"], begun["followed_by"]) == (4, "2026-10-01T00:00:00Z", {0: 4})
    assert (before["number"], before["clock"]) == (None, None)


@pytest.mark.parametrize(
    ("field", "given", "said"),
    [
        ("country", "Germany", "must be two capital letters such as DE, not 'Germany'"),
        ("currency", "€", "must be a code such as EUR, not '€'"),
        ("language", "German", "must be such as de or pt-BR, not 'German'"),
    ],
)
def test_what_no_customers_record_can_hold_is_refused_with_what_would_be_right(
    field: str, given: str, said: str
) -> None:
    with pytest.raises(typer.BadParameter, match=said) as fault:
        well_formed({"country": None, "currency": None, "language": None, field: given})
    assert fault.value.param_hint == f"--{field}"
