"""The stages of a charge up to a moment: gross, discount, cap, top-up, each rounded. Source: rating.md §3, "Slices".

They are a function of the cumulative usage; a slice bills their differences, so slices cannot change the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pipeline.calendar.proration import Basis, part_of, proration
from pipeline.calendar.windows import windows_of
from pipeline.rating.commitment import Committed, Segment, commit, commit_windows, rounded, term_parts
from pipeline.rating.gross import Gross, Part, gross_of
from pipeline.rating.pricing import UsageRow, Used, price_quantity
from schemas.money import Currency, allocate, round_money
from schemas.period import Period
from schemas.plan import Commitment, Interval, Prorated, RateCard
from schemas.quantity import HUNDRED, ONE, ZERO, exactly
from schemas.rated_line import CommitmentUse, ProrationUse, StageAmounts, TermSoFar

Key = tuple[object, ...]
NOTHING = StageAmounts()


UNKNOWN_TERM = "commitment per term: the cost of the term's earlier periods is not known"


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a charge is rated: when and where it was served, in which currency, and what its lines name."""

    currency: Currency
    period: Period
    """The full grid period: the denominator of every proration."""
    service: Period
    """The part of it that was served."""
    time_zone: str = "UTC"
    price_version: str | None = None
    meter_version: str | None = None
    aggregation: str | None = None
    unit: str = ""
    prorate_free_units: bool = False
    """After a change in mid-period free units shrink with the service, or a daily change would buy them daily."""
    share: ProrationUse | None = None
    """What of the period was served, if that is not all of `service`: around pauses."""
    trial: bool = False
    """Usage of a trial is rated and shown, with a discount of all of it."""
    waived: bool = False
    """So is what a recorded override gives away."""
    term: TermSoFar | None = None
    """For a commitment over several periods: what those before this one used of it."""
    anchor: datetime | None = None
    """Where the billing grid is anchored; windows of a month follow it, clamped from its day."""

    @property
    def given(self) -> Literal["trial", "waiver"] | None:
        """Why all of it is given away, if it is."""
        return "trial" if self.trial else "waiver" if self.waived else None


@dataclass(frozen=True, slots=True)
class PartStages:
    """One part with its share of the charge's stages, and its amount before any rounding."""

    part: Part
    amounts: StageAmounts
    exact: Decimal


@dataclass(frozen=True, slots=True)
class Stages:
    """What a charge comes to for its usage since the start of the period."""

    total: StageAmounts = NOTHING
    parts: Mapping[Key, PartStages] = field(default_factory=dict)
    commitment: CommitmentUse | None = None
    unpriced: tuple[object, ...] = ()
    """Usage that no price covers: an error on the draft that stops its finalisation."""


@exactly
def stages_of(card: RateCard, used: Used, terms: Terms, *, final: bool, until: datetime | None = None) -> Stages:
    """The stages for usage from the start of the period to the end of a slice.

    The top-up to the minimum and the true-up of a commitment are owed by the final slice only; window commitments
    true up the windows that ended by `until` (all of them in the final slice). A span of no length costs nothing.
    """
    if terms.service.is_empty:
        return Stages(_nothing(terms.currency))
    free_units = prorated(card, "free_units", card.free_units, terms, always=terms.prorate_free_units)
    gross = gross_of(card, used, terms.currency, free_units)
    if card.meter is None:
        gross = _served(card, gross, terms)
    if card.commitment is None:
        return _bounded(card, gross, terms, final=final)
    factor = (HUNDRED - (card.percentage_discount or ZERO)) / HUNDRED
    amount = _committed_amount(card, card.commitment, factor)
    if not isinstance(card.commitment.per, Interval):
        parts = _commitment_parts(card, card.commitment, gross, used, terms, amount, factor, final=final, until=until)
    elif terms.term is None:
        bounded = _bounded(card, gross, terms, final=final)
        return replace(bounded, unpriced=(*bounded.unpriced, UNKNOWN_TERM))
    else:
        base = _base(gross, factor)
        parts = term_parts(
            base, prior_base=terms.term.prior_base, commitment=_of_term(card, amount, terms.term),
            overage_factor=card.commitment.overage_factor,
            true_up=card.commitment.trues_up and final and terms.term.is_last,
        )  # fmt: skip
        return _committed(gross, parts, terms.currency, base)
    return _committed(gross, parts, terms.currency)


