"""The sealer: totals per five-minute pane, computed once the ledger covers the tick that ended them.

A pane is recomputed from raw events, never incremented. A correction makes it dirty, and it is sealed again at the next
tick; late events do too, and it is sealed again once that is worth it (`pipeline.sealing`). One worker seals (the
holder of partition 0); two would write the same rows.
Source: design.md §5.
"""

from __future__ import annotations

import asyncio
import logging

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.store.metering_costs import CostStore
from agents.store.totals import TotalsStore
from agents.telemetry import SEAL_SECONDS, SEALED_PANES
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.sealing import Pending, chunks, covers, ended_panes, vector_of
from schemas.catalogue_entry import MeterEntry
from schemas.tick import USAGE, Tick

log = logging.getLogger(__name__)

PANES_PER_STATEMENT = 4000
PANES_PER_LOOK = 4 * PANES_PER_STATEMENT
"""A new meter sees all old events: its panes are sealed over several looks, so that those of now do not wait."""


class Sealer:
    """Seals the panes of every meter of the catalogue."""

    def __init__(self, totals: TotalsStore, catalogue: CatalogueLog, costs: CostStore) -> None:
        self._totals, self._catalogue, self._costs = totals, catalogue, costs
        self._sealed_tick = 0
        self._corrected_to: list[int] = []
        self._pending: dict[tuple[str, str], Pending] = {}
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
        with SEAL_SECONDS.time():
            sealed, rest = await self.seal(tick, vector_of(coverage, len(tick.vector.of(USAGE))), audited)
        SEALED_PANES.inc(sealed)
        if not rest:
            self._sealed_tick = tick.number
        if sealed:
            await asyncio.to_thread(self._costs.collect)
        return sealed

    async def seal(self, tick: Tick, coverage: list[int], audited: int) -> tuple[int, int]:
        """Seals the panes that ended by the tick and were touched below `coverage` since their last seal.

        How many, and how many are left for the next look: meters with few of them come first.
        """
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        # Where a correction hits is known only by looking its target up: once per correction, all after a restart.
        corrected = await asyncio.to_thread(self._totals.corrected_panes, self._corrected_to, coverage)
        self._corrected_to = coverage
        waiting = []
        for entry in catalogue.meters.values():
            pending = await self._of(entry)
            pending.add(await asyncio.to_thread(self._totals.panes_beyond, entry, pending.seen), coverage, corrected)
            pending.mend()
            waiting += [(entry, pending, pending.first, True), (entry, pending, pending.again, False)]
        due = [(*found, ended_panes(tuple(found[2]), tick.time)) for found in waiting]
        count, total = 0, sum(len(ended) for *_, ended in due)
        for entry, pending, _, first, ended in sorted(due, key=lambda found: len(found[-1])):
            for panes in chunks(ended, PANES_PER_STATEMENT):
                if count < PANES_PER_LOOK:
                    known, pending.is_known = pending.is_known, False
                    await asyncio.to_thread(self._totals.seal, entry, panes, coverage, audited, first=first and known)
                    pending.is_known = known
                    pending.done(panes)
                    count += len(panes)
        for pending in self._pending.values() if count == total else ():
            pending.is_known = True
        if count:
            log.info("tick %s: sealed %s panes of %s", tick.number, count, total, extra={"tick": tick.number})
        return count, total - count

    async def _of(self, entry: MeterEntry) -> Pending:
        key = (entry.name, entry.version)
        if key not in self._pending:
            sealed = await asyncio.to_thread(self._totals.sealed_panes, entry)
            self._pending[key] = Pending(sealed=sealed)
        return self._pending[key]

    def forget(self) -> None:
        """Another worker seals from now on: what waits is found anew if it comes back."""
        self._pending.clear()
        self._corrected_to = []

    async def _refresh_view(self, tick: Tick) -> None:
        """The views of metered events and of plans follow the catalogue."""
        position = tick.vector.end(CATALOGUE, 0)
        if position == self._view_of:
            return
        catalogue = await self._catalogue.as_of(position)
        await asyncio.to_thread(self._totals.replace_metered_events, tuple(catalogue.meters.values()))
        await asyncio.to_thread(self._totals.replace_late_horizons, tuple(catalogue.plans.values()))
        self._view_of = position


def attach(app: TallyApp, sealer: Sealer) -> None:
    """Looks a few times a second whether a tick made something sealable."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> None:
        if 0 in delivery.partitions:
            await sealer.look()
        else:
            sealer.forget()

    app.repeat("sealer", 0.5, look)
