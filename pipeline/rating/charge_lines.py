"""A charge and its usage become rated lines that explain themselves. Source: rating.md §3 and §10.

A slice bills what its usage adds: the difference of each stage to the end of the slice before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pipeline.calendar.proration import proration
from pipeline.closing.issued import billed_before
from pipeline.meters.usage_needed import GROUPS, missing, shape_needed, windows_needed
from pipeline.rating.pricing import UsageRow, Used, total
from pipeline.rating.rated_lines import difference, emptied, line_of, top_up_of, unpriced_of
from pipeline.rating.stages import NOTHING, Key, PartStages, Stages, Terms, stages_of
from schemas.customer_state import DuePeriod
from schemas.issued_line import IssuedLine
from schemas.meter import GROUPS_MAX, OVERFLOW_GROUP, Meter
from schemas.money import Currency, currency
from schemas.period import Period
from schemas.plan import RateCard
from schemas.quantity import ZERO, exactly
from schemas.rated_line import Conditions, GroupUse, ProrationUse, RatedLine, StageAmounts


@dataclass(frozen=True, slots=True)
class Usage:
    """Aggregated usage of one group: its value, and how many events stand behind it."""

    group: tuple[str | None, ...]
    value: Decimal
    events: int
    invalid_events: int = 0
    window: Period | None = None
    """Its window, for rate cards that count by window (`usage_needed`)."""
    shape: str = GROUPS.name
    """How it was cut (`usage_needed.Shape`): a rate card takes the rows of its own shape."""


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
    conditions = conditions_of(terms, final=final, until=until)
    before = previous.total if previous else NOTHING
    billed = difference(stages.total, before)
    lines = _lines(card, stages, previous, terms, conditions)
    if billed.top_up:
        earlier = before if previous else None
        lines = (*lines, top_up_of(card, stages.total.capped, stages.total.top_up, earlier, terms, conditions))
    return RatedSlice(lines, billed, stages)


def conditions_of(terms: Terms, *, final: bool = True, until: datetime | None = None) -> Conditions:
    """What a slice of these terms rests on beside price and usage."""
    return Conditions(
        is_final=final, until=until, is_trial=terms.trial, is_waived=terms.waived, anchor=terms.anchor, term=terms.term
    )


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
    return fee_line(card, terms_of(due, money, card))


@exactly
def rate_fee_anew(card: RateCard, terms: Terms, issued: Sequence[IssuedLine]) -> tuple[RatedLine, ...]:
    """What a fee that was billed before is owed now, less what was issued for it: a line if that is not 0."""
    stages = stages_of(card, ZERO, terms, final=True)
    return rate_slice(card, ZERO, terms, previous=billed_before(stages, issued)).lines


@exactly
def fee_line(card: RateCard, terms: Terms) -> RatedLine:
    """The line of a fee under its terms; a span of no length costs 0."""
    stages = stages_of(card, ZERO, terms, final=True)
    parts = stages.parts or stages_of(card, ZERO, replace(terms, service=terms.period, share=None), final=True).parts
    (part,) = parts.values()
    if not stages.parts:
        part = replace(part, amounts=stages.total, exact=ZERO)
    return line_of(card, part, None, stages, terms, conditions_of(terms))


def rate_usage(
    card: RateCard, due: DuePeriod, meter: Meter, version: str, usage: Sequence[Usage], money: Currency | None = None
) -> tuple[RatedLine, ...]:
    """The lines of a rate card for all usage of its meter in a period that has ended: one part, or one per dimension.

    Groups are priced together: a group-by serves reading and prices by dimension; a scalar price counts its tiers over
    the meter's whole quantity. Without usage there is a line only if something is owed. Usage without a price has a
    line of its own (kind `unpriced`), which stops finalisation: it is never silently free. So has the usage of groups
    beyond the limit.
    """
    return rate_metered(card, terms_of(due, money, card), meter, version, usage)


@exactly
def rate_metered(
    card: RateCard,
    terms: Terms,
    meter: Meter,
    version: str,
    usage: Sequence[Usage],
    issued: Sequence[IssuedLine] | None = None,
    *,
    kind: Literal["unpriced", "waived"] = "unpriced",
    until: datetime | None = None,
) -> tuple[RatedLine, ...]:
    """`rate_usage` under given terms; with `issued` the difference to the lines that were issued before.

    With `until` it is a slice up to then of a period that runs on: without minimum and true-up.
    `kind` is what becomes of usage without a price: a line that stops finalisation, or one that was waived.
    """
    terms = replace(terms, meter_version=version, aggregation=meter.aggregation, unit=meter.unit)
    kept, crowd = _without_crowd(_of_shape(card, meter, usage))
    rows = tuple(_row(meter, row) for row in kept)
    problem = missing(card, meter, rows)
    if problem is not None:
        return (unpriced_of(card, _all_of(rows), problem, terms, kind),)
    final, previous = until is None, None
    if issued is not None:
        previous = billed_before(stages_of(card, rows, terms, final=final, until=until), issued)
    rated = rate_slice(card, rows, terms, previous=previous, final=final, until=until)
    unpriced = tuple(unpriced_of(card, row, why, terms, kind) for row, why in reasons(rated.unpriced))
    if crowd:
        unpriced += (unpriced_of(card, _all_of([_row(meter, row) for row in crowd]), CROWDED, terms, kind),)
    groups = _groups_of(rows)
    invalid = sum(row.invalid_events for row in usage if row.shape == GROUPS.name)
    lines = rated.lines
    if lines and (len(lines) == 1 or not lines[0].dimensions):
        first = lines[0].model_copy(update={"groups": groups, "invalid_events": invalid})
        lines = (first, *lines[1:])
    return (*lines, *unpriced)


def _of_shape(card: RateCard, meter: Meter, usage: Sequence[Usage]) -> Sequence[Usage]:
    """The rows that were cut for the card; those by group where none were, so that `missing` says what they lack."""
    wanted = shape_needed(card, meter).name
    found = [row for row in usage if row.shape == wanted]
    return found or [row for row in usage if row.shape == GROUPS.name and row.events]


def _without_crowd(usage: Sequence[Usage]) -> tuple[list[Usage], list[Usage]]:
    """The rows of groups that keep their names, and of the one that holds all others."""
    crowd = [row for row in usage if _is_crowd(row)]
    return [row for row in usage if not _is_crowd(row)] if crowd else list(usage), crowd


def _is_crowd(row: Usage) -> bool:
    return bool(row.group) and set(row.group) == {OVERFLOW_GROUP}


def _row(meter: Meter, row: Usage) -> UsageRow:
    values = dict(zip(meter.group_by, row.group, strict=True)) if row.group else {}
    return UsageRow(row.value, values, row.window, row.events)


def _groups_of(rows: Sequence[UsageRow]) -> tuple[GroupUse, ...]:
    """What each group used, for reading; rows of a window have none."""
    found: dict[tuple[tuple[str, str | None], ...], tuple[Decimal, int]] = {}
    for row in rows:
        if row.window is None:
            quantity, events = found.get(key := tuple(row.values.items()), (ZERO, 0))
            found[key] = (quantity + row.quantity, events + row.events)
    return tuple(GroupUse(dict(key), quantity, events) for key, (quantity, events) in found.items())


def _all_of(rows: Sequence[UsageRow]) -> UsageRow:
    return UsageRow(total(rows), {}, None, sum(row.events for row in rows))


def reasons(found: Sequence[object]) -> list[tuple[UsageRow, str]]:
    """What no price covers, with the reason: rows by their dimensions, negative transactions, units above all tiers."""
    rows: dict[tuple[tuple[str, str | None], ...], list[UsageRow]] = {}
    told: list[tuple[UsageRow, str]] = []
    for one in found:
        if isinstance(one, UsageRow):
            rows.setdefault(tuple(one.values.items()), []).append(one)
        elif isinstance(one, Decimal):
            told.append((UsageRow(one), "a negative transaction has no price: a refund is a correction of its event"))
        elif isinstance(one, tuple):
            told.append((UsageRow(one[1], {"component": one[0]}), "no tier reaches this many units"))
        else:
            told.append((UsageRow(ZERO, {}, None, 0), str(one)))
    by_group = [(replace(_all_of(same), values=dict(group)), NO_ENTRY) for group, same in rows.items()]
    return [*by_group, *told]


CROWDED = f"more than {GROUPS_MAX} groups of the meter: leave a dimension out of its group_by, or mend the events"
NO_ENTRY = "no entry of the matrix matches, and it has no default_unit_price"


def terms_of(due: DuePeriod, money: Currency | None = None, card: RateCard | None = None) -> Terms:
    """The terms of a due period; `money` for a plan in a custom unit. Around pauses the `card` says how days count."""
    return Terms(
        currency=money or currency(due.currency),
        period=due.period,
        service=due.service,
        time_zone=due.time_zone,
        price_version=due.plan_version,
        prorate_free_units=due.prorate_free_units,
        share=_share(due, card) if due.pauses else None,
        trial=due.trial,
        anchor=due.anchor if card is not None and "month" in windows_needed(card) else None,
    )


def _share(due: DuePeriod, card: RateCard | None) -> ProrationUse:
    """What of the period was served, without the pauses."""
    basis = card.proration.basis if card is not None and card.proration else "day"
    shares = [proration(span, due.period, due.time_zone, basis) for span in due.served]
    return ProrationUse(sum((share.numerator for share in shares), ZERO), shares[0].denominator, basis)


def _lines(
    card: RateCard, stages: Stages, previous: Stages | None, terms: Terms, conditions: Conditions
) -> tuple[RatedLine, ...]:
    """A line per part that has usage or an amount; parts of the slice before that are gone are taken back."""
    before = previous.parts if previous else {}
    lines = [
        line_of(card, part, before.get(key), stages, terms, conditions)
        for key, part in stages.parts.items()
        if _is_shown(part, before.get(key))
    ]
    gone = [
        line_of(card, emptied(part), part, stages, terms, conditions)
        for key, part in before.items()
        if key not in stages.parts
    ]
    return (*lines, *gone)


def _is_shown(part: PartStages, before: PartStages | None) -> bool:
    if before is None:
        return bool(part.part.quantity or part.part.events or part.amounts.gross)
    return part.part.quantity != before.part.quantity or part.amounts != before.amounts


__all__ = [
    "Key",
    "RatedSlice",
    "Stages",
    "Terms",
    "Usage",
    "rate_fee",
    "rate_fee_anew",
    "rate_metered",
    "rate_runs",
    "rate_slice",
    "rate_usage",
    "reasons",
]
