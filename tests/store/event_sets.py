"""Generated event sets: what producers may send of a meter, as records of usage.events, and what counts of it.

`counted` is the naive reading of design.md §5 as of a vector: first record of an identity in its partition, corrections
by identity, the last one by broker time counts. It shares nothing with the SQL but the parser of a record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice, product
from random import Random
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from agents.record_batch import RecordBatch
from pipeline.intake.validation import Correction, Event, validate
from pipeline.meters.aggregation import MeteredEvent, read_payload
from pipeline.meters.usage_sql import Frame
from schemas.event_time import moment
from schemas.meter import CARRIES_OVER, COMPARES_TEXTS, Aggregation, Meter
from schemas.period import Period
from schemas.tick import USAGE
from schemas.usage_event import CORRECTION_TYPE

Kind = Literal["whole", "grouped", "windowed"]
PARTITIONS = 3
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia")
AGGREGATIONS: tuple[Aggregation, ...] = (
    "count", "sum", "min", "max", "avg", "latest", "unique_count", "weighted_sum", "percentile", "prorated_sum",
    "prorated_unique_count",
)  # fmt: skip
MONTHS = ((2027, 3), (2027, 6), (2027, 10), (2027, 11))
EXPRESSIONS = ("v", "v", "v", "v * w", "v / w", "v / 3 + 0.5", "-(v - w) * 2.25", '"w" * w - v / 1000', "v * v * v / w")
NUMBERS = (
    "0", "1", "2.5", "-4", "0.1", "-0.0", '"3"', '"1e-3"', '"-0.000000000001"', "0.0000001", "999999999999999",
    '"0.1234567890125"', "12345678.123456789", '"007"', "1e2", '"-99999999999.5"',
)  # fmt: skip
NO_NUMBERS = ("null", '"many"', "true", "[1]", '{"v": 1}', '"NaN"', '""', '" 1"', '"1e400"', '"1\\n"')
TEXTS = (
    '"eu"', '"us"', '""', "null", "1", "1.0", '"1.0"', "true", '"true"', "0.0000001", '"1e-7"', '"a\\"/\\u00e9\\\\"',
    '{"a": 1}', "[1]", '"[1]"', "-0.0", '"null"', "12345678901234",
)  # fmt: skip
OPERATIONS = ('"add"', '"add"', '"remove"', "null", '"drop"')
FILTERS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {"match": {"region": ["eu", "1", None]}}, {"match": {"tier": ["true", ""]}},
    {"exclude": [{"region": ["us"]}, {"region": [None], "tier": ["eu"]}]},
    {"match": {"region": ["eu", "us", "", "1"]}, "exclude": [{"tier": [None]}]},
)  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """A meter, what is asked of it, and the records of several customers."""

    meter: Meter
    frame: Frame
    customers: tuple[str, ...]
    sent: tuple[tuple[str, bytes], ...]
    """(subject, record) in order of arrival."""
    moves: tuple[tuple[str, datetime, str], ...]
    """(subject, effective from, customer)."""


class Record(NamedTuple):
    """A record of usage.events at its position; every one has a value."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes


def as_batches(records: Sequence[Record]) -> Iterator[RecordBatch]:
    """The records as a delivery hands them on, partition by partition."""
    ordered = sorted(records)
    for partition, group in groupby(ordered, key=lambda record: record.partition):
        _, offsets, timestamps, keys, values = zip(*group, strict=True)
        yield RecordBatch(USAGE, partition, offsets[0], offsets[-1] + 1, offsets, timestamps, keys,
                          [()] * len(offsets), values)  # fmt: skip


@dataclass
class Log:
    """usage.events as the broker keeps it."""

    ends: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def append(self, subject: str, value: bytes, at: datetime) -> Record:
        """The record at the end of the partition of its subject."""
        partition = sum(subject.encode()) % PARTITIONS
        ms = int(at.timestamp() * 1000)
        record = Record(partition, self.ends[partition], ms, subject.encode(), value)
        self.ends[partition] += 1
        return record


KINDS: tuple[Kind, ...] = ("whole", "grouped", "windowed")
COMBINATIONS = len(AGGREGATIONS) * len(ZONES) * len(KINDS)


