"""The sealer: totals per five-minute pane, computed once the ledger covers the tick that ended them.

A pane is recomputed from raw events, never incremented; late events and corrections make it dirty and it is sealed
again at the next tick. One worker seals (the holder of partition 0); two would write the same rows.
Source: design.md §5.
"""

from __future__ import annotations

import asyncio
import logging

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.store.totals import TotalsStore
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.sealing import chunks, covers, ended_panes, vector_of
from schemas.tick import USAGE, Tick

log = logging.getLogger(__name__)

PANES_PER_STATEMENT = 4000


class Sealer:
    """Seals the panes of every meter of the catalogue."""

    def __init__(self, totals: TotalsStore, catalogue: CatalogueLog) -> None:
        self._totals, self._catalogue = totals, catalogue
        self._sealed_tick = 0
        self._corrected_to: list[int] = []
        self._view_of = -1

    async def look(self) -> int:
        """Seals what the last tick made sealable, once it is covered; how many panes."""
        tick = await asyncio.to_thread(self._totals.last_tick)
        if tick is None or tick.number == self._sealed_tick:
            return 0
        await self._refresh_view(tick)
        audited = await asyncio.to_thread(self._totals.audited_tick)
        coverage = await asyncio.to_thread(self._totals.coverage)
        if not covers(coverage, tick.vector.of(USAGE)):
            return 0
        sealed = await self.seal(tick, vector_of(coverage, len(tick.vector.of(USAGE))), audited)
        self._sealed_tick = tick.number
        return sealed

    async def seal(self, tick: Tick, coverage: list[int], audited: int) -> int:
        """Seals every pane that ended by the tick and was touched below `coverage` since its last seal."""
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        # Where a correction hits is known only by looking its target up: once per correction, all after a restart.
        corrected = await asyncio.to_thread(self._totals.corrected_panes, self._corrected_to, coverage)
        count = 0
        for entry in catalogue.meters.values():
            touched = {*await asyncio.to_thread(self._totals.touched_panes, entry, coverage), *corrected}
            for panes in chunks(ended_panes(tuple(touched), tick.time), PANES_PER_STATEMENT):
                await asyncio.to_thread(self._totals.seal, entry, panes, coverage, audited)
                count += len(panes)
        self._corrected_to = coverage
        if count:
            log.info("tick %s: sealed %s panes", tick.number, count)
        return count

    async def _refresh_view(self, tick: Tick) -> None:
        """The view of metered events follows the catalogue."""
        position = tick.vector.end(CATALOGUE, 0)
        if position == self._view_of:
            return
        catalogue = await self._catalogue.as_of(position)
        await asyncio.to_thread(self._totals.replace_metered_events, tuple(catalogue.meters.values()))
        self._view_of = position


def attach(app: TallyApp, sealer: Sealer) -> None:
    """Looks a few times a second whether a tick made something sealable."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> None:
        if 0 in delivery.partitions:
            await sealer.look()

    app.repeat("sealer", 0.5, look)
