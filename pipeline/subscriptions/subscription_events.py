"""What is announced of subscriptions: every transition that a command makes, and those that time brings.

A trial ends, a pause begins, a scheduled change takes effect without a command: whoever moves time asks for the next
such moment, and announces every one that it passed, in order. Source: design.md §4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.customer_state import CustomerState
from schemas.identity import derived_id
from schemas.subscription import Charge, Subscription
from schemas.subscription_event import (
    Cause,
    RunningCharge,
    SubscriptionEvent,
    SubscriptionSnapshot,
    SubscriptionTransition,
)


@dataclass(frozen=True, slots=True)
class Transition:
    """A subscription as it stands from a moment on, and what that is called."""

    subscription: Subscription
    name: SubscriptionTransition
    at: datetime


def next_transition_at(state: CustomerState) -> datetime | None:
    """The earliest moment at which time alone changes a subscription; None if it never will.

    None as well for a state that was never announced: an earlier version made it.
    """
    if state.told_at is None:
        return None
    moments = [moment for held in state.subscriptions for moment in _moments(held) if moment > state.told_at]
    return min(moments, default=None)


def transitions(before: CustomerState, after: CustomerState, now: datetime) -> tuple[Transition, ...]:
    """What time changed since the state was announced last, in its order, and then what a command changed now."""
    found = [] if before.told_at is None else list(_passed(before, before.told_at, now))
    known = {held.id: held for held in before.subscriptions}
    for held in after.subscriptions:
        if (name := _between(known.get(held.id), held, now)) is not None:
            found.append(Transition(held, name, now))
    return tuple(found)


def announced(state: CustomerState, now: datetime) -> CustomerState:
    """The state, once everything up to a moment is announced. Time does not go back."""
    at = now if state.told_at is None else max(now, state.told_at)
    return state if state.told_at == at else state.model_copy(update={"told_at": at})


def subscription_event(customer: str, transition: Transition, cause: Cause, offset: int) -> SubscriptionEvent:
    """The CloudEvent of a transition that a record of billing.commands led to; its id follows from both."""
    held, revision = transition.subscription, offset + 1
    event_id = derived_id(
        "subscription event", customer, held.id, transition.name, transition.at.isoformat(), revision
    )  # fmt: skip
    return SubscriptionEvent.model_validate({
        "id": str(event_id), "type": f"tally.subscription.{transition.name}.v1", "subject": customer,
        "time": transition.at, "data": _snapshot(customer, transition, cause, revision),
    })  # fmt: skip


def _snapshot(customer: str, transition: Transition, cause: Cause, revision: int) -> SubscriptionSnapshot:
    held, at = transition.subscription, transition.at
    return SubscriptionSnapshot(
        id=held.id, customer=customer, status=held.status(at), plan=held.plan, plan_version=held.plan_version,
        currency=held.currency, time_zone=held.time_zone, interval=held.interval, anchor=held.anchor,
        starts_at=held.starts_at, ends_at=held.ends_at, trial_ends_at=held.trial_ends_at, pauses=held.pauses,
        contract=held.contract, add_ons=held.add_ons, separate=held.separate, subjects=held.subjects,
        charges=tuple(_running(charge) for charge in held.charges if _is_left(charge, at)),
        cause=cause, revision=revision,
    )  # fmt: skip


def _running(charge: Charge) -> RunningCharge:
    return RunningCharge(
        card=charge.card, number=charge.number, plan=charge.plan, plan_version=charge.plan_version, meter=charge.meter,
        starts_at=charge.starts_at, ends_at=charge.ends_at, one_time=charge.one_time, trial=charge.trial,
        quantity=charge.quantity, override=charge.override,
    )  # fmt: skip


def _passed(before: CustomerState, since: datetime, now: datetime) -> Iterator[Transition]:
    passed = {
        (moment, place)
        for place, held in enumerate(before.subscriptions)
        for moment in _moments(held)
        if since < moment <= now
    }
    told = dict.fromkeys(range(len(before.subscriptions)), since)
    for moment, place in sorted(passed):
        held = before.subscriptions[place]
        if (name := _named(_facts(held, told[place]), _facts(held, moment))) is not None:
            yield Transition(held, name, moment)
        told[place] = moment


def _between(before: Subscription | None, after: Subscription, now: datetime) -> SubscriptionTransition | None:
    if before is None:
        return "created"
    return None if before is after else _named(_facts(before, now), _facts(after, now))


def _named(before: tuple[object, ...], after: tuple[object, ...]) -> SubscriptionTransition | None:
    """What it is called that facts become others: the status that is entered, if it is another one."""
    if before == after:
        return None
    return "changed" if before[0] == after[0] else after[0]  # type: ignore[return-value]


def _facts(held: Subscription, at: datetime) -> tuple[object, ...]:
    """All that consumers are told of it: the status first. What was billed of it is the matter of documents."""
    charges = tuple(
        (each.card, each.number, each.plan, each.plan_version, each.starts_at, each.ends_at, each.quantity,
         each.override, each.trial)
        for each in held.charges if _is_left(each, at)
    )  # fmt: skip
    return (
        held.status(at), held.plan, held.plan_version, held.interval, held.anchor, held.starts_at, held.ends_at,
        held.trial_ends_at, held.pauses, held.contract, held.add_ons, held.separate, held.subjects, held.currency,
        held.time_zone, charges,
    )  # fmt: skip


def _is_left(charge: Charge, at: datetime) -> bool:
    return charge.ends_at is None or charge.ends_at > at


def _moments(held: Subscription) -> Iterator[datetime]:
    """When its status, or what runs of it, may become other by itself."""
    yield held.starts_at
    for end in (held.trial_ends_at, held.ends_at, *(charge.ends_at for charge in held.charges)):
        if end is not None:
            yield end
    for pause in held.pauses:
        yield pause.starts_at
        if pause.ends_at is not None:
            yield pause.ends_at
