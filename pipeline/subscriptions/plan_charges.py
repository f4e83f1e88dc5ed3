"""A plan version becomes the charges of a subscription: what runs from when on which grid. Source: rating.md §4, §5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.periods import Grid
from pipeline.subscriptions.commitments import charged_cards
from schemas.catalogue_entry import PlanEntry
from schemas.plan import Interval, RateCard
from schemas.subscription import Charge, Override


@dataclass(frozen=True, slots=True)
class Start:
    """From when the charges of a plan run, and with what of the subscription's own."""

    at: datetime
    time_zone: str
    trial_ends_at: datetime | None = None
    """Fees begin then; usage before it is rated and given away."""
    grid_from: datetime | None = None
    """Whose day anchors the grids; `at` if left out."""
    anchors: Mapping[tuple[str, int], datetime] = field(default_factory=dict)
    """Interval (unit, count) -> anchor of a grid that goes on."""
    quantities: Mapping[str, Decimal] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)
    by_change: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Rate card -> the first number that no charge of it has."""


def charges_of(entry: PlanEntry, start: Start, cards: Sequence[RateCard] | None = None) -> tuple[Charge, ...]:
    """The charges of a plan's rate cards, in its order; a trial is a charge of its own before the paid one.

    Raises ValueError for an unknown zone.
    """
    found = []
    for card in charged_cards(entry.plan) if cards is None else cards:
        anchor = anchor_of(entry, start, card.interval or entry.plan.interval)
        found += _charges(entry, start, card, anchor)
    return tuple(found)


def anchor_of(entry: PlanEntry, start: Start, interval: Interval) -> datetime:
    """Where the grid of an interval is anchored: on the grid that goes on, or by the plan's rule."""
    going_on = start.anchors.get((interval.unit, interval.count))
    if going_on is not None:
        return going_on
    from_then = start.grid_from or start.at
    return Grid.of_plan(entry.plan, starts_at=from_then, time_zone=start.time_zone, interval=interval).anchor


def _charges(entry: PlanEntry, start: Start, card: RateCard, anchor: datetime) -> list[Charge]:
    number = start.numbers.get(card.id, 0)
    paid_from = max(start.at, start.trial_ends_at or start.at)
    paid = Charge(
        card=card.id,
        number=number,
        plan=entry.name,
        plan_version=entry.version,
        meter=card.meter,
        timing=card.timing,
        one_time=card.one_time,
        term=card.commitment.per if card.commitment and isinstance(card.commitment.per, Interval) else None,
        interval=card.interval or entry.plan.interval,
        anchor=anchor,
        grace=entry.plan.grace,
        late_horizon=entry.plan.late_usage.horizon,
        starts_at=paid_from,
        began_by_change=start.by_change,
        quantity=start.quantities.get(card.id),
        override=start.overrides.get(card.id),
        billed_through=paid_from,
    )
    if card.meter is None or paid_from == start.at:
        return [paid]
    trial = {"trial": True, "starts_at": start.at, "ends_at": paid_from, "billed_through": start.at}
    return [paid.model_copy(update=trial), paid.model_copy(update={"number": number + 1})]
