"""Events in arrival order become rows: one per group and window, ascending. Source: rating.md §9, §4.3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pipeline.aggregation.events import Group, MeteredEvent, Reading, counts, group_of, reading_of
from pipeline.aggregation.kinds import KINDS
from pipeline.aggregation.slices import Slice
from pipeline.scaled import quantity
from pipeline.windows import windows_of
from schemas.meter import Meter
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
) -> tuple[MeterRow, ...]:
    """The rows of a meter for a served span, from events in arrival order (of any time).

    Without groups and windows exactly one row. Windows are labelled with their full span; only events in the period
    count, and a window without events or carried state has no row. `full_period` is the grid period that prorated
    aggregations divide by (default: the span). Values have twelve decimals, a quotient is rounded once, half away from
    zero. Raises ValueError for binary floats, unknown zones and windows and naive times, QuantityOverflow from 10^26.
    """
    zone(time_zone)
    full = full_period or period
    if not full.encloses(period):
        raise ValueError("full_period: must enclose the period")
    groups = _readings(meter, events)
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


def _readings(meter: Meter, events: Iterable[MeteredEvent]) -> dict[Group, list[Reading]]:
    """The readings of each group, in order of (event time, arrival)."""
    found: dict[Group, list[Reading]] = {}
    for event in events:
        utc(event.time, "time")
        if counts(meter, event):
            found.setdefault(group_of(meter, event), []).append(reading_of(meter, event))
    for readings in found.values():
        readings.sort(key=lambda reading: reading.time)
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
