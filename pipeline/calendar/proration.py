"""The part of a period's fee that is owed: what was served of the full grid period. Source: rating.md §4.4."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from pipeline.calendar.periods import local_date
from schemas.money import Currency, round_money
from schemas.period import Period, zone
from schemas.quantity import exact, exactly
from schemas.rated_line import ProrationUse

Basis = Literal["day", "second"]
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Prorated:
    """The part of an amount that is owed: amount x numerator / denominator, exact and rounded once."""

    share: ProrationUse
    exact: Decimal
    amount: Decimal


def proration(service: Period, period: Period, time_zone: str, basis: Basis = "day") -> ProrationUse:
    """Served span over full grid period: differences of local dates, so the time of day costs nothing, or seconds.

    The end is the first day not served. Raises ValueError for an empty full period, a span outside it and an unknown
    zone or basis.
    """
    if period.is_empty:
        raise ValueError("period: must not be empty")
    if not period.encloses(service):
        raise ValueError("service: must lie within its period")
    if basis == "second":
        return ProrationUse(_seconds(service), _seconds(period), basis)
    if basis != "day":
        raise ValueError(f"basis: unknown {basis!r}; day or second")
    return ProrationUse(Decimal(days(service, time_zone)), Decimal(days(period, time_zone)), basis)


def days(span: Period, time_zone: str) -> int:
    """Local calendar days from the day of the start to the day of the end, which is not counted."""
    where = zone(time_zone)
    return (local_date(span.end, where) - local_date(span.start, where)).days


@exactly
def prorate(amount: Decimal, share: ProrationUse, currency: Currency) -> Prorated:
    """The part of an amount: multiplied first, divided once and last, rounded once."""
    owed = part_of(exact(amount), share)
    return Prorated(share, owed, round_money(owed, currency))


def part_of(amount: Decimal, share: ProrationUse | None) -> Decimal:
    """The exact part of an amount; all of it without a share. For callers in the exact context."""
    if share is None or share.is_full:
        return amount
    return amount * share.numerator / share.denominator


def _seconds(span: Period) -> Decimal:
    return Decimal(span.length // _MICROSECOND) / _MICROSECONDS
