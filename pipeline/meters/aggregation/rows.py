"""Events in arrival order become rows: one per group and window, ascending. Source: rating.md §9, §4.3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.windows import windows_of
from pipeline.meters.aggregation.events import Group, MeteredEvent, Reading, counts, group_of, reading_of
from pipeline.meters.aggregation.kinds import KINDS
from pipeline.meters.aggregation.slices import Slice
from pipeline.meters.scaled import quantity
from schemas.meter import GROUPS_MAX, OVERFLOW_GROUP, Meter
from schemas.period import Period, utc, zone
from schemas.price import Window


@dataclass(frozen=True, slots=True)
class MeterRow:
    """What a meter says of one group, in a window or in the whole period.

    `events` counts those in the period, invalid ones included; carried ones are in the value alone.
    """

    group: Group
    window: Period | None
    value: Decimal
    events: int
    invalid: int


def aggregate(
    meter: Meter,
    events: Iterable[MeteredEvent],
    period: Period,
    *,
    time_zone: str = "UTC",
    window: Window | None = None,
    anchor: datetime | None = None,
    full_period: Period | None = None,
    groups_max: int = GROUPS_MAX,
) -> tuple[MeterRow, ...]:
    """The rows of a meter for a served span, from events in arrival order (of any time).

    Without groups and windows exactly one row. Windows are labelled with their full span; only events in the period
    count, and a window without events or carried state has no row. `full_period` is the grid period that prorated
    aggregations divide by (default: the span). Of more than `groups_max` groups the first used keep their names, all
    others are one. Values have twelve decimals, a quotient is rounded once, half away from
    zero. Raises ValueError for binary floats, unknown zones and windows and naive times, QuantityOverflow from 10^26.
    """
    zone(time_zone)
    full = full_period or period
    if not full.encloses(period):
        raise ValueError("full_period: must enclose the period")
    opens = None if meter.carry_over else period.start
    groups = _readings(meter, [event for event in events if _is_seen(event, opens, period.end)], groups_max)
    if not meter.group_by and window is None:
        groups.setdefault((), [])
    spans = _spans(period, window, time_zone, anchor)
    rows = (
        _row(meter, group, label, Slice.of(readings, span, full, time_zone, carry_over=meter.carry_over))
        for label, span in spans
        for group, readings in groups.items()
    )
    alone = window is None and not meter.group_by
    return tuple(sorted((row for row, anything in rows if anything or alone), key=row_order))


def row_order(row: MeterRow) -> tuple[object, ...]:
    """Rows ascend by window, then by group; an absent value comes last."""
    start = row.window.start if row.window is not None else None
    return (start is not None, start, tuple((value is None, value or "") for value in row.group))


def _is_seen(event: MeteredEvent, opens: datetime | None, ends: datetime) -> bool:
    utc(event.time, "time")
    return event.time < ends and (opens is None or event.time >= opens)


def _readings(meter: Meter, events: Iterable[MeteredEvent], groups_max: int) -> dict[Group, list[Reading]]:
    """The readings of each group, in order of (event time, arrival); the groups in order of first usage."""
    found: dict[Group, list[Reading]] = {}
    for event in sorted((event for event in events if counts(meter, event)), key=lambda event: event.time):
        group = group_of(meter, event)
        if group not in found and len(found) >= groups_max:
            group = (OVERFLOW_GROUP,) * len(meter.group_by)
        found.setdefault(group, []).append(reading_of(meter, event))
    return found


def _spans(
    period: Period, window: Window | None, time_zone: str, anchor: datetime | None
) -> Sequence[tuple[Period | None, Period]]:
    if window is None:
        return [(None, period)]
    return [(label, label.intersection(period)) for label in windows_of(window, period, time_zone, anchor=anchor)]


def _row(meter: Meter, group: Group, label: Period | None, part: Slice) -> tuple[MeterRow, bool]:
    value = quantity(KINDS[meter.aggregation](meter, part.usable()))
    events = len(part.inside)
    invalid = sum(not reading.valid for reading in part.inside)
    return MeterRow(group, label, value, events, invalid), bool(part.inside or part.opening)
