"""Meters and events of which a test says only what its rule is about."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipeline.meters.aggregation import MeteredEvent, MeterRow, aggregate
from schemas.meter import Meter
from schemas.period import Period

JUNE = Period(datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))


def meter(aggregation: str = "sum", **changed: Any) -> Meter:
    value = {} if aggregation == "count" else {"value": "v"}
    p = {"p": "95"} if aggregation == "percentile" else {}
    return Meter.model_validate({"id": "m", "event_types": ["use"], "aggregation": aggregation} | value | p | changed)


def at(text: str) -> datetime:
    """`06-11`, `06-11 08:30` or a whole time, in UTC."""
    text = text if text[4:5] == "-" else f"2027-{text}"
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(when: str = "06-10", *, type: str = "use", **payload: Any) -> MeteredEvent:
    return MeteredEvent(type, at(when), payload)


def used(when: str, value: Any, **payload: Any) -> MeteredEvent:
    """An event whose measure `v` is a value; a text is what a producer writes."""
    return event(when, v=value, **payload)


def quantity(meter: Meter, events: Iterable[MeteredEvent], period: Period = JUNE, **frame: Any) -> str:
    """The one value of a meter without groups and windows, as text."""
    (row,) = aggregate(meter, events, period, **frame)
    return text(row.value)


def text(value: Decimal) -> str:
    return format(value.normalize() if value else Decimal(0), "f")


def table(rows: Iterable[MeterRow]) -> list[tuple[tuple[str | None, ...], str, int, int]]:
    """Group, value, events, invalid of each row."""
    return [(row.group, text(row.value), row.events, row.invalid) for row in rows]
