"""When a whole day is computed: once it is over, and a few times more if something came for it.

A day costs as much as its events, whatever came late: so it is not computed again at each late event, but two days, a
week and a month after it. Until then readers take its panes, and closes its raw events. Source: design.md §5, "Totals".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

SETTLES = timedelta(hours=1)
"""After the end of a day: most of its events are there."""
AGAIN_AFTER = (timedelta(days=2), timedelta(days=8), timedelta(days=32))
TURNS = (1, 6, 12, 18)
"""Hours at which days are looked at, beside midnight: `AGAIN_AFTER` ends at midnight, `SETTLES` an hour later."""


def end_of(day: date) -> datetime:
    """The midnight, UTC, at which a day is over."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def is_due(day: date, *, sealed_at: datetime | None, changed: bool, now: datetime) -> bool:
    """Whether a day is to be computed at a tick's time; `sealed_at` is the tick's of its last seal."""
    if sealed_at is None:
        return now >= end_of(day) + SETTLES
    return changed and any(sealed_at < end_of(day) + after <= now for after in AGAIN_AFTER)


def turn_of(now: datetime) -> tuple[date, int]:
    """The part of a day, UTC, in which days are looked at once. New ones become due when it begins; what came for an
    old one that had nothing waits for the next."""
    return now.date(), bisect_right(TURNS, now.hour)


def is_beyond(ends: Mapping[int, int], vector: Sequence[int]) -> bool:
    """Whether something lies at or beyond a vector; `ends` are partitions with what lies below them."""
    return any(end > (vector[partition] if partition < len(vector) else 0) for partition, end in ends.items())
