"""The auditor: copies of an identity that do not collapse by themselves are retracted before anything closes on them.

A copy in another partition, with another time, subject or type is a row of its own. The first copy is the one under
the earliest tick, then at the smaller position; each later one gets a retraction that takes that copy's position, so it
holds under every vector that sees the copy. Then every position below the vector is accounted for: a row that was lost
parks the customers that it touches. No close before the audit of its vector. Source: design.md §5, §6.

It goes slice by slice, in the order in which copies are ranked (tick, then offset), and notes each: what was looked at
stays so, whoever dies. A later slice never makes another copy the first, so the slices may be cut anywhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.positions import Positions
from agents.store.audits import AuditStore, Slice
from agents.store.totals import TotalsStore
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.meters.sealing import chunks
from pipeline.meters.vectors import covers, cut, vector_of
from schemas.tick import ERASURES, USAGE, Tick

log = logging.getLogger(__name__)

PANES_PER_STATEMENT = 4000
FIRST_SLICE = 100_000
LARGEST_SLICE = 20_000_000


class Auditor:
    """Audits the vectors that something closes on, in order of their ticks."""

    def __init__(
        self, audits: AuditStore, totals: TotalsStore, catalogue: CatalogueLog, positions: Positions, crash: CrashPoint
    ) -> None:
        self._audits, self._totals, self._catalogue, self._positions = audits, totals, catalogue, positions
        self._crash = crash
        self._size = FIRST_SLICE
        self.waits = False
        """Whether a vector waits for the ledger, or for an erasure."""

    async def look(self) -> int:
        """Audits the waiting vectors that the ledger covers; how many they were.

        Slices double while they come through, and are small again after one that did not: a store that fails now and
        then, or a worker that is killed, never has much to do again.
        """
        waiting = await asyncio.to_thread(self._audits.waiting)
        self.waits = bool(waiting)
        coverage = await asyncio.to_thread(self._totals.coverage) if waiting else {}
        erased = await asyncio.to_thread(self._totals.erased_to) if waiting else 0
        # While an erasure is carried out, rows stand twice at their positions: they are not taken for copies.
        covered = [
            tick for tick in waiting
            if covers(vector_of(coverage, 0), tick.vector.of(USAGE)) and tick.vector.end(ERASURES, 0) <= erased
        ]  # fmt: skip
        left = covered
        while left:
            size, self._size = self._size, FIRST_SLICE
            audited = await self._go_on(left, coverage, size)
            self._size = min(2 * size, LARGEST_SLICE)
            left = [tick for tick in left if tick.number > audited]
        return len(covered)

    async def _go_on(self, covered: Sequence[Tick], coverage: Mapping[int, int], size: int) -> int:
        """One slice, and the audit of the tick at which it ends; the number of that tick, or 0."""
        reached = await asyncio.to_thread(self._audits.reached)
        to, tick = await asyncio.to_thread(self._next, reached, covered, size)
        if sum(to) > sum(reached):
            await self._slice(Slice(reached, to))
        if tick is None:
            return 0
        await self._finish(tick, vector_of(coverage, len(to)))
        return tick.number

    def _next(self, reached: Sequence[int], covered: Sequence[Tick], size: int) -> tuple[Sequence[int], Tick | None]:
        """Where a slice of at most so many positions ends: at a tick that waits, at another one, or between two."""
        most = sum(reached) + size
        near = [tick for tick in covered if sum(tick.vector.of(USAGE)) <= most]
        if near:
            # Several in one go, unless the last try failed.
            tick = near[-1] if size > FIRST_SLICE else near[0]
            return tick.vector.of(USAGE), tick
        within = self._audits.tick_within(most, covered[0].number)
        if sum(within) > sum(reached):
            return within, None
        return cut(reached, self._audits.tick_beyond(sum(reached)), size), None

    async def _slice(self, part: Slice) -> None:
        """Retracts the copies that are new in a slice, looks where every position ended, notes the slice."""
        work = self._audits.begin(part)
        try:
            with self._crash.around(Step.RETRACT):
                unknown = await asyncio.to_thread(work.look_up)
            with self._crash.around(Step.LOOK_UP):
                settled = await self._positions.look_up(unknown)
            with self._crash.around(Step.SLICE):
                await asyncio.to_thread(work.done)
        finally:
            await asyncio.to_thread(work.close)
        if settled.lost:
            log.critical("%s records up to %s have no row: whom they touch is not closed", settled.lost, list(part.to))
        log.info("looked at %s positions to %s: %s of them without a row", part.positions, list(part.to),
                 settled.copies + settled.empty + settled.lost)  # fmt: skip

    async def _finish(self, tick: Tick, coverage: list[int]) -> None:
        """Seals the panes of retracted copies again, and notes the tick."""
        _, before = await asyncio.to_thread(self._audits.audited)
        panes = await asyncio.to_thread(self._audits.retracted_panes, before, tick)
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        for some in chunks(panes, PANES_PER_STATEMENT):
            await asyncio.to_thread(self._totals.seal, tuple(catalogue.meters.values()), some, coverage, tick.number)
        with self._crash.around(Step.AUDIT):
            await asyncio.to_thread(self._audits.record, tick)
        log.info("tick %s: audited; retracted copies lie in %s panes", tick.number, len(panes))


def attach(app: TallyApp, auditor: Auditor) -> None:
    """Looks for a vector to audit; the holder of partition 0 does it."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> bool:
        if 0 in delivery.partitions:
            await auditor.look()
        return auditor.waits

    app.look("auditor", look)
