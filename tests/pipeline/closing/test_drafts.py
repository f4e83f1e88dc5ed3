"""Drafts before the end of grace: at each full hour that a tick passes, what the run will bill; then its invoice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.closing.drafts import draft_id, draft_of, drafted, drafted_content, next_draft_at, replaced
from pipeline.closing.runs import bill, next_due_at
from pipeline.documents.invoicing import invoice_of
from schemas.customer_state import PeriodClosed
from schemas.draft import DraftStep
from schemas.invoice import Invoice
from schemas.period import utc
from tests.pipeline.billing import Billing, at, fee, plan, use

FEBRUARY = at("2027-02-01")


@dataclass
class Life:
    """A customer on a monthly plan with six hours of grace; what ticks do with its drafts."""

    grace: str = "6 h"
    cards: tuple[dict[str, Any], ...] = (fee("20.00"), use())
    steps: list[DraftStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.billing = Billing([plan("p", *self.cards, grace=self.grace)], calls=[("2027-01-10", 300)])
        self.billing.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z")

    def tick(self, moment: str) -> list[str]:
        """Moves time; the hours that are drafted, and what is replaced."""
        self.billing.tick(moment)
        state, steps = drafted(self.billing.state, self.billing.clock)
        self.billing.state = state
        self.steps += steps
        return ["replaced" if step.run is None else f"drafted for {step.due:%m-%d %H:%M}" for step in steps]

    def invoice(self, step: DraftStep) -> Invoice:
        """What the run of a step would bill."""
        run = step.run
        assert run is not None
        closed = PeriodClosed(
            close_id="c", customer="acme", revision=0, tick=run.tick, follows=run.follows, periods=run.periods,
            record=run.record, usage_rows=0, events=0, fingerprint="",
        )  # fmt: skip
        usage = self.billing._usage(run)
        (found,) = invoice_of(closed, usage, self.billing.catalogue, issued=self.billing.issued)
        return draft_of(found, step.key, "")


def test_each_full_hour_of_the_grace_that_a_tick_passes_is_drafted_once() -> None:
    life = Life()
    assert life.tick("2027-01-01 00:00") == []
    assert next_draft_at(life.billing.state) == FEBRUARY
    found = {
        moment: life.tick(f"2027-02-01 {moment}") for moment in ("00:00", "00:30", "01:00", "01:59", "04:10", "04:50")
    }
    assert found == {
        "00:00": ["drafted for 02-01 06:00"], "00:30": [], "01:00": ["drafted for 02-01 06:00"], "01:59": [],
        "04:10": ["drafted for 02-01 06:00"], "04:50": [],
    }  # fmt: skip
    assert next_draft_at(life.billing.state) == at("2027-02-01 05:00")


def test_before_the_end_of_a_period_and_without_grace_nothing_is_drafted() -> None:
    life = Life()
    assert [life.tick(f"2027-01-{day:02} 13:00") for day in (1, 20, 31)] == [[], [], []]
    strict = Life(grace="0 s")
    assert [strict.tick(f"2027-02-01 0{hour}:00") for hour in range(3)] == [[], [], []]
    assert strict.steps == []


def test_a_grace_without_a_full_hour_in_it_has_no_draft() -> None:
    life = Life(grace="30 min")
    life.billing.do("cancel", at="2027-01-20T10:20:00Z", when="now")
    assert [life.tick(f"2027-01-20 {moment}") for moment in ("10:20", "10:40", "11:00")] == [[], [], []]


def test_its_run_replaces_the_draft_and_the_next_period_has_another() -> None:
    life = Life()
    life.tick("2027-01-01 00:00")
    life.tick("2027-02-01 02:00")
    assert life.tick("2027-02-01 06:30") == ["replaced"]
    replacing = life.steps[-1]
    assert (replacing.billed_by, replacing.key) == (life.billing.number, at("2027-02-01 06:00"))
    assert life.billing.state.draft is None
    assert life.tick("2027-02-01 07:00") == []
    life.tick("2027-03-01 00:00")
    assert life.steps[-1].key == at("2027-03-01 06:00")


def test_a_draft_is_what_its_run_bills_in_the_end() -> None:
    life = Life()
    life.tick("2027-01-01 00:00")
    life.tick("2027-02-01 00:00")
    draft = life.invoice(life.steps[-1])
    assert [(line.rated.charge, f"{line.amount:f}") for line in draft.lines] == [("use", "30.00"), ("fee", "20.00")]
    assert (draft.status, draft.number, draft.id) == ("draft", None, draft_id("acme", "EUR", at("2027-02-01 06:00")))
    found = life.billing.tick("2027-02-01 06:00")
    assert found == [("use", "01-01/02-01", "30.00"), ("fee", "02-01/03-01", "20.00")]


def test_only_what_it_bills_makes_a_draft_another_one_not_the_tick_that_it_rests_on() -> None:
    life = Life()
    life.tick("2027-01-01 00:00")
    for hour in range(3):
        life.tick(f"2027-02-01 0{hour}:00")
        if hour == 1:
            life.billing.calls = [*life.billing.calls, ("2027-01-31 23:00", 5)]
    first, second, third = (life.invoice(step) for step in life.steps if step.run is not None)
    assert first.id == second.id == third.id
    assert first.sha256() != second.sha256()
    life.billing.calls = [("2027-01-10", 300)]
    first, second, _ = (life.invoice(step) for step in life.steps if step.run is not None)
    assert drafted_content(first) == drafted_content(second) != drafted_content(third)
    clock = life.billing.clock
    gone = replaced(third, clock, "d1")
    assert (gone.replaced_by, gone.revision, drafted_content(gone)) == ("d1", clock.number, drafted_content(third))


def test_a_change_within_the_grace_is_billed_at_once_and_leaves_the_draft_open() -> None:
    life = Life()
    life.tick("2027-01-01 00:00")
    life.tick("2027-02-01 01:00")
    life.billing.now = at("2027-02-01 02:10")
    life.billing.do("add_line", amount="5.00", name="help", alone=True, currency="EUR")
    assert life.tick("2027-02-01 02:20") == ["drafted for 02-01 06:00"]
    assert life.billing.state.draft is not None
    assert life.tick("2027-02-01 06:00") == ["replaced"]
    assert len({step.key for step in life.steps}) == 1


@pytest.mark.parametrize("grace", ["6 h", "30 h"])
@given(minutes=st.lists(st.integers(1, 300), min_size=1, max_size=30))
def test_drafts_never_change_what_is_billed_and_every_one_is_replaced(grace: str, minutes: list[int]) -> None:
    with_drafts, without = Life(grace=grace), Life(grace=grace)
    moment = at("2027-01-31 20:00")
    ticks = []
    for step in minutes:
        moment = utc(moment + (at("2027-01-01 00:01") - at("2027-01-01 00:00")) * step)
        ticks.append(f"{moment:%Y-%m-%d %H:%M}")
    for tick in [*ticks, "2027-02-20 00:00"]:
        with_drafts.tick(tick)
        without.billing.tick(tick)
    assert with_drafts.billing.issued == without.billing.issued
    assert with_drafts.billing.state.draft is None
    assert with_drafts.billing.state.model_copy(update={"draft": None}) == without.billing.state
    open_draft = False
    for step in with_drafts.steps:
        assert step.run is not None or open_draft, "what is replaced was drafted"
        open_draft = step.run is not None
    hours = [step.run.tick.time.replace(minute=0) for step in with_drafts.steps if step.run is not None]
    assert len(hours) == len(set(hours)), "at most hourly"


def test_what_is_due_does_not_wait_for_a_draft() -> None:
    life = Life()
    life.tick("2027-01-01 00:00")
    life.tick("2027-02-01 01:00")
    assert next_due_at(life.billing.state) == at("2027-02-01 06:00")
    _, run = bill(life.billing.state, life.billing.clock)
    assert run is None
