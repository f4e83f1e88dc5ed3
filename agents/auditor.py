"""The auditor: copies of an identity that do not collapse by themselves are retracted before anything closes on them.

A copy in another partition, with another time, subject or type is a row of its own. The first copy is the one under
the earliest tick, then at the smaller position; each later one gets a retraction that takes that copy's position, so it
holds under every vector that sees the copy. Then every position below the vector is accounted for: a row that was lost
parks the customers that it touches. No close before the audit of its vector. Source: design.md §5, §6.
"""

from __future__ import annotations

import asyncio
import logging

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.positions import Positions
from agents.store.audits import AuditStore
from agents.store.totals import TotalsStore
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.meters.sealing import chunks
from pipeline.meters.vectors import covers, vector_of
from schemas.tick import ERASURES, USAGE, Tick

log = logging.getLogger(__name__)

IDENTITY_HORIZON_DAYS = 400
PANES_PER_STATEMENT = 4000


class Auditor:
    """Audits the vectors that something closes on, in order of their ticks."""

    def __init__(self, audits: AuditStore, totals: TotalsStore, catalogue: CatalogueLog, positions: Positions) -> None:
        self._audits, self._totals, self._catalogue, self._positions = audits, totals, catalogue, positions
        self._failed = False

    async def look(self) -> int:
        """Audits the newest waiting vector that the ledger covers, which every earlier one lies below; how many wait.

        Which copy is the first does not depend on the vector that asks: it is under the earliest tick of all. After an
        audit that failed the oldest one is taken instead: a store that fails now and then would never see the largest
        through, and what waits would grow.
        """
        waiting = await asyncio.to_thread(self._audits.waiting)
        coverage = await asyncio.to_thread(self._totals.coverage) if waiting else {}
        erased = await asyncio.to_thread(self._totals.erased_to) if waiting else 0
        # While an erasure is carried out, rows stand twice at their positions: they are not taken for copies.
        covered = [
            tick for tick in waiting
            if covers(vector_of(coverage, 0), tick.vector.of(USAGE)) and tick.vector.end(ERASURES, 0) <= erased
        ]  # fmt: skip
        if covered:
            tick = covered[0 if self._failed else -1]
            self._failed = True
            await self.audit(tick, vector_of(coverage, len(tick.vector.of(USAGE))))
            self._failed = False
        return len(covered)

    async def audit(self, tick: Tick, coverage: list[int]) -> None:
        """Retracts the copies that are new below a tick's vector, seals their panes again, looks where every position
        ended, notes the tick."""
        _, before = await asyncio.to_thread(self._audits.audited)
        usage = tick.vector.of(USAGE)
        await asyncio.to_thread(self._audits.retract_copies, before, usage, horizon_days=IDENTITY_HORIZON_DAYS)
        panes = await asyncio.to_thread(self._audits.retracted_panes, before, tick)
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        for entry in catalogue.meters.values() if panes else ():
            for some in chunks(panes, PANES_PER_STATEMENT):
                await asyncio.to_thread(self._totals.seal, entry, some, coverage, tick.number)
        settled = await self._positions.settle(before, usage)
        if settled.lost:
            log.critical("tick %s: %s records have no row: whom they touch is not closed", tick.number, settled.lost)
        await asyncio.to_thread(self._audits.record, tick)
        log.info("tick %s: audited; retracted copies lie in %s panes", tick.number, len(panes))


def attach(app: TallyApp, auditor: Auditor) -> None:
    """Looks a few times a second for a vector to audit; the holder of partition 0 does it."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> None:
        if 0 in delivery.partitions:
            await auditor.look()

    app.repeat("auditor", 0.25, look)
