"""What a command does in each state of a subscription: the transition table, refusals, and that they change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.subscription import Status
from tests.pipeline.billing import Billing, at, fee, plan, use

TRIAL = plan("trial", fee("31.00"), use(), trial={"unit": "day", "count": 10})
PLAIN = plan("plain", fee("31.00"), use())
OTHER = plan("other", fee("62.00"), use())
YEN = plan("yen", fee("900"), currency="JPY")


def life_in(status: str) -> Billing:
    """`acme` with a subscription `s` in a state, at noon of 6 January 2027."""
    life = Billing([TRIAL, PLAIN, OTHER, YEN])
    if status != "none":
        starts = "2027-03-01T00:00Z" if status == "scheduled" else "2027-01-01T00:00Z"
        life.do("subscribe", plan="trial" if status == "trialing" else "plain", starts_at=starts)
    life.tick("2027-01-05")
    if status == "paused":
        life.do("pause")
    if status == "past_due":
        life.do("mark_past_due")
    if status == "ending":
        life.do("cancel")
    if status == "canceled":
        life.do("cancel", when="now")
    life.tick("2027-01-06 12:00")
    return life


ASKED: dict[str, dict[str, Any]] = {
    "subscribe": {"plan": "plain", "subscription": "s2", "subjects": ["x"]},
    "change": {"plan": "other"},
    "change_quantity": {"card": "fee", "quantity": "2"},
    "set_override": {"card": "use", "override": {"waived": "all"}, "effective_from": "2027-01-02T00:00Z"},
    "set_anchor": {"anchor": "2027-01-15"},
    "cancel": {"when": "now"},
    "cancel at period end": {"when": "period_end"},
    "reactivate": {},
    "pause": {},
    "resume": {},
    "extend_trial": {"trial_ends_at": "2027-01-31T00:00Z"},
    "mark_past_due": {},
    "mark_paid": {},
}
KEPT = "kept"
"""Accepted, and the status stays."""
TABLE: dict[str, dict[str, Status | str]] = {
    # command: {state before: state after, or part of the refusal}
    "subscribe": {"none": "-", "scheduled": KEPT, "trialing": KEPT, "active": KEPT, "past_due": KEPT, "paused": KEPT,
                  "ending": KEPT, "canceled": KEPT},
    "change": {"none": "no subscription", "scheduled": KEPT, "trialing": KEPT, "active": KEPT, "past_due": KEPT,
               "paused": KEPT, "ending": KEPT, "canceled": "ended"},
    "change_quantity": {"none": "no subscription", "scheduled": KEPT, "trialing": "does not run", "active": KEPT,
                        "past_due": KEPT, "paused": KEPT, "ending": KEPT, "canceled": "ended"},
    "set_override": {"none": "no subscription", "scheduled": "does not run", "trialing": KEPT, "active": KEPT,
                     "past_due": KEPT, "paused": KEPT, "ending": KEPT, "canceled": KEPT},
    "set_anchor": {"none": "no subscription", "scheduled": KEPT, "trialing": KEPT, "active": KEPT, "past_due": KEPT,
                   "paused": KEPT, "ending": KEPT, "canceled": "ended"},
    "cancel": {"none": "no subscription", "scheduled": "canceled", "trialing": "canceled", "active": "canceled",
               "past_due": "canceled", "paused": "canceled", "ending": "canceled", "canceled": "already"},
    "cancel at period end": {"none": "no subscription", "scheduled": KEPT, "trialing": KEPT, "active": KEPT,
                             "past_due": KEPT, "paused": KEPT, "ending": "already", "canceled": "already"},
    "reactivate": {"none": "no subscription", "scheduled": "not cancelled", "trialing": "not cancelled",
                   "active": "not cancelled", "past_due": "not cancelled", "paused": "not cancelled",
                   "ending": KEPT, "canceled": "ended"},
    "pause": {"none": "no subscription", "scheduled": "is scheduled", "trialing": "is trialing", "active": "paused",
              "past_due": "paused", "paused": "is paused", "ending": "paused", "canceled": "ended"},
    "resume": {"none": "no subscription", "scheduled": "not paused", "trialing": "not paused", "active": "not paused",
               "past_due": "not paused", "paused": "active", "ending": "not paused", "canceled": "ended"},
    "extend_trial": {"none": "no subscription", "scheduled": "not on trial", "trialing": KEPT,
                     "active": "not on trial", "past_due": "not on trial", "paused": "not on trial",
                     "ending": "not on trial", "canceled": "ended"},
    "mark_past_due": {"none": "no subscription", "scheduled": KEPT, "trialing": "past_due", "active": "past_due",
                      "past_due": "already", "paused": KEPT, "ending": "past_due", "canceled": "ended"},
    "mark_paid": {"none": "no subscription", "scheduled": "not past due", "trialing": "not past due",
                  "active": "not past due", "past_due": "active", "paused": "not past due", "ending": "not past due",
                  "canceled": "not past due"},
}  # fmt: skip
METERED = {"model": "per_unit", "unit_price": "1"}
STATUSES = ("scheduled", "trialing", "active", "past_due", "paused", "canceled")


@pytest.mark.parametrize(
    ("command", "before", "after"), [(command, *row) for command, rows in TABLE.items() for row in rows.items()]
)
def test_the_transition_table(command: str, before: str, after: str) -> None:
    life = life_in(before)
    status = life.subscription.status(life.now) if life.state.subscriptions else None
    refusal = life.ask(command.split()[0], **ASKED[command])
    if after == KEPT or after == "-":
        assert refusal == ""
        if status is not None:
            assert life.subscription.status(life.now) == status
    elif after in STATUSES:
        assert (refusal, life.subscription.status(life.now)) == ("", after)
    else:
        assert after in refusal


def test_a_status_follows_from_time() -> None:
    life = Billing([TRIAL])
    life.do("subscribe", plan="trial", starts_at="2027-01-02T00:00Z")
    life.do("cancel", at="2027-02-01T00:00Z")
    held = life.subscription
    assert [held.status(at(moment)) for moment in ("2027-01-01", "2027-01-02", "2027-01-12", "2027-02-01")] == [
        "scheduled", "trialing", "active", "canceled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "fields", "said"),
    [
        ("subscribe", {"plan": "plain", "subscription": "s"}, "exists already"),
        ("subscribe", {"plan": "plain", "plan_version": "nine", "subscription": "t"}, "no version plain@nine"),
        ("subscribe", {"plan": "plain", "subscription": "t"}, "name those of this one"),
        ("subscribe", {"plan": "yen", "subscription": "t", "time_zone": "Mars/Olympus"}, "unknown zone"),
        ("subscribe", {"plan": "yen", "subscription": "t", "currency": "USD"}, "not offered in USD"),
        ("subscribe", {"plan": "yen", "subscription": "t", "starts_at": "1999-01-01T00:00Z"}, "more than 400 days"),
        ("subscribe", {"plan": "yen", "subscription": "t", "starts_at": "2099-01-01T00:00Z"}, "more than ten years"),
        ("subscribe", {"plan": "yen", "subscription": "t", "trial_ends_at": "2027-01-01T00:00Z"}, "before the start"),
        ("subscribe", {"plan": "yen", "subscription": "t", "quantities": {"seats": "2"}}, "no such rate card"),
        ("subscribe", {"plan": "plain", "subscription": "t", "quantities": {"use": "2"}}, "is no fee"),
        ("subscribe", {"plan": "yen", "subscription": "t", "add_ons": ["gold"]}, "has no gold; it has none"),
        ("change", {"plan": "plain"}, "is on plain@"),
        ("change", {"plan": "yen"}, "not offered in EUR"),
        ("change", {"plan": "other", "at": "2026-12-01T00:00Z"}, "before the start"),
        ("change", {"plan": "other", "subscription": "t"}, "acme has no t; it has s"),
        ("change", {"plan": "other", "reason": " "}, "must say why"),
        ("change_quantity", {"card": "fee", "quantity": "1"}, "has 1 then already"),
        ("change_quantity", {"card": "use", "quantity": "1"}, "no recurring fee"),
        ("change_quantity", {"card": "seats", "quantity": "1"}, "has no seats; it has fee, use"),
        ("set_override", {"card": "fee", "override": {"price": METERED}}, "needs a meter"),
        ("set_override", {"card": "use", "override": {}}, "must have a price"),
        ("set_override", {"card": "use", "override": None}, "has it then already"),
        ("cancel", {"at": "2025-01-01T00:00Z"}, "more than 400 days"),
        ("pause", {"until": "2027-01-01T00:00Z"}, "is not after billing time"),
        ("add_line", {"name": "x", "amount": "0"}, "other than 0"),
        ("add_line", {"name": "x", "amount": "0.001"}, "a rounded amount of EUR"),
        ("add_line", {"name": "x", "amount": "1", "currency": "USD"}, "not billed in USD"),
        ("add_line", {"name": "x", "amount": "1", "tax_rates": ["vat"]}, "vat is not among"),
        ("add_line", {"name": "x", "amount": "1", "reason": ""}, "must say why"),
        ("grant_credit", {"amount": "5", "expires_at": "2026-01-01T00:00Z"}, "must be after effective_at"),
        ("set_customer", {}, "names no field"),
        ("set_customer", {"time_zone": "Mars/Olympus"}, "unknown zone"),
        ("set_customer", {"country": "Germany"}, "country"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_reason_and_changes_nothing(
    command: str, fields: dict[str, Any], said: str
) -> None:
    life = life_in("active")
    before = life.state
    assert said in life.ask(command, **fields)
    assert life.state == before


def test_several_subscriptions_bill_disjoint_subjects() -> None:
    life = Billing([PLAIN, OTHER])
    life.do("subscribe", plan="plain", subscription="rest")
    life.do("subscribe", plan="other", subscription="named", subjects=["acme/a", "acme/b"])
    assert "bills calls of acme/b already" in life.ask(
        "subscribe", plan="other", subscription="third", subjects=["acme/b"], request_id="third"
    )
    life.tick("2027-02-01")
    dues = {due.subscription: (due.subjects, due.other_subjects) for due in life.runs[-1].periods}
    assert dues == {"rest": (None, ("acme/a", "acme/b")), "named": (("acme/a", "acme/b"), ())}


def test_the_record_of_a_customer_is_set_field_by_field_and_frozen_in_each_run() -> None:
    life = Billing([PLAIN])
    life.do("set_customer", name="Acme GmbH", country="DE", tax_ids=["DE123456789"], time_zone="Asia/Kolkata")
    life.do("subscribe", plan="plain")
    assert life.subscription.time_zone == "Asia/Kolkata"
    life.tick("2027-01-01")
    life.do("set_customer", name="Acme SE")
    life.tick("2027-02-01")
    assert [(run.record.name, run.record.country) for run in life.runs] == [("Acme GmbH", "DE"), ("Acme SE", "DE")]


def test_what_a_cancellation_cut_off_comes_back_with_its_reactivation() -> None:
    life = life_in("active")
    life.do("cancel", at="2027-01-15T00:00Z")
    assert life.tick("2027-01-07") == [("fee", "01-15/02-01", "-17.00")]
    life.do("reactivate")
    assert life.tick("2027-01-08") == [("fee", "01-01/02-01", "17.00")]
    assert life.tick("2027-02-01") == [("fee", "02-01/03-01", "31.00")]
