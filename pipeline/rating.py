"""A charge and its usage become rated lines that explain themselves. Source: rating.md §3 and §10.

A slice bills what its usage adds: the difference of each stage to the end of the slice before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from pipeline.pricing import UsageRow, Used
from pipeline.stages import NOTHING, Key, PartStages, Stages, Terms, share_of, stages_of
from schemas.customer_state import DuePeriod
from schemas.meter import Meter
from schemas.money import Currency, currency
from schemas.plan import RateCard
from schemas.price import Flat
from schemas.quantity import ZERO, exactly
from schemas.rated_line import GroupUse, Kind, LineDiscount, Modifiers, ProrationUse, RatedLine, StageAmounts


@dataclass(frozen=True, slots=True)
class Usage:
    """Aggregated usage of one group: its value, and how many events stand behind it."""

    group: tuple[str | None, ...]
    value: Decimal
    events: int
    invalid_events: int = 0


@dataclass(frozen=True, slots=True)
class RatedSlice:
    """The lines of one slice, what it bills in all, and the stages at its end, from which the next one subtracts."""

    lines: tuple[RatedLine, ...]
    billed: StageAmounts
    stages: Stages

    @property
    def unpriced(self) -> tuple[object, ...]:
        """Usage without a price: the document must not become final while there is any."""
        return self.stages.unpriced


@exactly
def rate_slice(
    card: RateCard,
    used: Used,
    terms: Terms,
    *,
    previous: Stages | None = None,
    final: bool = True,
    until: datetime | None = None,
) -> RatedSlice:
    """The lines of a slice: what all usage since the start of the period comes to, less what was billed before.

    `previous` is the stages at the end of the slice before; None makes this the first, which subtracts nothing, so that
    a first tier's fee is billed even without usage. Amounts may be negative: late corrections give back.
    """
    stages = stages_of(card, used, terms, final=final, until=until)
    before = previous.total if previous else NOTHING
    billed = _difference(stages.total, before)
    lines = _lines(card, stages, previous, terms)
    if billed.top_up:
        lines = (*lines, _top_up(card, stages, before if previous else None, terms))
    return RatedSlice(lines, billed, stages)


def rate_runs(
    card: RateCard, runs: Sequence[Used], terms: Terms, *, final_run: int | None = None
) -> tuple[RatedSlice, ...]:
    """Successive runs over one period, each with all usage known then: it bills its total less the one before.

    From `final_run` on totals include the minimum.
    """
    rated: list[RatedSlice] = []
    for index, used in enumerate(runs):
        previous = rated[-1].stages if rated else None
        final = final_run is not None and index >= final_run
        rated.append(rate_slice(card, used, terms, previous=previous, final=final))
    return tuple(rated)


def rate_fee(card: RateCard, due: DuePeriod, money: Currency | None = None) -> RatedLine:
    """The line of a fee for the served part of its period, also if it is 0."""
    terms = terms_of(due, money)
    stages = stages_of(card, ZERO, terms, final=True)
    parts = stages.parts or stages_of(card, ZERO, replace(terms, service=terms.period), final=True).parts
    (part,) = parts.values()
    if not stages.parts:
        part = replace(part, amounts=stages.total, exact=ZERO)
    return _line(card, part, None, stages, terms)


def rate_usage(
    card: RateCard, due: DuePeriod, meter: Meter, version: str, usage: Sequence[Usage], money: Currency | None = None
) -> tuple[RatedLine, ...]:
    """The lines of a rate card for all usage of its meter in a period that has ended: one part, or one per dimension.

    Groups are priced together: a group-by serves reading and prices by dimension; a scalar price counts its tiers over
    the meter's whole quantity. Without usage there is a line only if something is owed.
    """
    terms = replace(terms_of(due, money), meter_version=version, aggregation=meter.aggregation, unit=meter.unit)
    rows = tuple(
        UsageRow(row.value, dict(zip(meter.group_by, row.group, strict=True)), None, row.events) for row in usage
    )
    groups = tuple(GroupUse(row.values, row.quantity, row.events) for row in rows)
    lines = rate_slice(card, rows, terms).lines
    invalid = sum(row.invalid_events for row in usage)
    if len(lines) == 1 or (lines and not lines[0].dimensions):
        first = lines[0].model_copy(update={"groups": groups, "invalid_events": invalid})
        return (first, *lines[1:])
    return lines


def terms_of(due: DuePeriod, money: Currency | None = None) -> Terms:
    """The terms of a due period; `money` for a plan in a custom unit."""
    return Terms(
        currency=money or currency(due.currency),
        period=due.period,
        service=due.service,
        time_zone=due.time_zone,
        price_version=due.plan_version,
    )


def _lines(card: RateCard, stages: Stages, previous: Stages | None, terms: Terms) -> tuple[RatedLine, ...]:
    """A line per part that has usage or an amount; parts of the slice before that are gone are taken back."""
    before = previous.parts if previous else {}
    lines = [
        _line(card, part, before.get(key), stages, terms)
        for key, part in stages.parts.items()
        if _is_shown(part, before.get(key))
    ]
    gone = [_line(card, _emptied(part), part, stages, terms) for key, part in before.items() if key not in stages.parts]
    return (*lines, *gone)


def _is_shown(part: PartStages, before: PartStages | None) -> bool:
    if before is None:
        return bool(part.part.quantity or part.part.events or part.amounts.gross)
    return part.part.quantity != before.part.quantity or part.amounts != before.amounts


def _emptied(part: PartStages) -> PartStages:
    empty = replace(part.part, quantity=ZERO, converted=ZERO, billed=ZERO, exact=ZERO, gross=ZERO, events=0, tiers=())
    return PartStages(replace(empty, buckets=(), transactions=None), NOTHING, ZERO)


def _line(card: RateCard, part: PartStages, before: PartStages | None, stages: Stages, terms: Terms) -> RatedLine:
    billed = _difference(part.amounts, before.amounts if before else NOTHING)
    amount = billed.capped
    exact = part.exact - (before.exact if before else ZERO)
    discounts = [("percentage_discount", billed.discount), ("maximum", billed.cap_discount)]
    if terms.trial:
        discounts.append(("trial", amount))
        amount = exact = amount - amount
    quantity = card.price.quantity if isinstance(card.price, Flat) else part.part.quantity
    own = {
        "dimensions": part.part.dimensions,
        "quantity": quantity,
        "converted_quantity": quantity if isinstance(card.price, Flat) else part.part.converted,
        "billed_quantity": part.part.billed,
        "unit_price": part.part.exact / part.part.billed if part.part.billed else ZERO,
        "events": part.part.events,
        "tiers": part.part.tiers,
        "buckets": part.part.buckets,
        "transactions": part.part.transactions,
        "commitment": stages.commitment,
        "previous": before.amounts if before else None,
        "gross": billed.gross,
        "discounts": tuple(LineDiscount(source, taken) for source, taken in discounts if taken),  # type: ignore[arg-type]
        "amount_exact": exact,
        "amount": amount,
    }
    return _blank(card, terms, "fee" if card.meter is None else "usage").model_copy(update=own)


def _top_up(card: RateCard, stages: Stages, before: StageAmounts | None, terms: Terms) -> RatedLine:
    """The separate line that lifts a charge to its minimum."""
    amount = stages.total.top_up - (before.top_up if before else ZERO)
    discounts = (LineDiscount("trial", amount),) if terms.trial else ()
    billed = amount - amount if terms.trial else amount
    own = {"previous": before, "gross": amount, "discounts": discounts, "amount_exact": billed, "amount": billed}
    return _blank(card, terms, "top_up").model_copy(update=own)


def _blank(card: RateCard, terms: Terms, kind: Kind) -> RatedLine:
    """A line with what is common to all lines of a charge. Not validated again: all of it is ours."""
    return RatedLine.model_construct(
        charge=card.id,
        name=card.name or card.id,
        kind=kind,
        meter=card.meter,
        meter_version=terms.meter_version,
        aggregation=terms.aggregation,
        price_version=terms.price_version,
        period=terms.period,
        service=terms.service,
        time_zone=terms.time_zone,
        currency=terms.currency.code,
        minor_units=terms.currency.minor_units,
        price=card.price,
        modifiers=_modifiers(card),
        unit=terms.unit,
        proration=_shown_share(card, terms),
        tax_rates=card.tax_rates,
    )


def _modifiers(card: RateCard) -> Modifiers | None:
    found = {name: getattr(card, name) for name in _MODIFIERS if getattr(card, name) is not None}
    if not found:
        return None
    return Modifiers.model_construct(free_units_reset=card.free_units_reset, **found)


_MODIFIERS = tuple(name for name in Modifiers.model_fields if name != "free_units_reset")


def _shown_share(card: RateCard, terms: Terms) -> ProrationUse | None:
    """The proration of a line on which something was prorated; usage prices are not."""
    if card.one_time or not card.proration:
        return None
    bounds = (card.minimum, card.commitment) if card.meter is not None else (ZERO,)
    if all(bound is None for bound in bounds) and not terms.prorate_free_units:
        return None
    return share_of(card, terms)


def _difference(now: StageAmounts, before: StageAmounts) -> StageAmounts:
    return StageAmounts(
        now.gross - before.gross,
        now.discount - before.discount,
        now.cap_discount - before.cap_discount,
        now.top_up - before.top_up,
    )


__all__ = ["Key", "RatedSlice", "Stages", "Terms", "Usage", "rate_fee", "rate_runs", "rate_slice", "rate_usage"]
