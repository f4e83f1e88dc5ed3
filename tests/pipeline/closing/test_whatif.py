"""Shadow billing compares what was billed with what a candidate would have billed, customer by customer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from pipeline.closing.whatif import compared, last_closed, moved, outliers, summed, with_candidate
from pipeline.documents.invoicing import invoice_of
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry, catalogue_of
from schemas.customer_state import BillingRun, DueCharge, DuePeriod, PeriodClosed
from schemas.invoice import Invoice
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tick import Tick, Vector

D = Decimal
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
CALLS = MeterEntry.of(Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count"}))
TICK = Tick(number=7, time=OCTOBER.end, clock="test", vector=Vector())


def plan(name: str, unit_price: str, fee: str = "0") -> PlanEntry:
    """A fee and a price per call."""
    cards: list[dict[str, Any]] = [
        {"id": "fee", "price": {"model": "flat", "amount": fee}},
        {"id": "calls", "meter": "calls", "price": {"model": "per_unit", "unit_price": unit_price}},
    ]
    content = Plan.model_validate({"id": name, "currency": "EUR", "rate_cards": cards})
    return PlanEntry.of(content, {"calls": CALLS.version})


OLD, NEW = plan("small", "0.10", "5"), plan("small", "0.08", "6")


def run(customer: str, entry: PlanEntry = OLD) -> BillingRun:
    """October of one customer."""
    due = DuePeriod(subscription="s", plan=entry.name, plan_version=entry.version, currency="EUR", time_zone="UTC",
                    period=OCTOBER, service=OCTOBER)  # fmt: skip
    return BillingRun(customer=customer, tick=TICK, periods=(due,))


def document(billed: BillingRun, calls: int, catalogue: Catalogue) -> Invoice:
    """Its invoice for so many calls."""
    closed = PeriodClosed(close_id="0", customer=billed.customer, revision=0, tick=TICK, periods=billed.periods,
                          usage_rows=1, events=calls, fingerprint="0-0")  # fmt: skip
    (found,) = invoice_of(closed, {("s", "calls", OCTOBER): [Usage((), D(calls), calls)]}, catalogue)
    return found


CATALOGUE = catalogue_of([CALLS, OLD, NEW])


def test_a_candidate_takes_the_place_of_a_plan_and_leaves_others_alone() -> None:
    (due,) = moved(run("acme"), NEW, CATALOGUE).periods
    assert (due.plan, due.plan_version) == ("small", NEW.version)
    assert last_closed([run("acme")], frozenset({"large"})) == ()


def test_of_a_period_that_was_closed_twice_the_last_close_counts_in_full() -> None:
    first, other = run("acme"), run("bolt")
    again = first.model_copy(update={
        "revision": 1, "periods": (first.periods[0].model_copy(update={"rerates": True}),)
    })  # fmt: skip
    found = last_closed([first, other, again], frozenset({"small"}))
    assert [(one.customer, one.revision) for one in found] == [("bolt", 0), ("acme", 1)]
    assert not found[1].periods[0].rerates


def test_charges_that_the_candidate_has_stay_and_its_new_cards_join_those_of_their_timing() -> None:
    extra = plan("small", "0.08")
    card = extra.plan.rate_cards[1].model_copy(update={"id": "extra"})
    wider = PlanEntry.of(extra.plan.model_copy(update={"rate_cards": (*extra.plan.rate_cards, card)}), extra.meters)
    started = run("acme")
    due = started.periods[0].model_copy(update={"charges": (DueCharge(card="calls", number=2), DueCharge(card="gone"))})
    (found,) = moved(started.model_copy(update={"periods": (due,)}), wider, CATALOGUE).periods
    assert found.charges == (DueCharge(card="calls", number=2), DueCharge(card="extra"))


def test_a_candidate_is_known_beside_what_was_applied_and_becomes_the_newest_of_nothing() -> None:
    catalogue = with_candidate(catalogue_of([CALLS, OLD]), NEW, [CALLS])
    assert catalogue.plan("small", OLD.version) == OLD
    assert catalogue.plan("small", NEW.version) == NEW
    assert catalogue.newest_plans == {"small": OLD.version}


def test_differences_are_told_per_customer_in_all_and_by_who_is_far_off() -> None:
    catalogue = with_candidate(catalogue_of([CALLS, OLD]), NEW, [CALLS])
    calls = {"acme": 100, "bolt": 10, "calm": 50}
    before = [document(run(customer), count, catalogue) for customer, count in calls.items()]
    after = [document(run(customer, NEW), count, catalogue) for customer, count in calls.items()]
    found = compared(before, after)
    # 5 + 0.10 n against 6 + 0.08 n: the same at 50 calls
    assert [(one.customer, one.before, one.after, one.difference) for one in found] == [
        ("acme", D("15.00"), D("14.00"), D("-1.00")),
        ("bolt", D("6.00"), D("6.80"), D("0.80")),
        ("calm", D("10.00"), D("10.00"), D("0.00")),
    ]
    (whole,) = summed(found)
    assert (whole.before, whole.after, whole.documents) == (D("31.00"), D("30.80"), 3)
    assert [one.customer for one in outliers(found, percent=D(10))] == ["bolt"]
    assert outliers(found, percent=D(20)) == ()


@pytest.mark.parametrize(("before", "odd"), [("0.00", True), ("1.00", False)])
def test_who_was_billed_nothing_is_an_outlier(before: str, odd: bool) -> None:
    catalogue = catalogue_of([CALLS, OLD])
    (one,) = compared([document(run("acme"), 0, catalogue)], [])
    found = outliers([replace(one, before=D(before), after=D("1.01"))], percent=D(20))
    assert bool(found) is odd
