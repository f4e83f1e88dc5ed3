"""Commitments as charges: what counts against that of a plan, and where the term of a rate card stands.

The true-up of a plan's commitment is a charge of its subscription, in arrears on the plan's grid: it begins, changes,
pauses and ends with the others. Source: rating.md §3, "Plan commitments" and "Term".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache

from pipeline.calendar.periods import Grid, times
from pipeline.subscriptions.charges import period_of, served_in
from schemas.customer_state import DueTerm
from schemas.period import Period
from schemas.plan import Plan, Proration, RateCard
from schemas.price import Flat
from schemas.quantity import ZERO
from schemas.subscription import Charge, Pause, Subscription

COMMITMENT = "commitment"
"""The id of the true-up among the charges; no rate card of a plan with a commitment has it."""


def charged_cards(plan: Plan) -> tuple[RateCard, ...]:
    """The rate cards of a plan, and the true-up of its commitment if it has one."""
    return plan.rate_cards if plan.commitment is None else (*plan.rate_cards, true_up_card(plan.commitment.amount))


@lru_cache(maxsize=1024)
def true_up_card(commitment: Decimal) -> RateCard:
    """The true-up as a rate card: a minimum of all other charges, with the taxes of the plan."""
    return RateCard(
        id=COMMITMENT, name="Commitment of the plan", price=Flat(model="flat", amount=ZERO), minimum=commitment,
        proration=Proration(applies_to=("minimum",)),
    )  # fmt: skip


def counted_charges(held: Subscription, true_up: Charge) -> tuple[tuple[str, int], ...]:
    """The charges whose lines count against a commitment: of its plan version, while it runs, not given away."""
    return tuple(
        (charge.card, charge.number)
        for charge in held.charges
        if (charge.plan, charge.plan_version) == (true_up.plan, true_up.plan_version)
        and charge.card != COMMITMENT
        and not charge.trial
        and not (charge.override is not None and charge.override.waived == "all")
        and _overlap(charge, true_up)
    )


def _overlap(one: Charge, other: Charge) -> bool:
    starts, ends = max(one.starts_at, other.starts_at), [end for end in (one.ends_at, other.ends_at) if end is not None]
    return all(starts < end for end in ends)


def term_of(charge: Charge, pauses: Sequence[Pause], time_zone: str, period: Period) -> DueTerm | None:
    """Where a period stands in the term of its charge: terms follow each other from the charge's first period on."""
    whole = None if charge.term is None else times(charge.term, charge.interval)
    if whole is None:
        return None
    grid = Grid(charge.anchor, charge.interval, time_zone)
    first, now = grid.index_of(charge.starts_at), grid.index_of(period.start)
    begins = first + (now - first) // whole * whole
    span = Period(grid.boundary(begins), grid.boundary(begins + whole))
    return DueTerm(
        span=span,
        served=served_in(charge, pauses, span),
        is_last=period.end == span.end or (charge.ends_at is not None and charge.ends_at <= period.end),
    )


def depending(held: Subscription, charge: Charge, period: Period) -> Iterator[tuple[Charge, Period]]:
    """What was billed and depends on a charge's lines of a period: its plan's true-up, later periods of its term."""
    for other in held.charges:
        if other.card != COMMITMENT or (charge.card, charge.number) not in counted_charges(held, other):
            continue
        whole = period_of(other, held.time_zone, period.start)
        if _is_billed(other, whole):
            yield other, whole
    term = term_of(charge, held.pauses, held.time_zone, period)
    following = period
    while term is not None and following.end < term.span.end:
        following = period_of(charge, held.time_zone, following.end)
        if _is_billed(charge, following):
            yield charge, following


def _is_billed(charge: Charge, period: Period) -> bool:
    return charge.starts_at < period.end <= charge.billed_through and charge.billed_through > charge.starts_at
