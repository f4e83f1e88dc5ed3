"""What the rooms of the fold share: refusals, finding a subscription, bounds of dates, ending charges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.calendar.periods import Grid
from pipeline.subscriptions.charges import changed
from schemas.catalogue_entry import Catalogue, PlanEntry
from schemas.customer_state import CustomerState
from schemas.subscription import Charge, Pause, Subscription
from schemas.tick import Tick

MAX_BACK = timedelta(days=400)
"""As long as raw usage is kept: what is older cannot be rated anew."""
MAX_AHEAD = timedelta(days=3653)


class Refused(Exception):
    """A command that cannot be; the message names the field and says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """Under what a command is decided: the last tick before it, and the catalogue below that tick's vector."""

    clock: Tick
    catalogue: Catalogue

    @property
    def now(self) -> datetime:
        """Billing time."""
        return self.clock.time

    def plan(self, name: str, version: str) -> PlanEntry:
        """A plan version. Raises Refused if it was not applied by then."""
        found = self.catalogue.plan(name, version)
        if found is None:
            raise Refused(f"plan: no version {name}@{version} in the catalogue as of tick {self.clock.number}")
        return found


def held(state: CustomerState, name: str) -> Subscription:
    """A subscription of the customer. Raises Refused for an unknown customer or subscription."""
    found = next((one for one in state.subscriptions if one.id == name), None)
    if found is None:
        has = ", ".join(one.id for one in state.subscriptions) or "none"
        raise Refused(f"subscription: {state.customer} has no {name}; it has {has}")
    return found


def running(state: CustomerState, name: str, now: datetime) -> Subscription:
    """A subscription that has not ended. Raises Refused."""
    found = held(state, name)
    if found.ends_at is not None and found.ends_at <= now:
        raise Refused(f"subscription: {name} ended at {found.ends_at.isoformat()}; subscribe anew")
    return found


def replaced(state: CustomerState, subscription: Subscription) -> CustomerState:
    """The state with a subscription in place of the one with its id."""
    found = tuple(subscription if one.id == subscription.id else one for one in state.subscriptions)
    return state.model_copy(update={"subscriptions": found})


def within_bounds(name: str, moment: datetime, now: datetime) -> datetime:
    """The moment in UTC. Raises Refused for one that is absurd: too far back to be rated anew, or years ahead."""
    at = moment.astimezone(UTC)
    if at < now - MAX_BACK:
        raise Refused(f"{name}: {at.isoformat()} is more than {MAX_BACK.days} days before billing time")
    if at > now + MAX_AHEAD:
        raise Refused(f"{name}: {at.isoformat()} is more than ten years after billing time")
    return at


def effective(subscription: Subscription, now: datetime, *, when: str, at: datetime | None) -> datetime:
    """The instant of a change. Raises Refused for one outside the subscription."""
    if at is not None:
        moment = within_bounds("at", at, now)
    elif when == "period_end":
        moment = grid_of(subscription).period_of(max(now, subscription.starts_at)).end
    else:
        moment = max(now, subscription.starts_at)
    if moment < subscription.starts_at:
        raise Refused(f"at: {moment.isoformat()} is before the start {subscription.starts_at.isoformat()}")
    if subscription.ends_at is not None and moment >= subscription.ends_at:
        raise Refused(f"at: {moment.isoformat()} is not before the end {subscription.ends_at.isoformat()}")
    return moment


def grid_of(subscription: Subscription) -> Grid:
    """The grid of the subscription's plan."""
    return Grid(subscription.anchor, subscription.interval, subscription.time_zone)


def ended(
    subscription: Subscription, charges: Iterable[Charge], at: datetime, *, by_change: bool = False
) -> list[Charge]:
    """Charges that end at an instant; those that would begin at or after it and were never billed are gone."""
    found = []
    for charge in charges:
        if charge.ends_at is not None and charge.ends_at <= at:
            found.append(charge)
            continue
        if charge.starts_at >= at and charge.billed_through <= charge.starts_at and not charge.rerates:
            continue
        after = charge.model_copy(update={"ends_at": max(charge.starts_at, at), "ended_by_change": by_change})
        found.append(changed(charge, after, subscription.pauses, subscription.pauses, subscription.time_zone))
    return found


def paused(subscription: Subscription, pauses: Sequence[Pause]) -> Subscription:
    """The subscription with other pauses: what was billed for service that they change is rated anew."""
    charges = tuple(
        changed(charge, charge, subscription.pauses, pauses, subscription.time_zone) for charge in subscription.charges
    )
    return subscription.model_copy(update={"pauses": tuple(pauses), "charges": charges})


def next_numbers(charges: Iterable[Charge]) -> dict[str, int]:
    """Rate card -> the first number that none of its charges has."""
    found: dict[str, int] = {}
    for charge in charges:
        found[charge.card] = max(found.get(charge.card, 0), charge.number + 1)
    return found