def batches(random: Random, rounds: int, per_batch: int) -> Iterator[Batch]:
    """Meters in turn over every aggregation, zone and kind of rows, each with as many event sets.

    Half a round (0) takes every second: all aggregations in all kinds and in half of the zones each.
    """
    turns = islice(product(range(rounds or 1), KINDS, ZONES, AGGREGATIONS), 0, None, 1 if rounds else 2)
    for number, (_, kind, zone, aggregation) in enumerate(turns):
        meter = a_meter(random, aggregation, kind, f"use.{number}")
        yield a_batch(random, meter, a_frame(random, zone, kind), f"c{number}", per_batch)


def a_meter(random: Random, aggregation: Aggregation, kind: Kind, event_type: str) -> Meter:
    """A meter of an aggregation with anything that it may have."""
    raw: dict[str, Any] = {"id": "m", "event_types": [event_type], "aggregation": aggregation}
    grouped = kind == "grouped" or (kind == "windowed" and random.random() < 0.5)
    raw["group_by"] = random.choice((["region"], ["region", "tier"])) if grouped else []
    raw |= random.choice(FILTERS)
    if aggregation != "count":
        raw["value"] = "v" if aggregation in COMPARES_TEXTS else random.choice(EXPRESSIONS)
    if aggregation in CARRIES_OVER:
        raw["carry_over"] = random.random() < 0.6
    if aggregation == "percentile":
        raw["p"] = random.choice(("0", "50", "95", "99.9", "100", "33.333333333333"))
    if aggregation == "weighted_sum" and random.random() < 0.4:
        raw["initial_value"] = random.choice(("100", "-0.000000000001", "7.5"))
    return Meter.model_validate(raw)


def a_frame(random: Random, zone: str, kind: Kind) -> Frame:
    """A calendar month in a zone, or a span of it with odd boundaries; short ones where windows are short."""
    year, month = random.choice(MONTHS)
    where = ZoneInfo(zone)
    full = Period(datetime(year, month, 1, tzinfo=where), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=where))
    window = random.choice(("minute", "hour", "day", "day", "week", "month")) if kind == "windowed" else None
    longest = {"minute": timedelta(hours=2), "hour": timedelta(days=3)}.get(window or "", full.length)
    if random.random() < 0.5 and longest == full.length:
        return Frame(full, zone, full, window, random.choice((None, full.start)))
    first = random.randrange(int(full.length.total_seconds() * 1000) - 1)
    start = full.start + timedelta(milliseconds=first)
    length = timedelta(milliseconds=random.randint(1, int(longest.total_seconds() * 1000)))
    return Frame(Period(start, min(full.end, start + length)), zone, full, window, random.choice((None, full.start)))


def a_batch(random: Random, meter: Meter, frame: Frame, name: str, sets: int) -> Batch:
    """Event sets of several customers; most customers are their only subject."""
    customers = tuple(f"{name}.{number}" for number in range(sets))
    sent: list[tuple[str, bytes]] = []
    moves: list[tuple[str, datetime, str]] = []
    for customer in customers:
        subjects = [customer]
        if random.random() < 0.3:
            shared = f"{customer}/key"
            subjects.append(shared)
            moves.append((shared, frame.span.start - timedelta(days=40), customer))
            if random.random() < 0.5:
                moves.append((shared, _a_time(random, frame), random.choice(customers)))
        sent += [record for subject in subjects for record in _records(random, meter, frame, subject)]
    random.shuffle(sent)
    return Batch(meter, frame, customers, tuple(sent), tuple(moves))


def _records(random: Random, meter: Meter, frame: Frame, subject: str) -> Iterator[tuple[str, bytes]]:
    times = [_a_time(random, frame) for _ in range(random.randint(1, 5))]  # few of them: ties
    identities = []
    for number in range(random.choice((0, 1, 2, 4, 8, 12))):
        identity = f"{subject}-{number}"
        record = _event(random, meter, subject, identity, random.choice(times))
        identities.append(identity)
        yield subject, record
        if random.random() < 0.15:  # a copy, sometimes with other content: the first counts
            time = json.loads(record)["time"]
            yield subject, record if random.random() < 0.5 else _event(random, meter, subject, identity, time)
    for identity in identities:
        if random.random() < 0.12:
            sent = [
                _correction(random, meter, subject, identity, random.choice(times))
                for _ in range(random.choice((1, 1, 2)))
            ]
            for correction in sent if random.random() < 0.7 else [*sent, sent[0]]:  # sent again: the first counts
                yield subject, correction