def _nothing(currency: Currency) -> StageAmounts:
    zero = round_money(ZERO, currency)
    return StageAmounts(zero, zero, zero, zero)


def share_of(card: RateCard, terms: Terms) -> ProrationUse | None:
    """The part of the period that was served, if the charge is prorated at all."""
    if not card.proration:
        return None
    return terms.share or proration(terms.service, terms.period, terms.time_zone, card.proration.basis)


def prorated(
    card: RateCard, what: Prorated, amount: Decimal | None, terms: Terms, *, always: bool = False
) -> Decimal | None:
    """An amount of a card for the served part of its period, if that amount is prorated; exact."""
    if amount is None or not card.proration or not (always or what in card.proration.applies_to):
        return amount
    return part_of(amount, share_of(card, terms))


def _served(card: RateCard, gross: Gross, terms: Terms) -> Gross:
    """The fee for the served part of its period; one-time fees are owed in full."""
    if card.one_time or not card.proration or "fee" not in card.proration.applies_to:
        return gross
    fee = gross.parts[0]
    exact = part_of(fee.exact, share_of(card, terms))
    return Gross((_with_amount(fee, exact, terms.currency),))


def _with_amount(part: Part, exact: Decimal, currency: Currency) -> Part:
    return Part(
        part.key, part.dimensions, part.quantity, part.converted, part.billed, exact,
        round_money(exact, currency), part.events, part.tiers, part.buckets, part.transactions,
    )  # fmt: skip


def _bounded(card: RateCard, gross: Gross, terms: Terms, *, final: bool) -> Stages:
    currency = terms.currency
    nothing = round_money(ZERO, currency)
    total = sum((part.gross for part in gross.parts), nothing)
    discount = nothing
    if card.percentage_discount is not None:
        discount = round_money(total * card.percentage_discount / HUNDRED, currency)
    maximum = prorated(card, "maximum", card.maximum, terms)
    cap = nothing if maximum is None else max(nothing, round_money(total - discount - maximum, currency))
    minimum = prorated(card, "minimum", card.minimum, terms)
    top_up = nothing
    if final and minimum is not None:
        top_up = max(nothing, round_money(minimum - (total - discount - cap), currency))
    amounts = StageAmounts(total, discount, cap, top_up)
    return Stages(amounts, _shares(card, gross.parts, amounts, currency), unpriced=gross.unpriced)


def _shares(card: RateCard, parts: Sequence[Part], total: StageAmounts, currency: Currency) -> dict[Key, PartStages]:
    """Each part with its share of discount and cap, by largest remainder over the gross amounts."""
    factor = (HUNDRED - (card.percentage_discount or ZERO)) / HUNDRED
    if len(parts) == 1:
        amounts = StageAmounts(total.gross, total.discount, total.cap_discount, round_money(ZERO, currency))
        return {parts[0].key: PartStages(parts[0], amounts, parts[0].exact * factor - total.cap_discount)}
    weights = [part.gross for part in parts]
    discounts = allocate(total.discount, weights, currency)
    caps = allocate(total.cap_discount, weights, currency)
    return {
        part.key: PartStages(part, StageAmounts(part.gross, discount, cap, cap - cap), part.exact * factor - cap)
        for part, discount, cap in zip(parts, discounts, caps, strict=True)
    }


def _of_term(card: RateCard, amount: Decimal, term: TermSoFar) -> Decimal:
    """The commitment for the part of its term that is served, if it is prorated."""
    return part_of(amount, term.share) if card.proration and "commitment" in card.proration.applies_to else amount


