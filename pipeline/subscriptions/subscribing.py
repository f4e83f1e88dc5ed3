"""A new subscription: its charges, trial, contract, and whose usage it bills. Source: rating.md §4, design.md §7."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pipeline.calendar.periods import Grid
from pipeline.subscriptions.commanding import Context, Refused, ended, within_bounds
from pipeline.subscriptions.commitments import charged_cards
from pipeline.subscriptions.plan_charges import Start, anchor_of, charges_of
from schemas.catalogue_entry import PlanEntry
from schemas.command import Subscribe
from schemas.customer_state import CustomerState
from schemas.period import zone
from schemas.plan import RateCard
from schemas.price import Flat
from schemas.subscription import Subscription


def subscribe(state: CustomerState, command: Subscribe, context: Context) -> CustomerState:
    """The state with the new subscription. Raises Refused; never makes half of one."""
    plan = context.plan(command.plan, command.plan_version)
    if any(one.id == command.subscription for one in state.subscriptions):
        raise Refused(f"subscription: {command.subscription} exists already")
    starts_at = within_bounds("starts_at", command.starts_at or context.now, context.now)
    time_zone = known_zone(command.time_zone or state.record.time_zone or "UTC")
    trial_ends_at = _trial(command, plan, starts_at, time_zone, context)
    quantities_of(plan, command.quantities)
    start = Start(starts_at, time_zone, trial_ends_at, quantities=command.quantities)
    subscription = Subscription(
        id=command.subscription,
        plan=plan.name,
        plan_version=plan.version,
        currency=_currency(plan, command.currency or state.record.currency, named=command.currency is not None),
        time_zone=time_zone,
        interval=plan.plan.interval,
        anchor=anchor_of(plan, start, plan.plan.interval),
        starts_at=starts_at,
        trial_ends_at=trial_ends_at,
        contract=command.contract,
        separate=command.separate,
        subjects=command.subjects,
        add_ons=known_add_ons(plan, command.add_ons),
        charges=charges_of(plan, start, taken_cards(plan, command.add_ons)),
    )
    if command.contract is not None and not command.contract.renews:
        ends_at = contract_end(subscription, starts_at)
        charges = tuple(ended(subscription, subscription.charges, ends_at))
        subscription = subscription.model_copy(update={"ends_at": ends_at, "charges": charges})
    refuse_shared_usage(state, subscription)
    return state.model_copy(update={"subscriptions": (*state.subscriptions, subscription)})


def known_zone(name: str) -> str:
    """The name of a zone. Raises Refused for an unknown one; it is never replaced by UTC."""
    try:
        return zone(name).key
    except ValueError as fault:
        raise Refused(str(fault)) from None


def known_add_ons(plan: PlanEntry, names: Iterable[str]) -> tuple[str, ...]:
    """The add-ons in the plan's order. Raises Refused for one that it does not offer."""
    offered = plan.plan.add_ons
    for name in names:
        if name not in offered:
            raise Refused(f"add_ons: plan {plan.name} has no {name}; it has {', '.join(offered) or 'none'}")
    return tuple(name for name in offered if name in set(names))


def taken_cards(plan: PlanEntry, add_ons: Iterable[str]) -> list[RateCard]:
    """The rate cards of a plan that a subscription with these add-ons pays."""
    taken = {None, *add_ons}
    return [card for card in charged_cards(plan.plan) if card.add_on in taken]


def quantities_of(plan: PlanEntry, quantities: Iterable[str]) -> None:
    """Raises Refused for seats of anything but a flat fee of the plan."""
    cards = {card.id: card for card in plan.plan.rate_cards}
    for name in quantities:
        if name not in cards:
            raise Refused(f"quantities.{name}: plan {plan.name} has no such rate card; it has {', '.join(cards)}")
        if cards[name].meter is not None or not isinstance(cards[name].price, Flat):
            raise Refused(f"quantities.{name}: is no fee: its quantity is metered")


def contract_end(subscription: Subscription, moment: datetime) -> datetime:
    """The end of the contract term that holds a moment."""
    assert subscription.contract is not None
    return Grid(subscription.starts_at, subscription.contract.term, subscription.time_zone).period_of(moment).end


def refuse_shared_usage(state: CustomerState, subscription: Subscription) -> None:
    """Raises Refused if another subscription of the customer bills the same usage: the subjects must be disjoint."""
    meters = {charge.meter for charge in subscription.charges if charge.meter is not None}
    for other in state.subscriptions:
        shared = sorted(meters & {charge.meter for charge in other.charges if charge.meter is not None})
        if other.id == subscription.id or not shared or not _overlap(other, subscription):
            continue
        if subscription.subjects is None and other.subjects is None:
            raise Refused(f"subjects: {other.id} bills {shared[0]} of every subject already; name those of this one")
        both = sorted({*(subscription.subjects or ())} & {*(other.subjects or ())})
        if both:
            raise Refused(f"subjects: {other.id} bills {shared[0]} of {both[0]} already")


def _overlap(one: Subscription, other: Subscription) -> bool:
    return (one.ends_at is None or other.starts_at < one.ends_at) and (
        other.ends_at is None or one.starts_at < other.ends_at
    )


def _currency(plan: PlanEntry, code: str, *, named: bool) -> str:
    if code in plan.plan.currencies:
        return code
    if named:
        offered = ", ".join(plan.plan.currencies)
        raise Refused(f"currency: plan {plan.name} is not offered in {code}; it is in {offered}")
    return plan.plan.currency


def _trial(
    command: Subscribe, plan: PlanEntry, starts_at: datetime, time_zone: str, context: Context
) -> datetime | None:
    if command.no_trial:
        return None
    if command.trial_ends_at is not None:
        ends_at = within_bounds("trial_ends_at", command.trial_ends_at, context.now)
        if ends_at < starts_at:
            raise Refused(f"trial_ends_at: {ends_at.isoformat()} is before the start {starts_at.isoformat()}")
        return ends_at if ends_at > starts_at else None
    return None if plan.plan.trial is None else Grid(starts_at, plan.plan.trial, time_zone).boundary(1)
