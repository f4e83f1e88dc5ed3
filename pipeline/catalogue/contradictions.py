"""What is well formed and can never be: meters that no event can feed, prices for events that a meter does not count.

Source: rating.md §0, "Validation", and §9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.calendar.periods import times
from pipeline.catalogue.fault_texts import Steps
from pipeline.subscriptions.commitments import COMMITMENT
from schemas.meter import COMPARES_TEXTS, Meter
from schemas.plan import Interval, Plan, RateCard
from schemas.price import ANY, Bucketed, Capacity, Dynamic, Matrix, Percentage, TieredBlocks
from schemas.usage_event import CORRECTION_TYPE

Found = list[tuple[Steps, str]]
ADDS_UP_OVER_WINDOWS = ("count", "sum")


def unfed(meter: Meter) -> Found:
    """Why no event can ever be counted by a meter, or none can have a value for it."""
    faults: Found = [
        (("event_types", place), f"no usage event has the type {kind!r}: corrections have it")
        for place, kind in enumerate(meter.event_types)
        if kind == CORRECTION_TYPE
    ]
    for place, entry in enumerate(meter.exclude):
        if entry and all(_all_in(meter.match.get(dimension), values) for dimension, values in entry.items()):
            faults.append((("exclude", place), "takes away every event that `match` lets in"))
    for measure in meter.measures:
        if meter.match.get(measure) == (None,):
            faults.append((("match", measure), "lets in only events without the value that the meter combines"))
    if meter.aggregation in COMPARES_TEXTS and meter.operation in meter.measures:
        problem = f"must not be {meter.operation!r}: that says whether the value is added or removed"
        faults.append((("value",), problem))
    return faults


def input_faults(card: RateCard, meter: Meter) -> Found:
    """Why a meter cannot supply what the price of a rate card needs: transactions, dimensions or windows."""
    price = card.price
    faults: Found = []
    if isinstance(price, Percentage | Dynamic) and meter.aggregation != "sum":
        problem = f"must be a sum of amounts for a {price.model} price; {meter.id} is {meter.aggregation}"
        faults.append((("meter",), problem))
    if isinstance(price, Matrix):
        faults += _matrix(price, meter)
    if isinstance(price, Bucketed) and not isinstance(price.by, str):
        faults += _ungrouped(("price", "by"), price.by, meter)
    if isinstance(price, Dynamic):
        faults += _ungrouped(("price", "group_by"), price.group_by, meter)
    if isinstance(price, TieredBlocks | Capacity):
        faults += _components(price, meter)
    return faults + _windows(card, meter)


def commitment_faults(plan: Plan) -> Found:
    """Terms that are not made of whole periods of their card; fees that a commitment of the plan cannot count."""
    faults: Found = []
    for index, card in enumerate(plan.rate_cards):
        own = card.interval or plan.interval
        term = card.commitment.per if card.commitment is not None else None
        if isinstance(term, Interval) and times(term, own) is None:
            problem = f"must be made of whole periods of the rate card, {_told(own)} each"
            faults.append((("rate_cards", index, "commitment", "per"), problem))
        if plan.commitment is None:
            continue
        if card.id == COMMITMENT:
            problem = "must be another: the true-up of the plan's commitment has it"
            faults.append((("rate_cards", index, "id"), problem))
        if not card.one_time and times(plan.interval, own) is None:
            problem = f"must fit into {_told(plan.interval)}, the plan's: its commitment counts fees of whole periods"
            faults.append((("rate_cards", index, "interval"), problem))
    return faults


def _told(interval: Interval) -> str:
    return f"{interval.count} {interval.unit}{'s' if interval.count > 1 else ''}"


def _matrix(price: Matrix, meter: Meter) -> Found:
    faults: Found = []
    for index, entry in enumerate(price.prices):
        faults += _ungrouped(("price", "prices", index, "match"), entry.match, meter)
        faults += _ungrouped(("price", "prices", index, "group_by"), entry.group_by, meter)
        faults += [
            (("price", "prices", index, "match", dimension), _never(meter, dimension))
            for dimension, values in entry.match.items()
            if ANY not in values and not _can_be(meter, dimension, values)
        ]
    return faults + _ungrouped(("price", "default_group_by"), price.default_group_by, meter)


def _components(price: TieredBlocks | Capacity, meter: Meter) -> Found:
    """Components, or units, are told apart by the only dimension of the meter; a single one needs none."""
    names = set(price.components) if isinstance(price, TieredBlocks) else {name for t in price.tiers for name in t.max}
    if len(meter.group_by) > 1 or (not meter.group_by and len(names) > 1):
        problem = f"must be grouped by exactly one dimension, whose values are {', '.join(sorted(names))}"
        return [(("meter",), f"{problem}; {meter.id} {_grouped(meter)}")]
    if not meter.group_by:
        return []
    (dimension,) = meter.group_by
    where: Steps = ("price", "components") if isinstance(price, TieredBlocks) else ("price", "tiers")
    never = [name for name in sorted(names) if not _can_be(meter, dimension, (name,))]
    return [((*where, name), _never(meter, dimension)) for name in never]


def _windows(card: RateCard, meter: Meter) -> Found:
    """Free units and commitments per window add the windows up, which is the period's quantity for few meters."""
    if meter.aggregation in ADDS_UP_OVER_WINDOWS and not meter.carry_over:
        return []
    what = f"{meter.aggregation}{' with carry_over' if meter.carry_over else ''} does not add up over windows"
    faults: Found = []
    if card.free_units_reset != "period" and card.free_units is not None:
        faults.append((("free_units_reset",), f'must be "period": {what}'))
    is_bucketed = isinstance(card.price, Bucketed)
    if card.commitment is not None and isinstance(card.commitment.per, str) and card.commitment.per != "period":
        faults += [] if is_bucketed else [(("commitment", "per"), f'must be "period": {what}')]
    return faults


def _all_in(allowed: Sequence[str | None] | None, values: Sequence[str | None]) -> bool:
    return allowed is not None and set(allowed) <= set(values)


def _can_be(meter: Meter, dimension: str, values: Sequence[str]) -> bool:
    allowed = meter.match.get(dimension)
    return allowed is None or bool(set(allowed) & set(values))


def _never(meter: Meter, dimension: str) -> str:
    counted = ", ".join("absent" if value is None else value for value in meter.match[dimension])
    return f"no event can have this: meter {meter.id} counts only {dimension} {counted}"


def _ungrouped(steps: Steps, dimensions: Mapping[str, object] | Sequence[str], meter: Meter) -> Found:
    missing = [dimension for dimension in dimensions if dimension not in meter.group_by]
    return [(steps, f"{name!r} is not a dimension of meter {meter.id}, which {_grouped(meter)}") for name in missing]


def _grouped(meter: Meter) -> str:
    return f"is grouped by {', '.join(meter.group_by)}" if meter.group_by else "has no group_by"
