"""A month of an LLM API's usage: seeded, the same bytes in the same order on every machine, and it knows its truth.

Exactly one event in a hundred is published twice (same bytes; every tenth copy lost its key, so it lands in another
partition), exactly one in a hundred is late (published one to three days after its own, before the period's grace
ends), and one record in a thousand more is broken. Batch `d` is what is published on day `d` of the month; the last
batch comes within the grace period, after the month has ended. The caller makes a tick at `tick_at` after each batch;
an event is late exactly if it comes after the tick that ends its day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from deploy.demo.broken import broken
from deploy.demo.draws import Draws, seeded
from deploy.demo.truth import Ledger, Truth

MONTH_START = datetime(2026, 10, 1, tzinfo=UTC)
MONTH_END = datetime(2026, 11, 1, tzinfo=UTC)
GRACE_END = datetime(2026, 11, 1, 6, tzinfo=UTC)
DAYS = (MONTH_END - MONTH_START).days
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
BLOCK = 100

CUSTOMERS = {
    "acme": "scale",
    "globex": "team",
    "hooli": "scale",
    "initech": "team",
    "stark": "team",
    "umbrella": "team",
}
"""Who pays, and the plan of deploy/catalogue/llm.toml that each is on."""
KEYS_EACH = 10
STRANGER = "mystery/key-00"
"""Uses the API and belongs to no customer."""

# How often each appears is how likely it is.
BUSY = ("acme",) * 9 + ("hooli",) * 6 + ("globex",) * 4 + ("initech",) * 3 + ("stark",) * 2 + ("umbrella",)
KEY_CHOICES = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9)
MODELS = ("small", "small", "small", "medium", "medium", "large")
REGIONS = ("eu", "eu", "us", "ap")
SOURCES = ("/gateway/eu-1", "/gateway/eu-2", "/gateway/us-1")
HOURS = (0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11, 12, 12, 12, 13, 13, 13, 13,
         14, 14, 14, 14, 15, 15, 15, 15, 16, 16, 16, 17, 17, 18, 18, 19, 20, 21, 22, 23)  # fmt: skip
WEEKEND_SHARE, WEEKDAY_SHARE = 4, 10

Record = tuple[bytes | None, bytes]


class Batch(NamedTuple):
    """What is published together: (key, value) in order; then the caller makes a tick at `tick_at`."""

    day: int
    records: list[Record]
    tick_at: datetime


class _Made(NamedTuple):
    at_ms: int
    number: int
    record: Record


@dataclass(frozen=True, slots=True)
class Month:
    """The parameters of a simulated month; equal parameters give equal bytes."""

    seed: int = 2026
    events: int = 200_000

    @property
    def broken(self) -> int:
        """How many broken records come on top: one per thousand events."""
        return self.events // 1000

    @property
    def records(self) -> int:
        """How many records are published in all."""
        return self.events + self.events // BLOCK + self.broken


def subjects() -> dict[str, str]:
    """Every subject that belongs to a customer, and which."""
    return {f"{customer}/key-{key:02d}": customer for customer in CUSTOMERS for key in range(KEYS_EACH)}


def simulate(month: Month, ledger: Ledger) -> Iterator[Batch]:
    """The batches of the month in order; `ledger` counts what has been handed out. Raises ValueError off the grid."""
    if month.events % 1000:
        raise ValueError(f"events must be a multiple of 1,000 so that shares are exact, not {month.events}")
    waiting: list[list[_Made]] = [[] for _ in range(DAYS + 1)]
    sequences = dict.fromkeys(SOURCES, 0)
    first = 0
    for day, count in enumerate(_events_per_day(month.events)):
        for made, batch in _day(month, day, range(first, first + count), sequences, ledger):
            waiting[batch].append(made)
        first += count
        yield _batch(month, day, waiting[day], ledger)
        waiting[day] = []
    yield _batch(month, DAYS, waiting[DAYS], ledger)


def truth_of(month: Month) -> Truth:
    """What the whole month must come to."""
    ledger = Ledger()
    for _ in simulate(month, ledger):
        pass
    return ledger.truth()


def _batch(month: Month, day: int, made: list[_Made], ledger: Ledger) -> Batch:
    made.extend(_broken_records(month, day, ledger))
    made.sort(key=lambda each: (each.at_ms, each.number))
    ledger.produced += len(made)
    tick_at = MONTH_START + timedelta(days=day + 1) if day < DAYS else GRACE_END
    return Batch(day, [each.record for each in made], tick_at)


def _events_per_day(events: int) -> list[int]:
    """Events over the days, fewer on weekends; the shares add up exactly."""
    shares = [
        WEEKEND_SHARE if (MONTH_START + timedelta(days=day)).weekday() >= 5 else WEEKDAY_SHARE for day in range(DAYS)
    ]
    total, before, counts = sum(shares), 0, []
    for share in shares:
        counts.append(events * (before + share) // total - events * before // total)
        before += share
    return counts


def _day(
    month: Month, day: int, numbers: range, sequences: dict[str, int], ledger: Ledger
) -> Iterator[tuple[_Made, int]]:
    """The events of one day in the order of their times, each with the batch that it is published in, copies too."""
    key = seeded(month.seed, "event")
    drawn = sorted((_time_of(draws), number, draws) for number in numbers for draws in (Draws(key, number),))
    date = (MONTH_START + timedelta(days=day)).strftime("%Y-%m-%d")
    for at_ms, number, draws in drawn:
        block, place = divmod(number, BLOCK)
        late_place, copy_place, delay, copy_delay = _block(month.seed, block)
        batch = min(day + 1 + delay, DAYS) if place == late_place else day
        made = _Made(at_ms, number, _record(date, at_ms, number, draws, sequences, ledger))
        ledger.late += batch > day
        yield made, batch
        if place == copy_place:
            ledger.duplicates += 1
            # A retry after some seconds, or a producer's outbox that is sent again a day or two later.
            later = min(batch + copy_delay, DAYS)
            at_ms += 0 if later > batch else 1 + number % 30_000
            yield made._replace(at_ms=at_ms, record=_sent_again(number, made.record)), later


def _sent_again(number: int, record: Record) -> Record:
    """The same bytes; one copy in ten has lost its key and lands in a partition that only its content decides."""
    return (None, record[1]) if number // BLOCK % 10 == 3 else record


def _time_of(draws: Draws) -> int:
    return draws.one_of(HOURS) * HOUR_MS + draws.below(HOUR_MS)


def _block(seed: int, block: int) -> tuple[int, int, int, int]:
    """Of each hundred events: which is late, which is sent twice, and how many days later."""
    draws = Draws(seeded(seed, "block"), block)
    return draws.below(BLOCK), draws.below(BLOCK), draws.below(3), draws.one_of((0, 0, 0, 1, 2))


def _record(date: str, at_ms: int, number: int, draws: Draws, sequences: dict[str, int], ledger: Ledger) -> Record:
    customer = draws.one_of(BUSY)
    subject = f"{customer}/key-{draws.one_of(KEY_CHOICES):02d}"
    model, region, source = draws.one_of(MODELS), draws.one_of(REGIONS), draws.one_of(SOURCES)
    tokens_in = 20 + draws.below(40) * draws.below(120)
    tokens_out, as_text = _tokens_out(draws)
    cached = draws.below(5) == 0
    kind = "llm.request"
    if number % 4999 == 7:
        customer = subject = STRANGER
        ledger.unattributed += 1
    if number % 3331 == 5:
        kind = "llm.experiment"  # nobody meters it yet
        ledger.unmetered += 1
    else:
        ledger.add(customer, "tokens_in", model, tokens_in)
        ledger.add(customer, "tokens_out", model, tokens_out)
        if not cached:
            ledger.add(customer, "requests", "", 1)
    ledger.counted += 1
    ledger.events[customer] += 1
    sequences[source] += 1
    minutes, milliseconds = divmod(at_ms, 60_000)
    hour, minute = divmod(minutes, 60)
    value = (
        f'{{"specversion":"1.0","id":"req-{number:06d}","source":"{source}","type":"{kind}","subject":"{subject}",'
        f'"time":"{date}T{hour:02d}:{minute:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}Z",'
        f'"datacontenttype":"application/json","sequence":"{sequences[source]}",'
        f'"data":{{"model":"{model}","region":"{region}","tokens_in":{tokens_in},"tokens_out":{as_text},'
        f'"cached":{"true" if cached else "false"}}}}}'
    )
    return subject.encode(), value.encode()


def _tokens_out(draws: Draws) -> tuple[Decimal, str]:
    """Generated tokens, and how they stand in the JSON: a number, a string, now and then with decimals."""
    tokens, form = 1 + draws.below(30) * draws.below(60), draws.below(8)
    if form == 0:
        quarters = f"{tokens}.{draws.one_of(('25', '5', '75'))}"
        return Decimal(quarters), f'"{quarters}"'
    if form == 1:
        return Decimal(f"{tokens}.1"), f"{tokens}.1"
    return Decimal(tokens), f'"{tokens}"' if form < 5 else str(tokens)


def _broken_records(month: Month, day: int, ledger: Ledger) -> Iterator[_Made]:
    """The broken records of a day; their producers knew a key, except that every seventh has none."""
    if day == DAYS:
        return
    for number in range(month.broken * day // DAYS, month.broken * (day + 1) // DAYS):
        reason, value = broken(number)
        ledger.dead[reason] += 1
        at_ms = Draws(seeded(month.seed, "broken"), number).below(DAY_MS)
        yield _Made(at_ms, month.events + number, (None if number % 7 == 6 else b"acme/key-00", value))
