"""Distinct members: how many there are at the end, or on how many local days each was there. Source: rating.md §9."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from pipeline.calendar.periods import local_date
from pipeline.calendar.proration import days
from pipeline.meters.aggregation.events import Reading
from pipeline.meters.aggregation.slices import Slice
from pipeline.meters.scaled import UNIT, quotient
from schemas.meter import Meter
from schemas.period import zone


def unique_count(meter: Meter, part: Slice) -> int:
    """Members whose last operation by event time is an addition, ties to the later arrival."""
    last = {reading.member: reading.adds for reading in part.all}
    return sum(last.values()) * UNIT


def prorated_unique_count(meter: Meter, part: Slice) -> int:
    """Local days of the span on which each member was there, added over members, by the days of the full period."""
    members: dict[str | None, list[Reading]] = {}
    for reading in (*_there_at_the_start(part), *part.inside):
        members.setdefault(reading.member, []).append(reading)
    served = sum(len(_days_there(readings, part)) for readings in members.values())
    full = days(part.full_period, part.time_zone)
    return quotient(served * UNIT, full) if full else 0


def _there_at_the_start(part: Slice) -> list[Reading]:
    last = {reading.member: reading for reading in part.opening}
    return [replace(reading, time=part.span.start) for reading in last.values() if reading.adds]


def _days_there(readings: Sequence[Reading], part: Slice) -> set[date]:
    """The days of addition and of removal both count, and every day once."""
    where = zone(part.time_zone)
    after = local_date(part.span.end, where)
    changes = [local_date(reading.time, where) for reading in readings]
    found: set[date] = set()
    for reading, since, until in zip(readings, changes, [*changes[1:], after], strict=True):
        if reading.adds:
            found.update(since + timedelta(days=n) for n in range((until - since).days + 1))
    return {day for day in found if day < after}
