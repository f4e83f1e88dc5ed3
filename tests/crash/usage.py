"""The producer of the crash run: it numbers its events, and knows from the numbers what must come out.

Everything about an event is a function of its number, so the truth is counted without the log and without our tables.
Some are sent twice, some again in another partition or with another content (which loses), some are taken back or
replaced; broken records stand between them. Nothing comes after the tick that closes its day.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agents.publisher import Record
from schemas.usage_event import CORRECTION_TYPE

BEGINS = datetime(2026, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GRACE = timedelta(hours=1)
SOURCE, CORRECTOR = "/crash/run", "/crash/corrections"
CUSTOMERS = tuple(f"customer-{number}" for number in range(6))
KEYS = 5
FEE = Decimal("1.00")

CATALOGUE = """
[[meters]]
id = "tokens"
event_types = ["call"]
aggregation = "sum"
value = "tokens"
unit = "tokens"

[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"
unit = "calls"

[[plans]]
id = "daily"
name = "By the day"
currency = "EUR"
interval = { unit = "day" }
anchor = "calendar"
grace = "PT1H"
payment_terms = "P1D"
dunning = { days = [0], patience = "P1000D" }

[[plans.rate_cards]]
id = "platform"
name = "Platform fee"
price = { model = "flat", amount = "1.00" }

[[plans.rate_cards]]
id = "tokens"
name = "Tokens"
meter = "tokens"
price = { model = "per_unit", unit_price = "0.001" }

[[plans.rate_cards]]
id = "calls"
name = "Calls"
meter = "calls"
price = { model = "per_unit", unit_price = "0.01" }
"""


@dataclass(frozen=True, slots=True)
class Day:
    """The events with numbers in `[first, end)`; all of them happened on one day."""

    number: int
    first: int
    end: int

    @property
    def closes_at(self) -> datetime:
        """The first moment at which the day's bills are due."""
        return BEGINS + (self.number + 1) * DAY + GRACE


def subject(number: int) -> str:
    """Whose event it is."""
    return f"{CUSTOMERS[number % len(CUSTOMERS)]}/key-{number // len(CUSTOMERS) % KEYS}"


def customer_of(subject: str) -> str:
    """Who pays for a subject."""
    return subject.partition("/")[0]


def owners() -> dict[str, str]:
    """Subject -> customer, all of them."""
    subjects = {subject(number) for number in range(len(CUSTOMERS) * KEYS)}
    return {name: customer_of(name) for name in subjects}


def milli(number: int) -> int:
    """The tokens of an event, in thousandths."""
    return number * 7919 % 1_000_003


def tokens(thousandths: int) -> str:
    """As they are sent: a decimal text."""
    return f"{thousandths // 1000}.{thousandths % 1000:03d}"


def fate(number: int) -> str:
    """What else happens to an event."""
    for divisor, remainder, name in (
        (101, 11, "retracted"), (103, 13, "replaced"), (89, 3, "contradicted"), (97, 5, "elsewhere"), (53, 7, "twice"),
    ):  # fmt: skip
        if number % divisor == remainder:
            return name
    return "once"


def counted(number: int) -> int | None:
    """The thousandths of tokens that an event counts with; None if it was taken back."""
    what = fate(number)
    return None if what == "retracted" else 1_000 if what == "replaced" else milli(number)


def records(day: Day, *, chunk: int) -> Iterator[list[Record]]:
    """The records of a day, in runs of about `chunk` events; each with what follows its events."""
    for first in range(day.first, day.end, chunk):
        numbers = range(first, min(first + chunk, day.end))
        yield [
            *(_event(day, number, milli(number)) for number in numbers),
            *(record for number in numbers for record in _afterwards(day, number)),
        ]


def _afterwards(day: Day, number: int) -> Sequence[Record]:
    what = fate(number)
    if what == "twice":
        return (_event(day, number, milli(number)),)
    if what == "elsewhere":  # without a key, it goes where its content says
        return ((None, _event(day, number, milli(number))[1]),)
    if what == "contradicted":
        return (_event(day, number, milli(number) + 1), (b"broken", b'{"specversion":"1.0","id":"%d' % number))
    if what == "retracted":
        return (_correction(number, {"action": "retract"}),)
    if what == "replaced":
        event = {**_content(day, number), "data": {"tokens": tokens(1_000)}}
        return (_correction(number, {"action": "replace", "event": event}),)
    return ()


def _content(day: Day, number: int) -> dict[str, object]:
    time = BEGINS + day.number * DAY + timedelta(milliseconds=number * 7_919 % 86_400_000)
    return {"type": "call", "subject": subject(number), "time": time.isoformat(timespec="milliseconds")}


def _event(day: Day, number: int, thousandths: int) -> Record:
    value = {
        "specversion": "1.0", "id": str(number), "source": SOURCE, **_content(day, number),
        "data": {"tokens": tokens(thousandths)},
    }  # fmt: skip
    return subject(number).encode(), json.dumps(value).encode()


def _correction(number: int, what: dict[str, object]) -> Record:
    value = {
        "specversion": "1.0", "id": f"correction-{number}", "source": CORRECTOR, "type": CORRECTION_TYPE,
        "subject": "corrections", "data": {**what, "source": SOURCE, "id": str(number), "reason": "the crash run"},
    }  # fmt: skip
    return b"corrections", json.dumps(value).encode()


Sums = dict[tuple[str, int], tuple[int, int]]
"""(subject, day) -> events that count, thousandths of tokens."""


def truth(days: Sequence[Day]) -> Sums:
    """What must come out, from the numbers alone."""
    calls: Counter[tuple[str, int]] = Counter()
    sums: Counter[tuple[str, int]] = Counter()
    for day in days:
        for number in range(day.first, day.end):
            thousandths = counted(number)
            if thousandths is not None:
                calls[subject(number), day.number] += 1
                sums[subject(number), day.number] += thousandths
    return {place: (count, sums[place]) for place, count in calls.items()}
