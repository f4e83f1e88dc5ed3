"""What one event would come to: the verdict on it, and what each meter of a catalogue would read from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pipeline.intake.validation import BROKER_TIME, KEY_DIFFERS, ROUNDED, Event
from pipeline.meters.aggregation.events import MeteredEvent, counts, group_of, read_payload, reading_of
from pipeline.meters.scaled import DECIMALS
from schemas.catalogue_entry import MeterEntry
from schemas.event_time import moment
from schemas.quantity import plain

FLAGS = {
    ROUNDED: "a number has more than 12 decimals and is rounded",
    KEY_DIFFERS: "the key of the record is not the subject",
    BROKER_TIME: "no time: the broker's time of the record counts",
}


@dataclass(frozen=True, slots=True)
class Fed:
    """A meter that counts an event: the value that it reads, and the group in which it counts."""

    meter: str
    version: str
    aggregation: str
    value: str | None
    """As a plain decimal, or the member of a unique count; None where the meter cannot use the event."""
    group: Mapping[str, str | None]


def fed_by(event: Event, meters: Iterable[MeterEntry]) -> tuple[Fed, ...]:
    """The meters that count an event, by name."""
    seen = MeteredEvent(event.type, moment(event.ts_ms), read_payload(event.payload.decode()))
    return tuple(_fed(entry, seen) for entry in sorted(meters, key=lambda each: each.name) if counts(entry.meter, seen))


def _fed(entry: MeterEntry, event: MeteredEvent) -> Fed:
    meter = entry.meter
    reading = reading_of(meter, event)
    value = "1" if meter.expression is None else reading.member
    if meter.expression is not None and reading.value is not None:
        value = plain(Decimal(reading.value).scaleb(-DECIMALS))
    group = dict(zip(meter.group_by, group_of(meter, event), strict=True))
    return Fed(meter.id, entry.version, meter.aggregation, value, group)


def flags_said(flags: int) -> tuple[str, ...]:
    """What is noted on an event, in words."""
    return tuple(words for flag, words in FLAGS.items() if flags & flag)
