"""Interruptions and ends: cancel, reactivate, pause, resume, trials, past due. Source: rating.md §4.4, §5."""

from __future__ import annotations

from datetime import datetime

from pipeline.subscriptions.charges import changed
from pipeline.subscriptions.commanding import (
    Context,
    Refused,
    ended,
    grid_of,
    held,
    paused,
    replaced,
    running,
    within_bounds,
)
from pipeline.subscriptions.subscribing import contract_end
from schemas.command import Cancel, ExtendTrial, MarkPaid, MarkPastDue, Pause, Reactivate, Resume
from schemas.customer_state import CustomerState
from schemas.subscription import Charge, Subscription
from schemas.subscription import Pause as Gap


def cancel(state: CustomerState, command: Cancel, context: Context) -> CustomerState:
    """Ends a subscription; what was billed for later service comes back, unless the plan says it is forfeited."""
    subscription = held(state, command.subscription)
    at = _end(subscription, command, context)
    if subscription.ends_at is not None and at >= subscription.ends_at:
        raise Refused(f"subscription: {subscription.id} ends at {subscription.ends_at.isoformat()} already")
    charges: list[Charge] = []
    for charge in subscription.charges:
        charges += ended(subscription, [charge], _last(charge, subscription, at, context))
    return replaced(state, subscription.model_copy(update={"ends_at": at, "charges": tuple(charges)}))


def _end(subscription: Subscription, command: Cancel, context: Context) -> datetime:
    if command.at is not None:
        return max(subscription.starts_at, within_bounds("at", command.at, context.now))
    if command.when == "now":
        return max(subscription.starts_at, context.now)
    now = max(context.now, subscription.starts_at)
    if subscription.contract is not None:
        return contract_end(subscription, now)
    return grid_of(subscription).period_of(now).end


def _last(charge: Charge, subscription: Subscription, at: datetime, context: Context) -> datetime:
    """Where a charge ends: a fee that was billed in advance runs to the end of what was billed, if it is forfeited."""
    if charge.timing == "arrears" or charge.billed_through <= at or charge.billed_through <= charge.starts_at:
        return at
    plan = context.plan(charge.plan, charge.plan_version)
    return charge.billed_through if plan.plan.on_cancel == "forfeit" else at


def reactivate(state: CustomerState, command: Reactivate, context: Context) -> CustomerState:
    """Takes a cancellation back before its end has come."""
    subscription = running(state, command.subscription, context.now)
    if subscription.ends_at is None:
        raise Refused(f"subscription: {subscription.id} is not cancelled")
    last = {charge.card: charge.number for charge in subscription.charges}
    charges = tuple(
        _resumed(charge, subscription)
        if charge.number == last[charge.card] and not charge.trial and _was_cut(charge, subscription)
        else charge
        for charge in subscription.charges
    )
    return replaced(state, subscription.model_copy(update={"ends_at": None, "contract": None, "charges": charges}))


def _was_cut(charge: Charge, subscription: Subscription) -> bool:
    return charge.ends_at is not None and subscription.ends_at is not None and charge.ends_at >= subscription.ends_at


def _resumed(charge: Charge, subscription: Subscription) -> Charge:
    after = charge.model_copy(update={"ends_at": None, "ended_by_change": False})
    return changed(charge, after, subscription.pauses, subscription.pauses, subscription.time_zone)


def pause(state: CustomerState, command: Pause, context: Context) -> CustomerState:
    """Opens a gap in service: fees of its days come back, usage in it belongs to nobody."""
    subscription = running(state, command.subscription, context.now)
    status = subscription.status(context.now)
    if status not in ("active", "past_due"):
        raise Refused(f"subscription: {subscription.id} is {status}; only an active one is paused")
    until = command.until and within_bounds("until", command.until, context.now)
    if until is not None and until <= context.now:
        raise Refused(f"until: {until.isoformat()} is not after billing time {context.now.isoformat()}")
    gap = Gap(starts_at=context.now, ends_at=until)
    return replaced(state, paused(subscription, (*subscription.pauses, gap)))


def resume(state: CustomerState, command: Resume, context: Context) -> CustomerState:
    """Ends a pause now: service goes on, on the same grid."""
    subscription = running(state, command.subscription, context.now)
    if subscription.status(context.now) != "paused":
        raise Refused(f"subscription: {subscription.id} is {subscription.status(context.now)}, not paused")
    pauses = tuple(
        gap.model_copy(update={"ends_at": context.now}) if gap.ends_at is None or gap.ends_at > context.now else gap
        for gap in subscription.pauses
    )
    return replaced(state, paused(subscription, pauses))


def extend_trial(state: CustomerState, command: ExtendTrial, context: Context) -> CustomerState:
    """Moves the end of a trial that runs: fees begin later, on the same grid."""
    subscription = running(state, command.subscription, context.now)
    before = subscription.trial_ends_at
    if before is None or subscription.status(context.now) not in ("trialing", "scheduled"):
        raise Refused(f"subscription: {subscription.id} is {subscription.status(context.now)}, not on trial")
    after = within_bounds("trial_ends_at", command.trial_ends_at, context.now)
    if after <= before:
        raise Refused(f"trial_ends_at: {after.isoformat()} is not after {before.isoformat()}, where it ends now")
    charges = tuple(_with_trial(charge, before, after) for charge in subscription.charges)
    return replaced(state, subscription.model_copy(update={"trial_ends_at": after, "charges": charges}))


def _with_trial(charge: Charge, before: datetime, after: datetime) -> Charge:
    if charge.trial and charge.ends_at == before:
        return charge.model_copy(update={"ends_at": after})
    if not charge.trial and charge.starts_at == before and charge.billed_through == before:
        end = charge.ends_at if charge.ends_at is None else max(after, charge.ends_at)
        return charge.model_copy(update={"starts_at": after, "billed_through": after, "ends_at": end})
    return charge


def mark_past_due(state: CustomerState, command: MarkPastDue, context: Context) -> CustomerState:
    """Dunning says that an invoice was not paid in time."""
    subscription = running(state, command.subscription, context.now)
    if subscription.past_due:
        raise Refused(f"subscription: {subscription.id} is past due already")
    return replaced(state, subscription.model_copy(update={"past_due": True}))


def mark_paid(state: CustomerState, command: MarkPaid, context: Context) -> CustomerState:
    """Nothing is open any more."""
    subscription = held(state, command.subscription)
    if not subscription.past_due:
        raise Refused(f"subscription: {subscription.id} is not past due")
    return replaced(state, subscription.model_copy(update={"past_due": False}))