def _committed(gross: Gross, parts: Committed, currency: Currency, base: Decimal | None = None) -> Stages:
    use = replace(rounded(parts, currency), base=base)
    total = replace(_nothing(currency), gross=use.utilized + use.overage + use.true_up)
    return Stages(total, _committed_shares(gross.parts, total, parts, currency), use, gross.unpriced)


def _base(gross: Gross, factor: Decimal) -> Decimal:
    """The exact amount after the percentage discount: what a commitment is compared with."""
    return sum((part.exact for part in gross.parts), ZERO) * factor


def _commitment_parts(
    card: RateCard,
    commitment: Commitment,
    gross: Gross,
    used: Used,
    terms: Terms,
    amount: Decimal,
    factor: Decimal,
    *,
    final: bool,
    until: datetime | None,
) -> Committed:
    if commitment.per != "period":
        return commit_windows(_segments(card, commitment, amount, factor, used, terms, final=final, until=until))
    owed = prorated(card, "commitment", amount, terms) or ZERO
    true_up = commitment.trues_up and final
    return commit(_base(gross, factor), owed, commitment.overage_factor, true_up=true_up)


def _committed_amount(card: RateCard, commitment: Commitment, factor: Decimal) -> Decimal:
    """A committed quantity becomes an amount by the same price and discount, counting units after free units."""
    if commitment.amount is not None:
        return commitment.amount
    return price_quantity(card.price, commitment.quantity or ZERO).amount * factor  # type: ignore[arg-type]


def _committed_shares(
    parts: Sequence[Part], total: StageAmounts, committed: Committed, currency: Currency
) -> dict[Key, PartStages]:
    if len(parts) <= 1:
        part = parts[0] if parts else Part((), {}, ZERO, ZERO, ZERO, ZERO, total.gross, 0)
        return {part.key: PartStages(part, total, committed.amount)}
    amounts = allocate(total.gross, _weights(parts), currency)
    return {
        part.key: PartStages(part, replace(total, gross=amount), amount)
        for part, amount in zip(parts, amounts, strict=True)
    }


def _weights(parts: Sequence[Part]) -> list[Decimal]:
    """What a commitment is spread over: rounded costs, or exact ones; if all are 0 it stands on the first line."""
    weights = [part.gross for part in parts]
    if not any(weights):
        weights = [part.exact for part in parts]
    return weights if any(weights) else [ONE, *[ZERO] * (len(parts) - 1)]


def _segments(
    card: RateCard,
    commitment: Commitment,
    amount: Decimal,
    factor: Decimal,
    used: Used,
    terms: Terms,
    *,
    final: bool,
    until: datetime | None,
) -> list[Segment]:
    """Each window with what its usage adds to the price of the period so far, and its commitment."""
    if isinstance(used, Decimal) and used:
        raise ValueError(f"usage: a commitment per {commitment.per} needs rows with their windows")
    rows: Sequence[UsageRow] = () if isinstance(used, Decimal) else used
    segments = []
    so_far: list[UsageRow] = []
    priced = ZERO
    free_units = prorated(card, "free_units", card.free_units, terms, always=terms.prorate_free_units)
    for window in windows_of(commitment.per, terms.service, terms.time_zone, anchor=terms.anchor or terms.period.start):  # type: ignore[arg-type]
        so_far += [row for row in rows if row.window is not None and window.contains(row.window.start)]
        now = sum((part.exact for part in gross_of(card, so_far, terms.currency, free_units).parts), ZERO)
        elapsed = final or (until is not None and window.end <= until)
        owed = _window_commitment(card, amount, window, terms)
        segments.append(
            Segment((now - priced) * factor, owed, commitment.overage_factor, commitment.trues_up and elapsed)
        )
        priced = now
    return segments


def _window_commitment(card: RateCard, amount: Decimal, window: Period, terms: Terms) -> Decimal:
    """The commitment of a window, for the part of it that was served."""
    if not card.proration or "commitment" not in card.proration.applies_to or terms.service.encloses(window):
        return amount
    basis: Basis = "second" if window.length.total_seconds() <= 3600 else card.proration.basis
    return part_of(amount, proration(terms.service.intersection(window), window, terms.time_zone, basis))
