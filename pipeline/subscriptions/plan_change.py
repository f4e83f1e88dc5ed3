"""What a change in mid-period gives back and charges, for fees billed in advance. Source: rating.md §5.

The old charge ends and the new one starts at the same instant, on the old grid. Every line is rounded, not the net.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.proration import Basis, prorate, proration
from schemas.money import Currency, round_money
from schemas.period import Period, utc
from schemas.quantity import ZERO, exactly


@dataclass(frozen=True, slots=True)
class ChangeLines:
    """Amounts per charge, all positive: given back for the rest of the old fees, charged for the rest of the new."""

    credits: Mapping[str, Decimal]
    charges: Mapping[str, Decimal]

    @property
    def net(self) -> Decimal:
        """Charges less credits: what the change costs, or gives back if it is negative."""
        return sum(self.charges.values(), ZERO) - sum(self.credits.values(), ZERO)


@exactly
def change_fees(
    old: Mapping[str, Decimal],
    new: Mapping[str, Decimal],
    one_time: Mapping[str, Decimal],
    period: Period,
    instant: datetime,
    time_zone: str,
    currency: Currency,
    basis: Basis = "day",
) -> ChangeLines:
    """The lines of a change at an instant of a period whose old fees (id -> amount per period) were billed in advance.

    The credit is billed - re-rated for the served span, so that billed = rated to the cent. At the end of the period
    nothing is given back and the new fees are due in full, for the period that begins there; at its start everything
    is given back. Charges missing from the new plan are credited too. Zeros make no line.
    Raises ValueError for an instant outside the period.
    """
    at = utc(instant)
    if not period.start <= at <= period.end:
        raise ValueError(f"instant: {at.isoformat()} must lie within the period")
    served = proration(Period(period.start, at), period, time_zone, basis)
    rest = proration(Period(at, period.end), period, time_zone, basis)
    credits = {
        charge: round_money(amount, currency) - prorate(amount, served, currency).amount
        for charge, amount in old.items()
    }
    on_boundary = at == period.end
    charges = {
        charge: round_money(amount, currency) if on_boundary else prorate(amount, rest, currency).amount
        for charge, amount in new.items()
    }
    charges |= {charge: round_money(amount, currency) for charge, amount in one_time.items()}
    return ChangeLines(_nonzero(credits), _nonzero(charges))


def credit_cap(candidate: Decimal, *, billed: Decimal, credited: Decimal) -> Decimal:
    """What may still be given back of a charge: never more than is left of what was billed, never less than 0."""
    return max(ZERO, min(candidate, billed - credited))


def _nonzero(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {charge: amount for charge, amount in amounts.items() if amount}
