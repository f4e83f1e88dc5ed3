"""Usage events to measure with: seeded, about 300 bytes each, UUID ids, skewed subjects, some late, some twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Record = tuple[bytes | None, bytes]

START = datetime(2026, 10, 1, tzinfo=UTC)
SUBJECTS = 10_000
DAY, PER_DAY = timedelta(days=1), 100_000
TYPES = ("llm.completion",) * 8 + ("llm.embedding", "storage.write")
MODELS = ("small", "small", "small", "medium", "medium", "large")
REGIONS = ("eu", "eu", "us", "ap")
SOURCES = ("/gateway/eu-1", "/gateway/eu-2", "/gateway/us-1")
LATE_BY_AT_MOST = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Parameters of a stream; equal parameters give equal bytes.

    Event times run from `start`, 100,000 a day unless `span` says otherwise; `late` of a hundred are up to 48 hours
    older than their place, `twice` of
    a hundred are repeated.
    """

    events: int
    start: datetime = START
    span: timedelta | None = None
    late: int = 2
    twice: int = 1
    seed: int = 42
    subjects: int = SUBJECTS


def records(traffic: Traffic) -> Iterator[Record]:
    """Key and value of every record, in the order in which they are published."""
    draw = random.Random(traffic.seed)
    first_ms = int(traffic.start.timestamp() * 1000)
    span = traffic.span or traffic.events * DAY / PER_DAY
    step_ms = span.total_seconds() * 1000 / max(traffic.events, 1)
    for number in range(traffic.events):
        at_ms = first_ms + int(number * step_ms)
        if draw.random() * 100 < traffic.late:
            at_ms -= int(draw.random() * LATE_BY_AT_MOST.total_seconds() * 1000)
        made = record(draw, at_ms, traffic.subjects)
        yield made
        if draw.random() * 100 < traffic.twice:
            yield made


def record(draw: random.Random, at_ms: int, subjects: int = SUBJECTS) -> Record:
    """One event at a time in milliseconds since 1970."""
    subject = f"cust-{int(subjects * draw.random() ** 2):05d}/key-1"
    bits = f"{draw.getrandbits(128):032x}"
    value = (
        f'{{"specversion":"1.0","id":"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}",'
        f'"source":"{draw.choice(SOURCES)}","type":"{draw.choice(TYPES)}","subject":"{subject}",'
        f'"time":"{rfc3339(at_ms)}","datacontenttype":"application/json",'
        f'"data":{{"model":"{draw.choice(MODELS)}","region":"{draw.choice(REGIONS)}",'
        f'"tokens_in":{draw.randrange(1, 5000)},"tokens_out":"{draw.randrange(1, 900)}",'
        f'"latency_ms":{draw.randrange(10, 90_000) / 10}}}}}'
    )
    return subject.encode(), value.encode()


def rfc3339(at_ms: int) -> str:
    """A time in milliseconds since 1970, in UTC."""
    seconds, ms = divmod(at_ms, 1000)
    days, seconds = divmod(seconds, 86_400)
    day = _days.get(days)
    if day is None:
        day = _days[days] = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)).strftime("%Y-%m-%dT")
    return f"{day}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}Z"


_days: dict[int, str] = {}
