"""What a customer's running charges are at a moment, and which usage says how far their entitlements are used.

A charge is looked at as the run that will bill it would: the same period, the same subjects, the same rate card.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.windows import window_at
from pipeline.closing.period_close import frame_of
from pipeline.closing.run_lines import due_charges, plan_of
from pipeline.closing.runs import due_at
from pipeline.meters.usage_needed import ADDS_UP_OVER_GROUPS, GROUPS, Shape, shape_needed
from pipeline.meters.usage_sql import Frame
from pipeline.rating.charge_lines import Usage, rate_metered, terms_of
from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry
from schemas.customer_state import CustomerState, DuePeriod
from schemas.entitlement import Entitlement
from schemas.period import Period
from schemas.plan import RateCard
from schemas.quantity import ZERO


@dataclass(frozen=True, slots=True)
class Running:
    """A metered charge in its running period."""

    customer: str
    due: DuePeriod
    plan: PlanEntry
    card: RateCard
    is_waived: bool
    entry: MeterEntry


@dataclass(frozen=True, slots=True)
class Asked:
    """Usage of a customer that is asked for: a meter version in a frame, cut to a shape."""

    customer: str
    meter: str
    """The key of the meter version."""
    frame: Frame
    shape: Shape
    entry: MeterEntry = field(compare=False, repr=False)

    @property
    def is_plain(self) -> bool:
        """Whether it adds up over five-minute panes: no pauses, no choice of subjects, nothing carried."""
        meter, frame = self.entry.meter, self.frame
        chosen = frame.gaps or frame.subjects is not None or frame.other_subjects or frame.window
        return meter.aggregation in ("count", "sum") and not meter.carry_over and not chosen and self.shape == GROUPS


def running(state: CustomerState, catalogue: Catalogue, at: datetime) -> Iterator[Running]:
    """The metered charges that a customer is served at a moment, in order of subscriptions and rate cards."""
    for held in state.subscriptions:
        for charge in held.charges:
            due = due_at(state, held, charge, at) if charge.meter is not None else None
            if due is None:
                continue
            plan = plan_of(due, catalogue)
            for card, own in due_charges(due, plan.plan.in_currency(due.currency)):
                if card.meter is not None:
                    entry = catalogue.meters[card.meter, plan.meters[card.meter]]
                    is_waived = own.override is not None and own.override.waived == "all"
                    yield Running(state.customer, due, plan, card, is_waived, entry)


def entitlement_of(found: Running) -> Entitlement | None:
    """What the plan entitles to of the charge's meter."""
    return next((one for one in found.plan.plan.entitlements if one.meter == found.entry.name), None)


def window_of(found: Running, entitlement: Entitlement, at: datetime) -> Period:
    """The window of an entitlement that holds a moment: the served part of the billing period, or of one window."""
    if entitlement.per == "period":
        return found.due.service
    window = window_at(entitlement.per, at, found.due.time_zone, anchor=found.due.anchor)
    return window.intersection(found.due.service)


def asked_of(found: Running, span: Period | None = None) -> Asked:
    """The usage of a charge in its period, as its close would freeze it; or in a part of it."""
    shape = shape_needed(found.card, found.entry.meter)
    frame = frame_of(found.due, found.entry.meter, shape)
    return _asked(found, frame if span is None else replace(frame, span=span), shape)


def quantity_of(found: Running, span: Period | None = None) -> Asked:
    """The usage of a charge as one quantity: by group where groups add up, in total where they do not."""
    adds_up = found.entry.meter.aggregation in ADDS_UP_OVER_GROUPS or not found.entry.meter.group_by
    shape = GROUPS if adds_up else Shape(by_group=False)
    frame = frame_of(found.due, found.entry.meter, shape)
    return _asked(found, frame if span is None else replace(frame, span=span), shape)


def _asked(found: Running, frame: Frame, shape: Shape) -> Asked:
    return Asked(found.customer, found.entry.key, frame, shape, found.entry)


def quantity(usage: Sequence[Usage]) -> Decimal:
    """What rows of usage come to."""
    return sum((row.value for row in usage), ZERO)


def spend(found: Running, usage: Sequence[Usage]) -> Decimal:
    """What the charge's line would be, before tax and discounts, if its period ended with this usage."""
    money = found.plan.plan.in_currency(found.due.currency).money
    terms = replace(terms_of(found.due, money, found.card), waived=found.is_waived)
    lines = rate_metered(found.card, terms, found.entry.meter, found.entry.version, usage)
    return sum((line.amount for line in lines), ZERO)
