"""Every transition of a subscription is announced once, in order, whether a command made it or time did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.subscriptions.subscription_events import announced, next_transition_at, subscription_event, transitions
from schemas.identity import canonical_json
from schemas.subscription_event import Cause
from tests.pipeline.billing import Billing, at, fee, plan, use

TRIAL = plan("trial", fee("31.00"), use(), trial={"unit": "day", "count": 10})
SMALL = plan("small", fee("7.00"), use())
LARGE = plan("large", fee("59.00"), use("0.05"))
CAUSE = Cause(command="tick", tick=7)


def told(life: Billing) -> list[tuple[str, str]]:
    """(transition, moment) of everything that was announced."""
    return [(each.name, f"{each.at:%m-%d %H:%M}") for each in life.told]


def test_a_trial_becomes_active_is_upgraded_paused_resumed_and_canceled() -> None:
    life = Billing([TRIAL, LARGE])
    life.do("subscribe", plan="trial")
    life.tick("2027-01-05")
    assert next_transition_at(life.state) == at("2027-01-11")
    life.tick("2027-01-11 00:05")
    life.do("change", plan="large")
    life.tick("2027-01-12")
    life.do("pause", until="2027-01-14T12:00Z")
    life.tick("2027-01-15")
    life.do("mark_past_due")
    life.do("mark_paid")
    life.do("cancel", when="now")
    assert told(life) == [
        ("created", "01-01 00:00"),
        ("active", "01-11 00:00"),  # at the moment at which the trial ended, not when somebody looked
        ("changed", "01-11 00:05"),
        ("paused", "01-12 00:00"),
        ("active", "01-14 12:00"),
        ("past_due", "01-15 00:00"),
        ("active", "01-15 00:00"),
        ("canceled", "01-15 00:00"),
    ]
    assert next_transition_at(life.state) is None


def test_what_is_scheduled_is_announced_when_it_is_asked_for_and_again_when_it_takes_effect() -> None:
    life = Billing([SMALL, LARGE])
    life.do("subscribe", plan="small", starts_at="2027-01-03T00:00Z")
    life.tick("2027-01-04")
    life.do("change", plan="large", at="2027-01-20T00:00Z")
    life.do("cancel", at="2027-01-25T00:00Z")
    life.tick("2027-02-03")  # ticks were missed: each moment on its own all the same
    assert told(life) == [
        ("created", "01-01 00:00"),
        ("active", "01-03 00:00"),
        ("changed", "01-04 00:00"),
        ("changed", "01-04 00:00"),
        ("changed", "01-20 00:00"),
        ("canceled", "01-25 00:00"),
    ]
    events = [subscription_event("acme", each, CAUSE, offset) for offset, each in enumerate(life.told)]
    assert [event.data.status for event in events] == [
        "scheduled", "active", "active", "active", "active", "canceled"
    ]  # fmt: skip
    assert {charge.plan for charge in events[4].data.charges} == {"large"}
    assert events[5].data.charges == ()
    assert len({event.id for event in events}) == len(events)


def test_billing_and_refusals_announce_nothing() -> None:
    life = Billing([SMALL])
    life.do("subscribe", plan="small")
    life.told.clear()
    for month in ("02", "03", "04"):
        assert life.tick(f"2027-{month}-01")
    assert life.ask("resume")
    assert life.told == []


def test_an_event_says_the_same_bytes_whoever_makes_it() -> None:
    life = Billing([SMALL])
    life.do("subscribe", plan="small")
    (transition,) = life.told
    events = [subscription_event("acme", transition, CAUSE, 41) for _ in range(2)]
    assert canonical_json(events[0].model_dump(mode="json")) == canonical_json(events[1].model_dump(mode="json"))
    assert events[0].data.revision == 42
    assert (events[0].type, events[0].subject) == ("tally.subscription.created.v1", "acme")


def test_a_state_of_a_version_that_announced_nothing_announces_what_changes_from_now_on() -> None:
    life = Billing([SMALL, LARGE])
    life.do("subscribe", plan="small")
    before = life.state.model_copy(update={"told_at": None})
    assert next_transition_at(before) is None
    assert transitions(before, before, life.now) == ()
    assert announced(before, life.now).told_at == life.now


@given(days=st.lists(st.integers(1, 60), unique=True).map(sorted))
def test_when_ticks_come_is_no_matter_of_what_is_announced(days: list[int]) -> None:
    life = Billing([TRIAL])
    life.do("subscribe", plan="trial")
    life.do("cancel", at="2027-02-10T06:00Z")
    for day in days:
        life.tick(_day(day))
    life.tick("2027-03-15")
    assert told(life)[2:] == [("active", "01-11 00:00"), ("canceled", "02-10 06:00")]


def _day(number: int) -> str:
    month, day = divmod(number, 28)
    return f"2027-{1 + month:02}-{1 + day:02}"
