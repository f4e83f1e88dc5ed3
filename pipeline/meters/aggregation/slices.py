"""The readings of one group in one span, and the earlier ones that it opens with."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.meters.aggregation.events import Reading
from schemas.period import Period


@dataclass(frozen=True, slots=True)
class Slice:
    """Readings in order of (event time, arrival): `inside` the span, and `opening` it if they carry over."""

    opening: Sequence[Reading]
    inside: Sequence[Reading]
    span: Period
    full_period: Period
    time_zone: str

    @classmethod
    def of(
        cls, readings: Sequence[Reading], span: Period, full_period: Period, time_zone: str, *, carry_over: bool
    ) -> Slice:
        """The slice of a group's readings, in order of time; without `carry_over` earlier events do not exist."""
        first = bisect_left(readings, span.start, key=_time)
        after = bisect_left(readings, span.end, key=_time)
        opening = readings[:first] if carry_over else ()
        return cls(opening, readings[first:after], span, full_period, time_zone)

    def usable(self) -> Slice:
        """The same without invalid readings."""
        return replace(
            self,
            opening=[reading for reading in self.opening if reading.valid],
            inside=[reading for reading in self.inside if reading.valid],
        )

    @property
    def all(self) -> Sequence[Reading]:
        """Opening and inside."""
        return (*self.opening, *self.inside)

    @property
    def values(self) -> list[int]:
        """All values, in units of 10^-12."""
        return [reading.value for reading in self.all if reading.value is not None]


def _time(reading: Reading) -> datetime:
    return reading.time