def _a_time(random: Random, frame: Frame) -> str | Any:
    """A moment around the span: its boundaries, midnights and clock changes there, or any."""
    span = frame.span
    local = span.start + timedelta(days=random.randint(-1, 32))
    midnight = local.astimezone(ZoneInfo(frame.time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    millisecond = timedelta(milliseconds=1)
    found = random.choice((
        span.start, span.start - millisecond, span.end, span.end - millisecond, midnight, midnight - millisecond,
        datetime(2027, 10, 31, 1, tzinfo=UTC), datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
        datetime(2027, 3, 28, 1, tzinfo=UTC), span.start - timedelta(days=random.randint(1, 30)),
        *(span.start + random.random() * span.length for _ in range(6)),
    ))  # fmt: skip
    return found.astimezone(UTC).replace(microsecond=found.microsecond // 1000 * 1000)


def _event(random: Random, meter: Meter, subject: str, identity: str, time: datetime | str) -> bytes:
    written = time if isinstance(time, str) else time.isoformat()
    head = {"specversion": "1.0", "id": identity, "source": "/s", "type": meter.event_types[0], "subject": subject}
    return f'{json.dumps(head)[:-1]}, "time": "{written}", "data": {_payload(random, meter)}}}'.encode()


def _correction(random: Random, meter: Meter, subject: str, identity: str, time: datetime) -> bytes:
    said = f'"source": "/s", "id": "{identity}"'
    data = f'{{"action": "retract", {said}}}'
    if random.random() < 0.6:
        event = f'"type": "{meter.event_types[0]}", "subject": "{subject}", "time": "{time.isoformat()}"'
        data = (
            f'{{"action": "replace", {said}, "event": {{{event}, "data": {_payload(random, meter, repeats=False)}}}}}'
        )
    head = f'"specversion": "1.0", "id": "{random.random()}", "source": "/fix", "type": "{CORRECTION_TYPE}"'
    return f'{{{head}, "subject": "{subject}", "time": "{time.isoformat()}", "data": {data}}}'.encode()


def _payload(random: Random, meter: Meter, *, repeats: bool = True) -> str:
    """Any payload; `repeats` may write a name twice, which a correction must not."""
    values = TEXTS if meter.aggregation in COMPARES_TEXTS else (*NUMBERS, *NUMBERS, *NO_NUMBERS)
    chances = {"v": (0.95, values), "w": (0.9, NUMBERS), "region": (0.9, TEXTS), "tier": (0.8, TEXTS),
               "operation": (0.6, OPERATIONS)}  # fmt: skip
    members = [
        f'"{name}": {random.choice(pool)}' for name, (chance, pool) in chances.items() if random.random() < chance
    ]
    if repeats and random.random() < 0.05:
        members.append(f'"v": {random.choice(values)}')  # a repeated name: the first counts
    return "{" + ", ".join(members) + "}"


# -- the naive reading ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """An event that counts, where it was stored and whose it is."""

    position: tuple[int, int]
    subject: str
    event: MeteredEvent


def counted(records: Sequence[Record], vector: Sequence[int]) -> tuple[Counted, ...]:
    """The events that count below a vector, in order of arrival: by offset, then by partition."""
    first: dict[tuple[object, ...], Counted] = {}
    sent: dict[tuple[str, str], tuple[tuple[int, int, int], Record, Correction]] = {}
    for record in sorted(records, key=lambda r: (r.offset, r.partition)):
        if record.offset >= vector[record.partition]:
            continue
        verdict = validate(record.value, record.key, (), record.timestamp_ms, wall_clock=False)
        if isinstance(verdict, Event):
            key = (verdict.source, verdict.id, verdict.type, verdict.subject, verdict.ts_ms, record.partition)
            first.setdefault(key, _counted(verdict, record))
        elif isinstance(verdict, Correction):
            order = (record.timestamp_ms, record.partition, record.offset)
            own = (verdict.source, verdict.id)
            if own not in sent or order < sent[own][0]:
                sent[own] = (order, record, verdict)
        else:
            raise AssertionError(verdict)
    corrections = {
        (found.target_source, found.target_id): (record, found.event)
        for _, record, found in sorted(sent.values(), key=lambda each: each[0])
    }
    kept = [found for key, found in first.items() if (key[0], key[1]) not in corrections]
    kept += [_counted(event, record) for record, event in corrections.values() if event is not None]
    return tuple(sorted(kept, key=lambda found: found.position))


def _counted(event: Event, record: Record) -> Counted:
    metered = MeteredEvent(event.type, moment(event.ts_ms), read_payload(event.payload.decode()))
    return Counted((record.offset, record.partition), event.subject, metered)
