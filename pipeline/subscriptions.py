"""Billing state per customer: a pure fold of commands, in log order; ticks bill it (`pipeline.runs`).

A command is decided under the last tick before it in its partition. What cannot be is refused with a reason, and then
changes nothing. Source: design.md §7, rating.md §4 and §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.charges import changed
from pipeline.periods import Grid
from pipeline.plan_charges import Start, anchor_of, charges_of
from schemas.catalogue_entry import PlanEntry
from schemas.command import Cancel, Subscribe
from schemas.customer_state import CustomerState
from schemas.subscription import Charge, Subscription
from schemas.tick import Tick


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command did: the state after it, and why it was refused (empty if accepted, then the state is new)."""

    state: CustomerState
    refusal: str = ""


def decide(state: CustomerState, command: Subscribe | Cancel, clock: Tick | None, plan: PlanEntry | None) -> Decision:
    """Applies a command or refuses it with a reason; a refused command changes nothing.

    `plan` is the version that a Subscribe names, as of the clock's vector; None if it was not there by then.
    """
    if clock is None:
        return Decision(state, "billing time has not begun: no tick before this command")
    if isinstance(command, Subscribe):
        return _subscribe(state, command, clock, plan)
    return _cancel(state, command, clock)


def _subscribe(state: CustomerState, command: Subscribe, clock: Tick, plan: PlanEntry | None) -> Decision:
    starts_at = command.starts_at or clock.time
    if plan is None:
        version = f"{command.plan}@{command.plan_version}"
        return Decision(state, f"plan: no version {version} in the catalogue as of tick {clock.number}")
    if any(held.id == command.subscription for held in state.subscriptions):
        return Decision(state, f"subscription: {command.subscription} exists already")
    running = [held.id for held in state.subscriptions if held.ends_at is None or held.ends_at > starts_at]
    if running:
        return Decision(state, f"customer: {state.customer} is on {running[0]} at that time; cancel it first")
    if starts_at > clock.time:
        return Decision(state, f"starts_at: {starts_at.isoformat()} is after billing time {clock.time.isoformat()}")
    currency = command.currency or plan.plan.currency
    if currency not in plan.plan.currencies:
        offered = ", ".join(plan.plan.currencies)
        return Decision(state, f"currency: plan {plan.name} is not offered in {currency}; it is in {offered}")
    try:
        charges = charges_of(plan, Start(starts_at, command.time_zone))
    except ValueError as fault:
        return Decision(state, f"time_zone: {fault}")
    subscription = Subscription(
        id=command.subscription,
        plan=plan.name,
        plan_version=plan.version,
        currency=currency,
        time_zone=command.time_zone,
        interval=plan.plan.interval,
        anchor=anchor_of(plan, Start(starts_at, command.time_zone), plan.plan.interval),
        starts_at=starts_at,
        charges=charges,
    )
    return Decision(state.model_copy(update={"subscriptions": (*state.subscriptions, subscription)}))


def _cancel(state: CustomerState, command: Cancel, clock: Tick) -> Decision:
    for index, held in enumerate(state.subscriptions):
        if held.id != command.subscription:
            continue
        if held.ends_at is not None:
            return Decision(state, f"subscription: {held.id} ends at {held.ends_at.isoformat()} already")
        ends_at = grid_of(held).period_of(max(clock.time, held.starts_at)).end
        charges = tuple(_ended(charge, held, ends_at) for charge in held.charges)
        ended = held.model_copy(update={"ends_at": ends_at, "charges": charges})
        rest = (*state.subscriptions[:index], ended, *state.subscriptions[index + 1 :])
        return Decision(state.model_copy(update={"subscriptions": rest}))
    return Decision(state, f"subscription: {state.customer} has no {command.subscription}")


def _ended(charge: Charge, held: Subscription, ends_at: datetime) -> Charge:
    end = max(charge.starts_at, ends_at if charge.ends_at is None else min(charge.ends_at, ends_at))
    after = charge.model_copy(update={"ends_at": end})
    return changed(charge, after, held.pauses, held.pauses, held.time_zone)


def grid_of(subscription: Subscription) -> Grid:
    """The grid of the subscription's plan."""
    return Grid(subscription.anchor, subscription.interval, subscription.time_zone)
