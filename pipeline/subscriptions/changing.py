"""Changes in mid-life: the old charges end where the new ones start, on the old grid. Source: rating.md §5.

What was billed for service that a change takes away, or adds, is rated anew by the next run: owed - issued.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.periods import midnight
from pipeline.subscriptions.charges import period_of
from pipeline.subscriptions.commanding import (
    Context,
    Refused,
    effective,
    ended,
    held,
    next_numbers,
    replaced,
    running,
    within_bounds,
)
from pipeline.subscriptions.commitments import COMMITMENT, charged_cards
from pipeline.subscriptions.plan_charges import Start, anchor_of, charges_of
from pipeline.subscriptions.subscribing import known_add_ons, quantities_of, refuse_shared_usage, taken_cards
from schemas.catalogue_entry import PlanEntry
from schemas.command import Change, ChangeAddOns, ChangeQuantity, SetAnchor, SetOverride
from schemas.customer_state import CustomerState
from schemas.faults import Malformed, checked
from schemas.period import zone
from schemas.plan import RateCard
from schemas.price import Flat
from schemas.quantity import ZERO
from schemas.subscription import Charge, Override, Subscription


def change(state: CustomerState, command: Change, context: Context) -> CustomerState:
    """Moves a subscription to another plan version; what was scheduled after that moment is replaced."""
    subscription = running(state, command.subscription, context.now)
    plan = context.plan(command.plan, command.plan_version)
    quantities_of(plan, command.quantities)
    if subscription.currency not in plan.plan.currencies:
        raise Refused(f"currency: plan {plan.name} is not offered in {subscription.currency}")
    at = effective(subscription, context.now, when=_when(command, plan, subscription, context), at=command.at)
    current = [charge for charge in subscription.charges if runs_at(charge, at)]
    if not command.quantities and _is_on(plan, current) and not command.reset_anchor:
        raise Refused(f"plan: {subscription.id} is on {plan.name}@{plan.version} then already")
    kept = tuple(name for name in subscription.add_ons if name in plan.plan.add_ons)
    add_ons = known_add_ons(plan, command.add_ons if command.add_ons is not None else kept)
    prorates = plan.plan.free_units_on_change == "prorate" and at > subscription.starts_at
    before = ended(subscription, subscription.charges, at, by_change=prorates)
    start = Start(
        at,
        subscription.time_zone,
        subscription.trial_ends_at,
        grid_from=at if command.reset_anchor else subscription.starts_at,
        anchors={} if command.reset_anchor else _anchors(current),
        quantities=command.quantities,
        by_change=prorates,
        numbers=next_numbers(subscription.charges),
    )
    after = _until_end(charges_of(plan, start, taken_cards(plan, add_ons)), subscription)
    moved = subscription.model_copy(
        update={
            "plan": plan.name, "plan_version": plan.version, "interval": plan.plan.interval, "add_ons": add_ons,
            "anchor": anchor_of(plan, start, plan.plan.interval), "charges": (*before, *after),
        }
    )  # fmt: skip
    refuse_shared_usage(state, moved)
    return replaced(state, moved)


def change_quantity(state: CustomerState, command: ChangeQuantity, context: Context) -> CustomerState:
    """Ends the charge of a fee and starts it with other seats."""
    subscription = running(state, command.subscription, context.now)
    at = effective(subscription, context.now, when=command.when, at=command.at)
    charge = _running_charge(subscription, command.card, at)
    plan = context.plan(charge.plan, charge.plan_version)
    card = _card(plan, command.card)
    if card.meter is not None or card.one_time or card.id == COMMITMENT or not isinstance(card.price, Flat):
        raise Refused(f"card: {card.id} is no recurring fee; its quantity is not changed by hand")
    seats = card.price.quantity if charge.quantity is None else charge.quantity
    if seats == command.quantity:
        raise Refused(f"quantity: {card.id} has {seats} then already")
    return replaced(state, _split(subscription, charge, at, {"quantity": command.quantity}))


def change_add_ons(state: CustomerState, command: ChangeAddOns, context: Context) -> CustomerState:
    """Starts the charges of add-ons that are taken, and ends those of what is given up."""
    subscription = running(state, command.subscription, context.now)
    plan = context.plan(subscription.plan, subscription.plan_version)
    at = effective(subscription, context.now, when=command.when, at=None)
    known_add_ons(plan, (*command.add, *command.remove))
    taken = set(subscription.add_ons)
    for name in command.add:
        if name in taken:
            raise Refused(f"add: {subscription.id} has {name} already")
    for name in command.remove:
        if name not in taken:
            raise Refused(f"remove: {subscription.id} does not have {name}")
    gone = {card.id for card in plan.plan.rate_cards if card.add_on in command.remove}
    others = [charge for charge in subscription.charges if charge.card not in gone]
    removed = ended(subscription, [charge for charge in subscription.charges if charge.card in gone], at)
    cards = [card for card in plan.plan.rate_cards if card.add_on in command.add]
    start = Start(
        at, subscription.time_zone, subscription.trial_ends_at, grid_from=subscription.starts_at,
        anchors=_anchors(subscription.charges), numbers=next_numbers(subscription.charges),
    )  # fmt: skip
    added = _until_end(charges_of(plan, start, cards), subscription)
    names = known_add_ons(plan, (taken | set(command.add)) - set(command.remove))
    moved = subscription.model_copy(update={"add_ons": names, "charges": (*others, *removed, *added)})
    refuse_shared_usage(state, moved)
    return replaced(state, moved)


def set_anchor(state: CustomerState, command: SetAnchor, context: Context) -> CustomerState:
    """Starts every recurring charge anew now, on a grid through the day."""
    subscription = running(state, command.subscription, context.now)
    now = max(context.now, subscription.starts_at)
    anchor = midnight(command.anchor, zone(subscription.time_zone))
    if subscription.anchor == anchor:
        raise Refused(f"anchor: {subscription.id} is anchored there already")
    within_bounds("anchor", anchor, context.now)
    recurring = [charge for charge in subscription.charges if runs_at(charge, now) and not charge.one_time]
    before = ended(subscription, recurring, now, by_change=True)
    numbers = next_numbers(subscription.charges)
    after = [
        _started(charge, now, number=numbers[charge.card] + index, update={"anchor": anchor, "began_by_change": True})
        for index, charge in _counted(recurring)
    ]
    others = [charge for charge in subscription.charges if charge not in recurring]
    return replaced(
        state, subscription.model_copy(update={"anchor": anchor, "charges": (*others, *before, *after)})
    )  # fmt: skip


def set_override(state: CustomerState, command: SetOverride, context: Context) -> CustomerState:
    """Gives a rate card of one subscription its own price from a time on; what was billed is rated anew."""
    subscription = held(state, command.subscription)
    given = (
        None if command.effective_from is None else within_bounds("effective_from", command.effective_from, context.now)
    )
    charge = _running_charge(subscription, command.card, _overridden_at(subscription, command.card, given, context.now))
    at = given or _overridden_at(subscription, command.card, None, context.now)
    if command.until is not None and command.until <= at:
        raise Refused(f"until: {command.until.isoformat()} is not after {at.isoformat()}")
    if command.override is not None:
        if charge.card == COMMITMENT and command.override.price is not None:
            raise Refused("override.price: must be left out: a commitment of a plan has no price; it can be waived")
        _refuse_override(_card(context.plan(charge.plan, charge.plan_version), command.card), command.override)
    if charge.override == command.override:
        raise Refused(f"override: {command.card} has it then already")
    moved = _split(subscription, charge, at, {"override": command.override})
    if command.until is not None and (charge.ends_at is None or command.until < charge.ends_at):
        until = within_bounds("until", command.until, context.now)
        moved = _split(moved, _running_charge(moved, command.card, until), until, {"override": charge.override})
    return replaced(state, moved)


def runs_at(charge: Charge, moment: datetime) -> bool:
    """Whether a charge runs at a moment, or will begin later."""
    return charge.ends_at is None or charge.ends_at > moment


def _overridden_at(subscription: Subscription, card: str, given: datetime | None, now: datetime) -> datetime:
    """When an override begins: as given, or with the running period of its charge."""
    if given is not None:
        return given
    moment = max(subscription.starts_at, now)
    if subscription.ends_at is not None and moment >= subscription.ends_at:
        raise Refused(f"effective_from: {subscription.id} ended at {subscription.ends_at.isoformat()}: say from when")
    charge = _running_charge(subscription, card, moment)
    return max(charge.starts_at, period_of(charge, subscription.time_zone, moment).start)


def _refuse_override(card: RateCard, override: Override) -> None:
    if override.price is None and override.waived is None:
        raise Refused("override: must have a price or say what is waived")
    try:
        checked(RateCard, {**dict(card), **({"price": override.price} if override.price else {})})
    except Malformed as fault:
        raise Refused(f"override.{fault}") from None


def _card(plan: PlanEntry, name: str) -> RateCard:
    return next(card for card in charged_cards(plan.plan) if card.id == name)


def _running_charge(subscription: Subscription, card: str, at: datetime) -> Charge:
    """The charge of a rate card that serves an instant. Raises Refused."""
    found = [one for one in subscription.charges if one.card == card]
    for charge in found:
        if charge.starts_at <= at and runs_at(charge, at):
            return charge
    known = ", ".join(dict.fromkeys(charge.card for charge in subscription.charges))
    if not found:
        raise Refused(f"card: {subscription.id} has no {card}; it has {known}")
    raise Refused(f"card: {card} does not run at {at.isoformat()}")


def _split(subscription: Subscription, charge: Charge, at: datetime, update: dict[str, object]) -> Subscription:
    """The subscription with a charge ended at an instant and started anew, up to where it ended."""
    if charge.starts_at == at and charge.billed_through <= charge.starts_at and not charge.rerates:
        after = [charge.model_copy(update=update)]  # nothing was billed of it: it is as if it had begun so
    else:
        number = next_numbers(subscription.charges)[charge.card]
        again = _started(charge, at, number=number, update={"began_by_change": True, **update})
        after = [*ended(subscription, [charge], at, by_change=True), again]
    charges = [
        one for held_charge in subscription.charges for one in (after if held_charge is charge else [held_charge])
    ]
    return subscription.model_copy(update={"charges": tuple(charges)})


def _started(charge: Charge, at: datetime, *, number: int, update: dict[str, object]) -> Charge:
    fresh = {"number": number, "starts_at": max(at, charge.starts_at), "billed_through": max(at, charge.starts_at),
             "rerates": (), "began_by_change": False}  # fmt: skip
    return charge.model_copy(update={**fresh, **update})


def _counted(charges: Iterable[Charge]) -> list[tuple[int, Charge]]:
    """Each with how many of its rate card come before it."""
    seen: dict[str, int] = {}
    found = []
    for charge in charges:
        found.append((seen.get(charge.card, 0), charge))
        seen[charge.card] = seen.get(charge.card, 0) + 1
    return found


def _anchors(charges: Iterable[Charge]) -> dict[tuple[str, int], datetime]:
    return {(charge.interval.unit, charge.interval.count): charge.anchor for charge in charges}


def _until_end(charges: Iterable[Charge], subscription: Subscription) -> tuple[Charge, ...]:
    """New charges of a subscription that is to end."""
    if subscription.ends_at is None:
        return tuple(charges)
    return tuple(ended(subscription, charges, subscription.ends_at))


def _is_on(plan: PlanEntry, charges: Collection[Charge]) -> bool:
    return bool(charges) and all((one.plan, one.plan_version) == (plan.name, plan.version) for one in charges)


def _when(command: Change, plan: PlanEntry, subscription: Subscription, context: Context) -> str:
    """A downgrade waits for the end of the period, unless it is said otherwise. Source: rating.md §5."""
    if command.when != "auto" or command.at is not None:
        return command.when
    old = context.catalogue.plan(subscription.plan, subscription.plan_version)
    if old is None or old.plan.interval != plan.plan.interval:
        return "now"
    seats = {one.card: one.quantity for one in subscription.charges if one.quantity is not None}
    before, after = (
        _recurring(entry, subscription.currency, found)
        for entry, found in ((old, seats), (plan, dict(command.quantities)))
    )
    return "period_end" if after < before else "now"


def _recurring(plan: PlanEntry, code: str, seats: dict[str, Decimal]) -> Decimal:
    """The recurring fees of a plan per period of its own."""
    total = ZERO
    for card in plan.plan.in_currency(code).rate_cards:
        if isinstance(card.price, Flat) and card.meter is None and not card.one_time and card.add_on is None:
            total += card.price.amount * seats.get(card.id, card.price.quantity)
    return total
