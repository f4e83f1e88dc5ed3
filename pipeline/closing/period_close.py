"""Which usage a close freezes: per meter of a due period, in every shape that its rate cards ask for.

Source: design.md §6, rating.md §4.3. A frame is as plain as the question allows, so that customers whose answers do not
depend on their zone are answered by one query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.closing.run_lines import due_charges, plan_of
from pipeline.meters.usage_needed import Shape, shapes_needed
from pipeline.meters.usage_sql import Frame
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.customer_state import DuePeriod
from schemas.meter import PRORATED, Meter


@dataclass(frozen=True, slots=True)
class Wanted:
    """Usage of a meter version in a frame, cut to a shape."""

    entry: MeterEntry
    frame: Frame
    shape: Shape

    @property
    def key(self) -> tuple[str, str, Frame, Shape]:
        """What it is, whoever asks: one query answers for all."""
        return self.entry.name, self.entry.version, self.frame, self.shape

    @property
    def order(self) -> tuple[object, ...]:
        """By meter, version, span, zone and shape."""
        frame = self.frame
        return self.entry.name, self.entry.version, frame.span, frame.time_zone, self.shape, repr(frame)

    @property
    def meter(self) -> Meter:
        """The meter as it is asked: without groups where the shape has none."""
        meter = self.entry.meter
        return meter if self.shape.by_group else meter.model_copy(update={"group_by": ()})

    @property
    def zone(self) -> str:
        """The zone that the answer depends on; empty if on none."""
        depends = bool(self.shape.window) or self.entry.meter.aggregation in PRORATED
        return self.frame.time_zone if depends else ""


def wanted_of(due: DuePeriod, catalogue: Catalogue) -> tuple[Wanted, ...]:
    """All usage of a due period that its plan version prices. Raises LookupError for an unknown plan version."""
    plan = plan_of(due, catalogue)
    cards = [card for card, _ in due_charges(due, plan.plan.in_currency(due.currency))]
    priced = {card.meter for card in cards}
    return tuple(
        Wanted(entry, frame_of(due, entry.meter, shape), shape)
        for entry in catalogue.meters_of(plan)
        if entry.name in priced and not due.service.is_empty
        for shape in shapes_needed(cards, entry.meter)
    )


def all_wanted(periods: Sequence[DuePeriod], catalogue: Catalogue) -> tuple[Wanted, ...]:
    """What several due periods want, each once, in an order that depends on nothing else."""
    found = {wanted.key: wanted for due in periods for wanted in wanted_of(due, catalogue)}
    return tuple(sorted(found.values(), key=lambda wanted: wanted.order))


def frame_of(due: DuePeriod, meter: Meter, shape: Shape) -> Frame:
    """Where and how the usage of a due period is looked at."""
    prorated = meter.aggregation in PRORATED
    plain = Frame(due.service, gaps=due.pauses, subjects=due.subjects, other_subjects=due.other_subjects)
    if not prorated and not shape.window:
        return plain
    return replace(
        plain,
        time_zone=due.time_zone,
        full_period=due.period if prorated else None,
        window=shape.window or None,
        anchor=(due.anchor or due.period.start) if shape.window == "month" else None,
    )
