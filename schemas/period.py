"""Spans of time, half-open: the one place that compares a moment with a boundary.

Source: rating.md §0.2. An instant equal to `end` belongs to the next span.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, ConfigDict


def utc(moment: datetime, name: str = "instant") -> datetime:
    """The same instant in UTC. Raises ValueError for a datetime without a zone, TypeError for anything else."""
    if not isinstance(moment, datetime):
        raise TypeError(f"{name}: must be a datetime, not a {type(moment).__name__}")
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise ValueError(f"{name}: {moment.isoformat()} has no time zone")
    return moment.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(utc)]
"""A moment on the wire: with a zone, kept in UTC."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of a name. Raises ValueError for an unknown one; it is never replaced by UTC."""
    if not isinstance(name, str):
        raise ValueError(f"time_zone: must be the name of a zone, not a {type(name).__name__}")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'time_zone: unknown zone {name!r}; use an IANA name such as "Europe/Berlin"') from None


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant or, with `before`, the last moment ahead of it: where a half-open span stops, with nothing subtracted.

    What holds until 1 October 00:00 holds at the last moment of a span that ends then.
    """

    at: datetime
    before: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", utc(self.at, "at"))

    def lies_in(self, start: datetime | None, end: datetime | None) -> bool:
        """Whether it lies in `[start, end)`; None is open on that side."""
        begun = start is None or start < self.at or (start == self.at and not self.before)
        return begun and (end is None or self.at < end or (self.at == end and self.before))

    def local_date(self, time_zone: str) -> date:
        """The calendar day that it belongs to in a zone: the last moment before a midnight is of the day before."""
        local = self.at.astimezone(zone(time_zone))
        at_midnight = self.before and local.time() == time.min
        return local.date() - timedelta(days=1) if at_midnight else local.date()


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A span `[start, end)` of aware instants, kept in UTC. It may be empty but never ends before it starts."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start, "start"))
        object.__setattr__(self, "end", utc(self.end, "end"))
        if self.end < self.start:
            raise ValueError(f"end: {self.end.isoformat()} is before the start {self.start.isoformat()}")

    @property
    def is_empty(self) -> bool:
        """Whether no instant lies in it."""
        return self.start == self.end

    @property
    def first_moment(self) -> Moment:
        """Its start."""
        return Moment(self.start)

    @property
    def last_moment(self) -> Moment:
        """What comes just before its end; the start of an empty span."""
        return Moment(self.end, before=not self.is_empty)

    @property
    def length(self) -> timedelta:
        """Elapsed time, not local days."""
        return self.end - self.start

    def contains(self, instant: datetime) -> bool:
        """Whether the instant lies in `[start, end)`."""
        return self.start <= instant < self.end

    def encloses(self, other: Period) -> bool:
        """Whether every boundary of `other` lies within this span; an empty span at the end is enclosed."""
        return self.start <= other.start and other.end <= self.end

    def intersects(self, other: Period) -> bool:
        """Whether some instant lies in both."""
        return max(self.start, other.start) < min(self.end, other.end)

    def intersection(self, other: Period) -> Period:
        """The instants in both; an empty span, at the later start, if there are none."""
        start = max(self.start, other.start)
        return Period(start, max(start, min(self.end, other.end)))
