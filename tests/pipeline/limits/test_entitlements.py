"""Entitlements and alert rules: what a catalogue may declare, and which usage they look at."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.catalogue.loading import load_catalogue
from pipeline.intake.scope import may_see
from pipeline.limits.entitlements import asked_of, entitlement_of, quantity_of, running, spend, window_of
from pipeline.rating.charge_lines import Usage
from pipeline.subscriptions.fold import decide
from schemas.catalogue_entry import AlertEntry, Catalogue, MeterEntry, PlanEntry, catalogue_of
from schemas.command import COMMAND_RECORD
from schemas.customer_state import CustomerState
from schemas.period import Period
from schemas.tick import Tick, Vector
from schemas.token import EVERYTHING, Scope
from tests.builders import moment

METERED = """
[[meters]]
id = "tokens"
event_type = "call"
aggregation = "sum"
value = "tokens"
"""
PLAN = """
[[plans]]
id = "p"
currency = "EUR"
anchor = "calendar"
[[plans.rate_cards]]
id = "tokens"
meter = "tokens"
price = { model = "graduated", tiers = [{ up_to = "100", unit_price = "0" }, { unit_price = "0.5" }] }
"""


def faults(text: str) -> list[str]:
    return [f"{fault.path}: {fault.problem}" for fault in load_catalogue({"f.toml": METERED + PLAN + text}).faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[plans.entitlements]]\nmeter = "tokens"\nincluded = "1"', ""),
        ('[[plans.entitlements]]\nmeter = "tokens"\nbudget = "1"\nlimit = "hard"', ""),
        ('[[plans.entitlements]]\nmeter = "tokens"', "either included or budget"),
        ('[[plans.entitlements]]\nmeter = "tokens"\nincluded = "1"\nbudget = "1"', "either included or budget"),
        ('[[plans.entitlements]]\nmeter = "tokens"\nbudget = "1"\nper = "day"', 'must be "period"'),
        ('[[plans.entitlements]]\nmeter = "calls"\nincluded = "1"', "no rate card of the plan prices this meter"),
        ('[[plans.entitlements]]\nmeter = "tokens"\nincluded = "1"\n' * 2, "must differ"),
        ('[[alerts]]\nid = "a"\non = "usage"\nmeter = "tokens"\nthresholds = ["1", "2"]', ""),
        ('[[alerts]]\nid = "a"\non = "usage"\nmeter = "tokens"', "give thresholds or percents"),
        ('[[alerts]]\nid = "a"\non = "usage"\nthresholds = ["1"]', "usage is that of a meter"),
        ('[[alerts]]\nid = "a"\non = "usage"\nmeter = "tokns"\nthresholds = ["1"]', "no meter 'tokns'"),
        ('[[alerts]]\nid = "a"\non = "spend"\npercents = ["80"]', "have an entitlement"),
        ('[[alerts]]\nid = "a"\non = "spend"\nthresholds = ["2", "1"]', "must ascend"),
        ('[[alerts]]\nid = "a"\non = "silence"\nquiet = "30 min"', ""),
        ('[[alerts]]\nid = "a"\non = "silence"\nthresholds = ["1"]', "silence has none"),
        ('[[alerts]]\nid = "a"\non = "anomaly"\nmeter = "tokens"\nplans = ["q"]', "no plan 'q'"),
    ],
)
def test_a_catalogue_says_what_is_included_and_what_is_watched(text: str, fault: str) -> None:
    found = faults(text)
    assert bool(found) == bool(fault), found
    assert all(fault in each for each in found), found


def test_a_plan_without_entitlements_has_the_version_that_it_had_before_there_were_any() -> None:
    plan = load_catalogue({"f.toml": METERED + PLAN}).plans[0]
    assert PlanEntry.of(plan, {"tokens": "v"}).version == "28ac70735314"


def subscribed(catalogue: Catalogue, plan: PlanEntry) -> CustomerState:
    asked = {
        "command": "subscribe", "request_id": "r", "actor": "a", "reason": "", "customer": "acme", "subscription": "s",
        "plan": plan.name, "plan_version": plan.version, "starts_at": "2026-10-03T10:00:00Z",
    }  # fmt: skip
    tick = Tick(number=1, time=moment("2026-10-01 00:00"), clock="test", vector=Vector())
    decision = decide(CustomerState(customer="acme"), COMMAND_RECORD.validate_python(asked), tick, catalogue)  # type: ignore[arg-type]
    assert not decision.refusal
    return decision.state


def applied(text: str) -> tuple[Catalogue, PlanEntry]:
    """A catalogue with one meter and one plan, and the plan."""
    loaded = load_catalogue({"f.toml": text})
    meter = MeterEntry.of(loaded.meters[0])
    plan = PlanEntry.of(loaded.plans[0], {"tokens": meter.version})
    return catalogue_of([meter, plan]), plan


def test_a_running_charge_is_asked_about_as_its_close_will_be() -> None:
    catalogue, plan = applied(METERED + PLAN + '[[plans.entitlements]]\nmeter = "tokens"\nincluded = "9"')
    state = subscribed(catalogue, plan)
    (found,) = running(state, catalogue, moment("2026-10-20 00:00"))
    october = Period(moment("2026-10-03 10:00"), moment("2026-11-01 00:00"))
    assert asked_of(found).frame.span == quantity_of(found).frame.span == october
    entitlement = entitlement_of(found)
    assert entitlement is not None
    assert window_of(found, entitlement, moment("2026-10-20 00:00")) == october
    daily = entitlement.model_copy(update={"per": "day"})
    assert window_of(found, daily, moment("2026-10-03 12:00")) == Period(october.start, moment("2026-10-04 00:00"))
    assert spend(found, [Usage((), Decimal(130), 1)]) == 15
    assert list(running(state, catalogue, moment("2026-10-03 09:59"))) == []


def test_whoever_may_send_for_a_customer_by_name_may_see_it_and_nobody_else() -> None:
    acme = Scope(customers=("acme",), sources=("/a",))
    assert may_see(EVERYTHING, "acme")
    assert may_see(acme, "acme")
    assert not may_see(acme, "acme-2")
    assert not may_see(Scope(subjects=("acme",), sources=("*",)), "acme")


def test_of_an_alert_rule_the_newest_version_watches_until_it_is_retired() -> None:
    text = METERED + PLAN + '[[alerts]]\nid = "a"\non = "silence"\n'
    (first,) = load_catalogue({"f.toml": text}).alerts
    (retired,) = load_catalogue({"f.toml": text + "retired = true"}).alerts
    assert catalogue_of([AlertEntry.of(first)]).alert_rules == (first,)
    assert catalogue_of([AlertEntry.of(first), AlertEntry.of(retired)]).alert_rules == ()
