"""A charge on its grid: which part of a period it serves, which period is due next, what a change touches.

Source: rating.md §4.4 (pauses, trials), §5 (advance, arrears, changes in mid-period).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from pipeline.calendar.periods import Grid
from schemas.period import Period
from schemas.plan import Interval
from schemas.subscription import Charge, Pause

NO_WAIT = timedelta(0)


@dataclass(frozen=True, slots=True)
class Due:
    """A grid period of a charge, the spans of it that were served, and the earliest tick time that bills it."""

    period: Period
    served: tuple[Period, ...]
    at: datetime


def served_in(charge: Charge, pauses: Sequence[Pause], period: Period) -> tuple[Period, ...]:
    """The spans of a grid period that a charge serves: between its start and end, without pauses."""
    start = max(period.start, charge.starts_at)
    end = period.end if charge.ends_at is None else min(period.end, charge.ends_at)
    spans = [Period(start, end)] if end > start else []
    for pause in pauses:
        gap = Period(pause.starts_at, max(pause.starts_at, pause.ends_at or end))
        spans = [part for span in spans for part in _without(span, gap) if not part.is_empty]
    return tuple(spans)


def next_due(charge: Charge, pauses: Sequence[Pause], time_zone: str, *, renewals_wait: bool) -> Due | None:
    """The first grid period that no run has billed and that is served; None if there is none, or none yet.

    In advance it is due when its service starts, in arrears when it has ended and outlived its grace. A renewal of a
    fee in advance waits for that grace too if the subscription has arrears (`renewals_wait`): one run bills both.
    """
    if charge.one_time and charge.billed_through > charge.starts_at:
        return None
    open_from = next((pause.starts_at for pause in pauses if pause.ends_at is None), None)
    period = period_of(charge, time_zone, max(charge.billed_through, charge.starts_at))
    while charge.ends_at is None or period.start < charge.ends_at:
        served = served_in(charge, pauses, period)
        if served:
            return Due(period, served, _due_at(charge, period, served, renewals_wait=renewals_wait))
        if charge.ends_at is None and open_from is not None and open_from <= max(period.start, charge.starts_at):
            return None  # paused until further notice
        period = period_of(charge, time_zone, period.end)
    return None


def _due_at(charge: Charge, period: Period, served: Sequence[Period], *, renewals_wait: bool) -> datetime:
    if charge.timing == "advance" or charge.one_time:
        renews = period.start > charge.starts_at
        return served[0].start + (charge.grace if renews and renewals_wait else NO_WAIT)
    # A pause does not end a period: what is resumed in it belongs to it.
    end = period.end if charge.ends_at is None else min(period.end, charge.ends_at)
    return end + charge.grace


def billed(charge: Charge, due: Due) -> Charge:
    """The charge after a run has billed a period of it."""
    return charge.model_copy(update={"billed_through": due.period.end})


def changed(before: Charge, after: Charge, pauses: Sequence[Pause], now: Sequence[Pause], time_zone: str) -> Charge:
    """The charge after a change, with the periods billed before that are served otherwise now: they are rated anew."""
    periods = [
        period
        for period in billed_periods(before, time_zone)
        if served_in(before, pauses, period) != served_in(after, now, period)
    ]
    return with_rerates(after, periods)


def billed_periods(charge: Charge, time_zone: str) -> list[Period]:
    """Grid periods that runs have billed, in order."""
    found = []
    period = period_of(charge, time_zone, charge.starts_at)
    while period.start < charge.billed_through and charge.billed_through > charge.starts_at:
        found.append(period)
        period = period_of(charge, time_zone, period.end)
    return found


def with_rerates(charge: Charge, periods: Sequence[Period]) -> Charge:
    """The charge with periods to be rated anew, each once, in order."""
    return charge.model_copy(update={"rerates": tuple(sorted({*charge.rerates, *periods}))})


def period_of(charge: Charge, time_zone: str, moment: datetime) -> Period:
    """The grid period of a charge that holds a moment."""
    return _period_of(charge.anchor, charge.interval, time_zone, moment)


@lru_cache(maxsize=1 << 16)
def _period_of(anchor: datetime, interval: Interval, time_zone: str, moment: datetime) -> Period:
    return Grid(anchor, interval, time_zone).period_of(moment)


def _without(span: Period, gap: Period) -> tuple[Period, ...]:
    if not span.intersects(gap):
        return (span,)
    return (Period(span.start, max(span.start, gap.start)), Period(min(span.end, gap.end), span.end))
