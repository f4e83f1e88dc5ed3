"""Progressive billing: interim invoices when an amount crosses a threshold. Source: rating.md §5.

Amounts are the rounded usage of the period so far, re-rated cumulatively, so interim invoices cannot change the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from schemas.quantity import ZERO, exactly

ThresholdBase = Literal["unbilled", "lifetime"]


@dataclass(frozen=True, slots=True)
class Interim:
    """An interim invoice: after which event of the period (from 0), and all its usage that was not billed yet."""

    event: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class ProgressivePeriod:
    """One period: its interim invoices, and the final one with all fees and usage less what they billed."""

    interims: tuple[Interim, ...]
    usage: Decimal
    fees: Decimal = ZERO

    @property
    def deducted(self) -> Decimal:
        """What the interim invoices billed: the deduction below the totals of the final one."""
        return sum((interim.amount for interim in self.interims), ZERO)

    @property
    def final(self) -> Decimal:
        """What the final invoice leaves to pay."""
        return self.fees + self.usage - self.deducted


@dataclass(slots=True)
class _Thresholds:
    """Each threshold once, then a step that recurs."""

    levels: Sequence[Decimal]
    step: Decimal | None
    base: ThresholdBase
    used: int = field(default=0)

    def crossed(self, old: Decimal, new: Decimal) -> bool:
        """Whether some threshold lies in (old, new]; those it uses up do not count again."""
        reached = [level for level in self.levels[self.used :] if level <= new]
        hit = any(old < level for level in reached)
        self.used += len(reached)
        return hit or self._step_crossed(old, new)

    def _step_crossed(self, old: Decimal, new: Decimal) -> bool:
        if self.step is None or self.used < len(self.levels):
            return False
        # Lifetime amounts go on from the last threshold; unbilled ones start again at 0 with every interim invoice.
        start = self.levels[-1] if self.levels and self.base == "lifetime" else ZERO
        return (new - start) // self.step > max(ZERO, (old - start) // self.step) and new - start >= self.step


@exactly
def progressive_billing(
    periods: Sequence[Sequence[Decimal]],
    thresholds: Sequence[Decimal],
    recurring_threshold: Decimal | None = None,
    *,
    base: ThresholdBase = "unbilled",
    fees: Sequence[Decimal] = (),
) -> tuple[ProgressivePeriod, ...]:
    """The interim invoices of successive periods, given the rounded amount of each period after each of its events.

    A threshold is crossed when old < threshold <= new; one or several at once bill all usage of the period not yet
    billed. `unbilled` amounts and their thresholds start anew with each period; `lifetime` ones never do.
    Raises ValueError for thresholds that do not ascend or are not above 0.
    """
    _checked(thresholds, recurring_threshold)
    levels = _Thresholds(thresholds, recurring_threshold, base)
    lifetime = ZERO
    billed_periods = []
    for index, amounts in enumerate(periods):
        if base == "unbilled":
            levels = _Thresholds(thresholds, recurring_threshold, base)
        interims = _interims(amounts, levels, lifetime)
        usage = amounts[-1] if amounts else ZERO
        billed_periods.append(ProgressivePeriod(interims, usage, fees[index] if index < len(fees) else ZERO))
        lifetime += usage
    return tuple(billed_periods)


def _interims(amounts: Sequence[Decimal], levels: _Thresholds, lifetime: Decimal) -> tuple[Interim, ...]:
    interims: list[Interim] = []
    billed = before = ZERO
    for event, amount in enumerate(amounts):
        shift = lifetime if levels.base == "lifetime" else -billed
        if levels.crossed(before + shift, amount + shift) and amount != billed:
            interims.append(Interim(event, amount - billed))
            billed = amount
        before = amount
    return tuple(interims)


def _checked(thresholds: Sequence[Decimal], step: Decimal | None) -> None:
    bound = ZERO
    for index, threshold in enumerate(thresholds):
        if threshold <= bound:
            raise ValueError(f"thresholds[{index}]: must be greater than {bound} (thresholds ascend)")
        bound = threshold
    if step is not None and step <= 0:
        raise ValueError("recurring_threshold: must be greater than 0")
