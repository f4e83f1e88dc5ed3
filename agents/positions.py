"""Every position of usage.events is accounted for: where no table has a row, the log is asked what stands there.

A copy collapsed into the first record of its key, a transaction marker is no record; both are written down, so that the
sum of stored rows is what was produced. Anything else is a row that was lost. Source: design.md §2.5, §6.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from agents.clock import first_tick
from agents.logs import LogRecord, Logs
from agents.store.positions import PositionStore
from agents.topics import USAGE_EVENTS
from pipeline.intake.validation import validate
from pipeline.proof.positions import Copy, Judged, Lost, Range, empty_parts, settled, together
from pipeline.proof.stretches import Stretch, parted

AT_ONCE = 2_000


@dataclass(slots=True)
class Found:
    """What stood at positions without a row."""

    copies: int = 0
    empty: int = 0
    lost: int = 0


class Positions:
    """Settles positions without a row."""

    def __init__(self, logs: Logs, store: PositionStore) -> None:
        self._logs, self._store = logs, store

    async def settle(
        self, start: Sequence[int], to: Sequence[int], told: Callable[[int], None] = lambda _: None
    ) -> Found:
        """Looks up every position of `[start, to)` that no table knows; `told` hears how many are settled.

        `to` must not lie beyond what is stored. Doing it twice finds nothing new.
        """
        return await self.look_up(await asyncio.to_thread(self._store.without_rows, start, to), told)

    async def look_up(self, ranges: Sequence[Range], told: Callable[[int], None] = lambda _: None) -> Found:
        """The same for positions of which it is known that no table knows them, in order."""
        found = Found()
        if not ranges:
            return found
        first = await first_tick(self._logs)
        wall_clock = first is not None and first.clock == "wall"
        stretches = await self._logs.stretches()
        for near in together(ranges):
            await self._settle(near, stretches[near[0].partition], found, wall_clock=wall_clock)
            told(found.copies + found.empty + found.lost)
        return found

    async def _settle(
        self, near: Sequence[Range], stretches: Sequence[Stretch], found: Found, *, wall_clock: bool
    ) -> None:
        """Looks up ranges of one partition that lie near one another; what is in no log any more has expired."""
        parts = [parted(stretches, each.first, each.next) for each in near]
        expired = [Range(near[0].partition, *part) for _, gone in parts for part in gone]
        held: dict[int, list[Range]] = {}
        for part in (part for kept, _ in parts for part in kept):
            held.setdefault(part.shift, []).append(Range(near[0].partition, part.first, part.next))
        for shift, ranges in held.items():
            await self._look_up(ranges, shift, found, wall_clock=wall_clock)
        await asyncio.to_thread(self._store.insert_empty, expired, "expired")
        found.empty += sum(part.next - part.first for part in expired)

    async def _look_up(self, held: Sequence[Range], shift: int, found: Found, *, wall_clock: bool) -> None:
        """What stands at positions of one epoch: records, or nothing."""
        seen: list[int] = []
        waiting: list[Judged] = []
        async for record in self._records(held, shift):
            seen.append(record.offset)
            verdict = validate(record.value, record.key, record.headers, record.timestamp_ms, wall_clock=wall_clock)
            if len(waiting) == AT_ONCE:
                await asyncio.to_thread(self._store_records, waiting, found)
                waiting = []
            waiting.append(Judged(record.partition, record.offset, record.timestamp_ms, verdict))
        await asyncio.to_thread(self._store_records, waiting, found)
        empty = [
            part for r in held for part in empty_parts(r, seen[bisect_left(seen, r.first) : bisect_left(seen, r.next)])
        ]
        await asyncio.to_thread(self._store.insert_empty, empty, "control")
        found.empty += sum(part.next - part.first for part in empty)

    async def _records(self, ranges: Sequence[Range], shift: int) -> AsyncIterator[LogRecord]:
        """The records of ranges of one partition and epoch, read in one go."""
        wanted = iter(ranges)
        now = next(wanted)
        async for record in self._logs.stream(USAGE_EVENTS, now.partition, now.first, ranges[-1].next, shift=shift):
            while record.offset >= now.next:
                now = next(wanted)
            if record.offset >= now.first:
                yield record

    def _store_records(self, records: Sequence[Judged], found: Found) -> None:
        parts = list(settled(records, self._store.firsts(records)))
        copies = [part for part in parts if isinstance(part, Copy)]
        lost = [part for part in parts if isinstance(part, Lost)]
        self._store.insert_copies(copies)
        self._store.insert_lost(lost)
        found.copies += len(copies)
        found.lost += len(lost)
