"""A rated line computed again from what it holds, without the live catalogue. Source: rating.md §10.

It goes through the same functions that rated it. A line that does not come out the same was changed, or was rated by
other rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pipeline.rating.charge_lines import fee_line
from pipeline.rating.gross import Part, gross_of
from pipeline.rating.pricing import UsageRow, Used, convert
from pipeline.rating.rated_lines import emptied, has_parts, line_of, needs_rows, top_up_of, unpriced_of
from pipeline.rating.stages import PartStages, Stages, Terms, prorated, stages_of
from schemas.money import Currency, round_money
from schemas.plan import Proration, RateCard
from schemas.price import Dynamic, Matrix, Percentage
from schemas.quantity import HUNDRED, ZERO, exactly
from schemas.rated_line import Conditions, Modifiers, RatedLine, StageAmounts, TierUse

_GIVEN = ("meter_version", "aggregation", "unit", "events", "invalid_events", "groups", "name", "tax_rates")
"""What a line says beside its calculation: kept as it is."""


@exactly
def recompute(line: RatedLine, transactions: Sequence[Decimal] | None = None) -> RatedLine:
    """The line as its own price, modifiers, terms and quantities give it; equal to it if it is right.

    A percentage price needs the `transactions` again, in order: a line holds their number, not all of them. Where a
    discount, cap or commitment was spread over several lines of a charge (prices by dimension), this line's share is
    taken as it stands. Raises ValueError for a line without what its price needs.
    """
    card, terms = card_of(line), _terms(line)
    conditions = replace(line.conditions or Conditions(), previous_exact=ZERO)
    if line.kind in ("one_off", "credits"):
        return line  # its amount is what was asked for
    if line.kind in ("unpriced", "waived"):
        row = UsageRow(line.quantity, line.dimensions, None, line.events)
        again = unpriced_of(card, row, line.problem or "", terms, line.kind)
    elif line.kind == "top_up":
        again = _top_up(line, card, terms, conditions)
    elif line.kind == "fee" and line.previous is None:
        again = fee_line(card, terms)
    else:
        again = _usage(line, card, terms, conditions, transactions)
    return again.model_copy(update={name: getattr(line, name) for name in _GIVEN})


def card_of(line: RatedLine) -> RateCard:
    """The rate card as the line holds it."""
    modifiers = line.modifiers or Modifiers()
    share = line.proration
    own: dict[str, Any] = {name: getattr(modifiers, name) for name in Modifiers.model_fields}
    return RateCard.model_construct(
        id=line.charge,
        name=line.name,
        meter=line.meter,
        price=line.price,
        proration=False if share is None else Proration(basis=share.basis, applies_to=share.applies_to),
        tax_rates=line.tax_rates,
        **own,
    )


def _terms(line: RatedLine) -> Terms:
    held = line.conditions or Conditions()
    return Terms(
        currency=Currency(line.currency, line.minor_units),
        period=line.period,
        service=line.service,
        time_zone=line.time_zone,
        price_version=line.price_version,
        share=line.proration,
        trial=held.is_trial,
        waived=held.is_waived,
        term=held.term,
        anchor=held.anchor,
    )


def _top_up(line: RatedLine, card: RateCard, terms: Terms, conditions: Conditions) -> RatedLine:
    minimum = prorated(card, "minimum", card.minimum, terms)
    if line.reached is None or minimum is None:
        raise ValueError("reached: a top-up names its minimum and what the charge reached without it")
    zero = round_money(ZERO, terms.currency)
    owed = conditions.is_final and not terms.service.is_empty
    top_up = max(zero, round_money(minimum - line.reached, terms.currency)) if owed else zero
    return top_up_of(card, line.reached, top_up, line.previous, terms, conditions)


def _usage(
    line: RatedLine, card: RateCard, terms: Terms, conditions: Conditions, transactions: Sequence[Decimal] | None
) -> RatedLine:
    used = _used(line, card, transactions)
    if has_parts(card):
        stages = Stages(commitment=line.commitment)
        part = _part_of_several(line, card, terms, used)
    else:
        stages = stages_of(card, used, terms, final=conditions.is_final, until=conditions.until)
        part = next(iter(stages.parts.values()), None) or emptied(PartStages(_nothing(), StageAmounts(), ZERO))
    before = None
    if line.previous is not None:
        previous_exact = line.conditions.previous_exact if line.conditions else ZERO
        before = PartStages(part.part, line.previous, previous_exact)
    return line_of(card, part, before, stages, terms, conditions)


def _used(line: RatedLine, card: RateCard, transactions: Sequence[Decimal] | None) -> Used:
    if needs_rows(card):
        return line.usage
    if not isinstance(line.price, Percentage):
        return line.quantity
    if transactions is None:
        raise ValueError("transactions: a percentage price is computed from every transaction, in order")
    return tuple(UsageRow(amount) for amount in transactions)


def _nothing() -> Part:
    return Part((), {}, ZERO, ZERO, ZERO, ZERO, ZERO, 0)


def _part_of_several(line: RatedLine, card: RateCard, terms: Terms, used: Used) -> PartStages:
    """One line of a price by dimension: its own price again, its share of what the charge's lines have in common."""
    part = _group(line, card, terms, used) if isinstance(line.price, Dynamic) else _entry(line, card, terms)
    before = line.previous or StageAmounts()
    if card.commitment is not None:
        previous_exact = line.conditions.previous_exact if line.conditions else ZERO
        zero = round_money(ZERO, terms.currency)
        # The share of a commitment: what was billed before, and this line's own before any trial.
        amounts = StageAmounts(before.gross + line.gross, zero, zero, zero)
        exact = previous_exact + (line.amount_exact if not terms.given else line.gross)
        return PartStages(part, amounts, exact)
    taken = {discount.source: discount.amount for discount in line.discounts}
    discount = before.discount + taken.get("percentage_discount", ZERO)
    cap = before.cap_discount + taken.get("maximum", ZERO)
    factor = (HUNDRED - (card.percentage_discount or ZERO)) / HUNDRED
    amounts = StageAmounts(part.gross, discount, cap, cap - cap)
    return PartStages(part, amounts, part.exact * factor - cap)


def _group(line: RatedLine, card: RateCard, terms: Terms, used: Used) -> Part:
    if not (line.tiers or line.quantity or line.events):
        # Nothing was used: a commitment that is owed all the same, or a group that had usage in an earlier slice only.
        return replace(_nothing(), dimensions=line.dimensions)
    alone = card.model_copy(update={"price": line.price.model_copy(update={"group_by": ()})})
    free_units = prorated(card, "free_units", card.free_units, terms)
    (part,) = gross_of(alone, used, terms.currency, free_units).parts
    return replace(part, dimensions=line.dimensions, events=line.events)


def _entry(line: RatedLine, card: RateCard, terms: Terms) -> Part:
    """Free units of a matrix are taken in order of its lines, so the billed quantity is the line's own."""
    if not isinstance(line.price, Matrix):
        raise ValueError(f"price: {line.price.model} has no lines per dimension")
    converted = convert(card.unit_conversion, line.quantity)
    unit_price = line.tiers[0].unit_price if line.tiers else ZERO
    amount = line.billed_quantity * unit_price
    tiers = (TierUse(None, line.billed_quantity, unit_price, ZERO, amount),) if line.tiers else ()
    gross = round_money(amount, terms.currency)
    return Part((), line.dimensions, line.quantity, converted, line.billed_quantity, amount, gross, line.events, tiers)
