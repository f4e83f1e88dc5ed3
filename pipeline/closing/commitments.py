"""What commitments come to in a run, from the lines of it and of those before. Source: rating.md §3, "Commitment"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from pipeline.calendar.proration import proration
from pipeline.rating.charge_lines import conditions_of
from pipeline.rating.rated_lines import top_up_of
from pipeline.rating.stages import Terms, prorated
from schemas.customer_state import DueCharge, DuePeriod, DueTerm
from schemas.issued_line import IssuedLine
from schemas.money import round_money
from schemas.period import Period
from schemas.plan import RateCard
from schemas.quantity import ZERO, exactly
from schemas.rated_line import ProrationUse, RatedLine, StageAmounts, TermSoFar

Issued = Mapping[tuple[str, str, int, Period], Sequence[IssuedLine]]
"""(subscription, rate card, number of the charge, grid period) -> lines."""


def so_far(due: DuePeriod, charge: DueCharge, term: DueTerm, card: RateCard, known: Iterable[Issued]) -> TermSoFar:
    """The base cost of the term's earlier periods: as their last line says; in order of `known` the later one holds."""
    bases: dict[Period, Decimal] = {}
    for issued in known:
        for (subscription, name, number, period), lines in issued.items():
            if (subscription, name, number) == (due.subscription, charge.card, charge.number):
                found = [line.base for line in lines if line.base is not None]
                if found and term.span.start <= period.start < due.period.start:
                    bases[period] = found[-1]
    return TermSoFar(prior_base=sum(bases.values(), ZERO), is_last=term.is_last, share=_share(due, term, card))


def _share(due: DuePeriod, term: DueTerm, card: RateCard) -> ProrationUse | None:
    """The part of the term that is served as far as is known, if that is not all of it."""
    basis = card.proration.basis if card.proration else "day"
    shares = [proration(span, term.span, due.time_zone, basis) for span in term.served]
    if not shares:
        return None
    share = ProrationUse(sum((one.numerator for one in shares), ZERO), shares[0].denominator, basis)
    return None if share.is_full else share


@exactly
def true_up(
    card: RateCard, due: DuePeriod, terms: Terms, known: Iterable[Issued], issued: Sequence[IssuedLine] | None
) -> tuple[RatedLine, ...]:
    """What all fees of the period lack to the prorated commitment, less what was issued for it; no line if that is 0.

    An advance fee counts for the period that it covers: lines are found by their period, whenever they were invoiced.
    """
    zero = round_money(ZERO, terms.currency)
    counted = set(due.counted)
    reached = zero
    for one in known:
        for (subscription, name, number, period), lines in one.items():
            if subscription == due.subscription and (name, number) in counted and due.period.contains(period.start):
                reached += sum((line.stages.total for line in lines), ZERO)
    before = None if issued is None else StageAmounts(top_up=sum((line.stages.top_up for line in issued), zero))
    return lifted(card, terms, reached, before)


@exactly
def lifted(card: RateCard, terms: Terms, reached: Decimal, before: StageAmounts | None = None) -> tuple[RatedLine, ...]:
    """The line that lifts what was reached to the prorated commitment, less what was issued before; none for 0."""
    owed = zero = round_money(ZERO, terms.currency)
    if not terms.service.is_empty:
        minimum = prorated(card, "minimum", card.minimum, terms) or ZERO
        owed = max(zero, round_money(minimum - reached, terms.currency))
    if owed == (before.top_up if before is not None else ZERO):
        return ()
    return (top_up_of(card, reached, owed, before, terms, conditions_of(terms)),)
