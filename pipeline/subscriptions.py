"""Billing state per customer: a pure fold of commands and ticks, in log order.

A command is decided under the last tick before it in its partition; a tick makes due what has ended and outlived its
grace. Source: design.md §7, rating.md §4 and §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.periods import Grid
from schemas.catalogue_entry import PlanEntry
from schemas.command import Cancel, Subscribe
from schemas.customer_state import BillingRun, CustomerState, DuePeriod, Subscription
from schemas.period import Period
from schemas.tick import Tick

MAX_PERIODS_PER_RUN = 1000


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
        grid = Grid.of_plan(plan.plan, starts_at=starts_at, time_zone=command.time_zone)
    except ValueError as fault:
        return Decision(state, f"time_zone: {fault}")
    subscription = Subscription(
        id=command.subscription,
        plan=plan.name,
        plan_version=plan.version,
        currency=currency,
        time_zone=command.time_zone,
        interval=plan.plan.interval,
        grace=plan.plan.grace,
        anchor=grid.anchor,
        starts_at=starts_at,
        billed_through=starts_at,
    )
    return Decision(state.model_copy(update={"subscriptions": (*state.subscriptions, subscription)}))


def _cancel(state: CustomerState, command: Cancel, clock: Tick) -> Decision:
    for index, held in enumerate(state.subscriptions):
        if held.id != command.subscription:
            continue
        if held.ends_at is not None:
            return Decision(state, f"subscription: {held.id} ends at {held.ends_at.isoformat()} already")
        ended = held.model_copy(update={"ends_at": _grid(held).period_of(max(clock.time, held.starts_at)).end})
        rest = (*state.subscriptions[:index], ended, *state.subscriptions[index + 1 :])
        return Decision(state.model_copy(update={"subscriptions": rest}))
    return Decision(state, f"subscription: {state.customer} has no {command.subscription}")


def next_due_at(state: CustomerState) -> datetime | None:
    """The earliest time of a tick that makes something due; None if nothing ever will."""
    moments = [_due_at(due, held) for held in state.subscriptions if (due := _next_period(held)) is not None]
    return min(moments, default=None)


def bill(state: CustomerState, tick: Tick) -> tuple[CustomerState, BillingRun | None]:
    """What a tick makes due, and the state that has billed it; several periods if ticks were missed.

    A period is due once the tick is at or after its end plus grace.
    """
    periods: list[DuePeriod] = []
    after = []
    for subscription in state.subscriptions:
        held = subscription
        while len(periods) < MAX_PERIODS_PER_RUN:
            due = _next_period(held)
            if due is None or _due_at(due, held) > tick.time:
                break
            periods.append(due)
            held = held.model_copy(update={"billed_through": due.service.end})
        after.append(held)
    if not periods:
        return state, None
    billed = state.model_copy(update={"subscriptions": tuple(after)})
    return billed, BillingRun(customer=state.customer, tick=tick, periods=tuple(periods))


def _next_period(held: Subscription) -> DuePeriod | None:
    """The first period that no run has billed; None after the end of the subscription."""
    if held.ends_at is not None and held.billed_through >= held.ends_at:
        return None
    period = _grid(held).period_of(held.billed_through)
    served_to = period.end if held.ends_at is None else min(period.end, held.ends_at)
    return DuePeriod(
        subscription=held.id,
        plan=held.plan,
        plan_version=held.plan_version,
        currency=held.currency,
        time_zone=held.time_zone,
        period=period,
        service=Period(start=max(period.start, held.starts_at), end=served_to),
        anchor=held.anchor,
    )


def _due_at(due: DuePeriod, held: Subscription) -> datetime:
    return due.service.end + held.grace


def _grid(subscription: Subscription) -> Grid:
    return Grid(subscription.anchor, subscription.interval, subscription.time_zone)
