"""Commitments: what is owed at least, and what use beyond it costs. Source: rating.md §3, "Commitment".

Bases are exact amounts after the percentage discount. Amounts stay exact until `rounded` makes parts of a line of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.money import Currency, allocate, round_money
from schemas.quantity import ONE, ZERO, exactly
from schemas.rated_line import CommitmentUse


@dataclass(frozen=True, slots=True)
class Committed:
    """How a commitment was used, exactly: utilized + overage + true_up is the amount owed."""

    commitment: Decimal
    utilized: Decimal
    overage: Decimal = ZERO
    true_up: Decimal = ZERO

    @property
    def amount(self) -> Decimal:
        """All that is owed."""
        return self.utilized + self.overage + self.true_up


@dataclass(frozen=True, slots=True)
class Segment:
    """A window, or the part of it with one price: its base and its own commitment; None counts it as utilized."""

    base: Decimal
    commitment: Decimal | None
    overage_factor: Decimal = ONE
    true_up: bool = False
    """Whether the rest is billed: the commitment trues up and the window has elapsed."""


@dataclass(frozen=True, slots=True)
class TermCommitted:
    """One period of a commitment over a term of several: the committed part, allocated over the lines, and the rest."""

    within: Decimal
    within_by_line: tuple[Decimal, ...]
    overage: Decimal
    true_up: Decimal
    amount: Decimal


@exactly
def commit(base: Decimal, commitment: Decimal, overage_factor: Decimal = ONE, *, true_up: bool = True) -> Committed:
    """What is owed for a base under a commitment; exactly at it there is no overage and no true-up."""
    if base >= commitment:
        return Committed(commitment, commitment, (base - commitment) * overage_factor)
    return Committed(commitment, base, ZERO, commitment - base if true_up else ZERO)


@exactly
def commit_windows(segments: Iterable[Segment]) -> Committed:
    """The rule applied to each window, exact, and added.

    A window whose usage is negative gives back what earlier ones were utilized for, never more than all of them cost:
    without an overage factor they may have cost nothing.
    """
    committed = utilized = overage = missing = ZERO
    for segment in segments:
        if segment.commitment is None:
            utilized += segment.base
            continue
        part = commit(segment.base, segment.commitment, segment.overage_factor, true_up=segment.true_up)
        committed += part.commitment
        utilized += part.utilized
        overage += part.overage
        missing += part.true_up
    return Committed(committed, max(utilized, -(overage + missing)), overage, missing)


@exactly
def term_parts(
    total: Decimal, *, prior_base: Decimal, commitment: Decimal, overage_factor: Decimal, true_up: bool
) -> Committed:
    """One period of a term, exactly: within what earlier periods, at base cost, have left of the commitment; beyond it.

    `true_up` bills what is missing at the end: it is the term's last period, and its final slice.
    """
    left = max(ZERO, commitment - prior_base)
    within = min(total, left)
    return Committed(commitment, within, (total - within) * overage_factor, left - within if true_up else ZERO)


@exactly
def commit_term(
    line_costs: Sequence[Decimal],
    *,
    prior_base: Decimal,
    commitment: Decimal,
    overage_factor: Decimal,
    currency: Currency,
    last: bool = False,
    true_up: bool = True,
) -> TermCommitted:
    """One period of a term, counted at base cost: what earlier periods cost without their overage surcharges.

    The committed part is allocated over the lines by their base cost; the last period of the term trues up. The amount
    is rounded once, and its parts add up to it.
    """
    parts = term_parts(
        sum(line_costs, ZERO), prior_base=prior_base, commitment=commitment, overage_factor=overage_factor,
        true_up=last and true_up,
    )  # fmt: skip
    use = rounded(parts, currency)
    by_line = allocate(use.utilized, line_costs, currency)
    return TermCommitted(use.utilized, by_line, use.overage, use.true_up, use.utilized + use.overage + use.true_up)


@exactly
def plan_true_up(fees: Iterable[Decimal], commitment: Decimal, currency: Currency) -> Decimal:
    """What all fees of a period lack to the plan's prorated commitment, rounded; 0 if nothing.

    An advance fee counts for the period it covers, not for the one that invoices it.
    """
    return max(ZERO, round_money(commitment - sum(fees, ZERO), currency))


@exactly
def rounded(parts: Committed, currency: Currency) -> CommitmentUse:
    """The parts of a line: the amount is rounded once, utilized is rounded, the last non-zero part takes the rest."""
    amount = round_money(parts.amount, currency)
    nothing = amount - amount
    if not parts.overage and not parts.true_up:
        return CommitmentUse(parts.commitment, amount, nothing, nothing)
    utilized = round_money(parts.utilized, currency)
    if not parts.true_up:
        return CommitmentUse(parts.commitment, utilized, amount - utilized, nothing)
    overage = round_money(parts.overage, currency)
    return CommitmentUse(parts.commitment, utilized, overage, amount - utilized - overage)
