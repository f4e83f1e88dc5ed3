"""Which periods of a charge are due at a billing date, and which part of each was served. Source: rating.md §5.

In advance: when the period, cut by start and end of the service, starts. In arrears: when it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pipeline.calendar.periods import Grid
from pipeline.calendar.proration import Basis, part_of, proration
from schemas.money import Currency, round_money
from schemas.period import Period, utc
from schemas.quantity import ZERO, exact, exactly
from schemas.rated_line import ProrationUse

Timing = Literal["advance", "arrears"]


@dataclass(frozen=True, slots=True)
class DueSpan:
    """A full grid period, the spans of it that were served (more than one after a pause), and the share they make."""

    period: Period
    served: tuple[Period, ...]
    share: ProrationUse

    @property
    def service(self) -> Period:
        """From the first to the last served instant."""
        return Period(self.served[0].start, self.served[-1].end)


@dataclass(frozen=True, slots=True)
class DueFee:
    """What of a recurring fee is due at a date: a line per period, each rounded, and their sums."""

    spans: tuple[DueSpan, ...]
    amounts: tuple[Decimal, ...]
    factor_sum: Decimal

    @property
    def amount(self) -> Decimal:
        """The sum of the rounded lines."""
        return sum(self.amounts, ZERO)


def due_spans(
    service: Period | Sequence[Period], grid: Grid, timing: Timing, billing_date: datetime, basis: Basis = "day"
) -> tuple[DueSpan, ...]:
    """The periods of a charge that are due at a date, in order; several if runs were missed.

    `service` is the span from start to end of the charge, or its parts around pauses; while no end is known, anything
    up to or beyond the billing date. The stub before the first boundary belongs to the grid period that ends there.
    Raises ValueError for an unknown timing and a date without a zone.
    """
    if timing not in ("advance", "arrears"):
        raise ValueError(f"timing: unknown {timing!r}; advance or arrears")
    at = utc(billing_date, "billing_date")
    parts = (service,) if isinstance(service, Period) else tuple(service)
    spans: dict[Period, list[Period]] = {}
    for part in parts:
        for period in grid.periods(part):
            spans.setdefault(period, []).append(period.intersection(part))
    found = [_due_span(period, served, grid, basis) for period, served in sorted(spans.items())]
    if timing == "advance":
        return tuple(due for due in found if due.service.start <= at)
    return tuple(due for due in found if due.service.end <= at)


@exactly
def due_fee(
    amount: Decimal,
    service: Period | Sequence[Period],
    grid: Grid,
    timing: Timing,
    billing_date: datetime,
    currency: Currency,
    basis: Basis = "day",
) -> DueFee:
    """What of a recurring fee is due at a date: amount x factor per period, each rounded once."""
    spans = due_spans(service, grid, timing, billing_date, basis)
    fee = exact(amount)
    amounts = tuple(round_money(part_of(fee, span.share), currency) for span in spans)
    factors = sum((span.share.numerator / span.share.denominator for span in spans), ZERO)
    return DueFee(spans, amounts, factors)


def _due_span(period: Period, served: Sequence[Period], grid: Grid, basis: Basis) -> DueSpan:
    shares = [proration(part, period, grid.time_zone, basis) for part in served]
    days = sum((share.numerator for share in shares), ZERO)
    return DueSpan(period, tuple(served), ProrationUse(days, shares[0].denominator, basis))
