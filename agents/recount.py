"""The log is read a second time, by other code, and compared with what is stored: identities, values, outcomes.

So that a balanced sum is a proof and not a definition: a row that was altered, added or lost is named with its
position, and so is a mistake of the first reading. Source: design.md §6.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agents.clock import first_tick
from agents.logs import LogRecord, Logs
from agents.store.audits import IDENTITY_HORIZON_DAYS
from agents.store.positions import PositionStore
from agents.store.recount import RecountStore, StoredRow
from agents.topics import USAGE_EVENTS
from pipeline.intake.validation import Event
from pipeline.proof.positions import First, Judged
from pipeline.proof.recount import Reading, amounts, counted, needs_no_exact_form, read
from pipeline.proof.stretches import Stretch, parted
from schemas.erasure import PSEUDONYM, pseudonym_of, subject_hash

AT_ONCE = 50_000
NAMED = 20
COPY = "copy: "
EXPIRED = "expired"
ERASED = "erased"


@dataclass(slots=True)
class Recounted:
    """What the second reading found; of many differences the first are named."""

    records: int = 0
    events: int = 0
    copies: int = 0
    corrections: int = 0
    dead_letters: int = 0
    expired: int = 0
    differing: int = 0
    differences: list[str] = field(default_factory=list)

    def differs(self, said: str) -> None:
        """Notes a difference."""
        self.differing += 1
        if len(self.differences) < NAMED:
            self.differences.append(said)


class Recount:
    """Compares a part of usage.events with its rows."""

    def __init__(self, logs: Logs, store: RecountStore, positions: PositionStore) -> None:
        self._logs, self._store, self._positions = logs, store, positions

    async def compare(
        self, start: Sequence[int], to: Sequence[int], told: Callable[[int], None] = lambda _: None
    ) -> Recounted:
        """Reads `[start, to)` of every partition; `told` hears how many records are compared."""
        found = Recounted()
        first = await first_tick(self._logs)
        wall_clock = first is not None and first.clock == "wall"
        held = await self._logs.stretches()
        for partition, end in enumerate(to):
            kept, gone = parted(held[partition], start[partition], end)
            found.expired += sum(upper - lower for lower, upper in gone)
            for stretch in kept:
                await self._read_again(partition, stretch, found, told, wall_clock=wall_clock)
        await asyncio.to_thread(self._retractions, found)
        return found

    async def _read_again(
        self, partition: int, stretch: Stretch, found: Recounted, told: Callable[[int], None], *, wall_clock: bool
    ) -> None:
        """Compares what one epoch has of a partition, a part at a time."""
        for at in range(stretch.first, stretch.next, AT_ONCE):
            upper = min(stretch.next, at + AT_ONCE)
            records = await self._logs.read(USAGE_EVENTS, partition, at, upper, shift=stretch.shift)
            await asyncio.to_thread(self._compare, partition, at, upper, records, found, wall_clock)
            told(found.records)

    def _compare(
        self, partition: int, at: int, upper: int, records: Sequence[LogRecord], found: Recounted, wall_clock: bool
    ) -> None:
        rows = self._store.rows(partition, at, upper)
        place = f"{USAGE_EVENTS}/{partition}/"
        without: list[tuple[LogRecord, Reading, str]] = []
        for record in records:
            found.records += 1
            reading = read(record.value, record.headers, record.timestamp_ms, wall_clock=wall_clock)
            stored = rows.pop(record.offset, [])
            # A copy may still have its row: it collapses when ClickHouse merges.
            listed = next((row.what.removeprefix(COPY) for row in stored if row.what.startswith(COPY)), "")
            if listed or not stored:
                without.append((record, reading, listed))
                continue
            if any(row.what == EXPIRED for row in stored):
                found.expired += 1  # retired: what was counted of it is frozen
                continue
            _count(found, reading.outcome)
            for said in _faults(record, reading, stored):
                found.differs(f"{place}{record.offset}: {said}")
        for offset in rows:
            if rows[offset][0].what == EXPIRED:
                continue
            found.differs(f"{place}{offset}: a row ({rows[offset][0].what}), but the log has no record there")
        self._copies(partition, without, found)

    def _copies(self, partition: int, without: Sequence[tuple[LogRecord, Reading, str]], found: Recounted) -> None:
        """Records without a row must be copies of an earlier row of their partition."""
        asked = [Judged(partition, record.offset, record.timestamp_ms, _as_event(r)) for record, r, _ in without]
        firsts = self._positions.firsts(asked)
        for record, reading, listed in without:
            key = (reading.type, reading.subject, reading.ts_ms, reading.source, reading.id, partition)
            first: First | None = firsts.get(key) if reading.outcome == "event" else None
            if first is None or first.offset >= record.offset:
                found.differs(f"{USAGE_EVENTS}/{partition}/{record.offset}: {_named(reading)}, but it has no row")
                continue
            found.copies += 1
            equal = counted(first.payload.decode()) == reading.data
            if listed == "duplicate" and not equal:
                found.differs(
                    f"{USAGE_EVENTS}/{partition}/{record.offset}: listed as a duplicate, but its content is another"
                )

    def _retractions(self, found: Recounted) -> None:
        usage = self._store.audited()
        faults = self._store.retraction_faults(usage, horizon_days=IDENTITY_HORIZON_DAYS, at_most=1000) if usage else []
        for source, identity, counting in faults:
            found.differs(f"{source} {identity}: {counting} of its rows count, not one")


def _count(found: Recounted, outcome: str) -> None:
    found.events += outcome == "event"
    found.corrections += outcome == "correction"
    found.dead_letters += outcome == "dead letter"


def _faults(record: LogRecord, reading: Reading, rows: Sequence[StoredRow]) -> Iterator[str]:
    """How the rows at a position are not what its record says."""
    if len(rows) > 1:
        yield f"stands in {len(rows)} rows"
    for row in rows:
        if row.what != reading.outcome:
            yield f"{_named(reading)}, but it is stored as {row.what}"
        elif row.what == "dead letter":
            if row.type != ERASED and base64.b64decode(row.data) != (record.value or b""):
                yield "its value is not that of the record"
        else:
            yield from _altered(reading, row)


def _altered(reading: Reading, row: StoredRow) -> Iterator[str]:
    if row.subject.startswith(PSEUDONYM) and row.subject == pseudonym_of(subject_hash(reading.subject)):
        # Erased: its bytes are gone, its identity is not.
        kept = ("source", "id", "type", "ts_ms")
        yield from (
            f"{name} of an erased event is altered" for name in kept if getattr(row, name) != getattr(reading, name)
        )
        return
    for name in ("source", "id", "type", "subject", "ts_ms"):
        if getattr(row, name) != getattr(reading, name):
            yield f"{name} is stored as {getattr(row, name)!r}, the record says {getattr(reading, name)!r}"
    if row.what == "correction" and not row.type:
        return
    if (stored := _payload(row.data)) != reading.data:
        yield f"data of {row.source} {row.id} is stored as {row.data[:200]}, the record says something else"
    elif row.exact and amounts(_payload(row.exact)) != amounts(reading.data):
        yield f"the exact numbers of {row.source} {row.id} are stored as {row.exact[:200]}"
    elif not row.exact and not needs_no_exact_form(stored):
        yield f"the exact numbers of {row.source} {row.id} are missing"


def _payload(text: str) -> object:
    try:
        return counted(text)
    except ValueError:
        return text


def _as_event(reading: Reading) -> Event:
    return Event(reading.type, reading.subject, reading.ts_ms, reading.source, reading.id, b"", "", 0, "")


def _named(reading: Reading) -> str:
    if reading.outcome == "event":
        return f"the event {reading.source} {reading.id} of {reading.subject}"
    return f"a correction of {reading.source} {reading.id}" if reading.outcome == "correction" else "a dead letter"
