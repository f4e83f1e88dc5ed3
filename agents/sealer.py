"""The sealer: totals per five-minute pane, computed once the ledger covers the tick that ended them.

A pane is recomputed from raw events, never incremented. A correction makes it dirty, and it is sealed again at the next
tick; late events do too, and it is sealed again once that is worth it (`pipeline.meters.sealing`). One worker seals
(the holder of partition 0); two would write the same rows.
Source: design.md §5.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.store.metering_costs import CostStore
from agents.store.totals import Known, TotalsStore
from agents.telemetry import SEAL_SECONDS, SEALED_PANES
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.meters.sealing import Pending, chunks, ended_panes, followed
from pipeline.meters.vectors import covers, vector_of
from schemas.catalogue_entry import MeterEntry
from schemas.tick import USAGE, Tick

log = logging.getLogger(__name__)

PANES_PER_STATEMENT = 4000
PANES_PER_LOOK = 4 * PANES_PER_STATEMENT
"""A new meter sees all old events: its panes are sealed over several looks, so that those of now do not wait."""
COSTS_EVERY_S = 60.0

Due = tuple[MeterEntry, Pending, bool, tuple[int, ...]]
"""A version of a meter, what waits for it, whether the panes were never sealed, and the panes."""


class Sealer:
    """Seals the panes of every meter of the catalogue."""

    def __init__(self, totals: TotalsStore, catalogue: CatalogueLog, costs: CostStore) -> None:
        self._totals, self._catalogue, self._costs = totals, catalogue, costs
        self._sealed_tick = 0
        self._covered: list[int] | None = None
        self._touched: set[int] = set()
        self._corrected_to: list[int] = []
        self._pending: dict[tuple[str, str], Pending] = {}
        self._view_of = -1
        self._costs_due = 0.0

    async def look(self) -> int:
        """Seals what the last tick made sealable, once it is covered; how many panes."""
        tick = await asyncio.to_thread(self._totals.last_tick)
        if tick is None or tick.number == self._sealed_tick:
            return 0
        await self._refresh_view(tick)
        coverage = await self._follow(len(tick.vector.of(USAGE)))
        if not covers(coverage, tick.vector.of(USAGE)):
            return 0
        with SEAL_SECONDS.time():
            sealed, rest = await self.seal(tick, coverage)
        SEALED_PANES.inc(sealed)
        if not rest:
            self._sealed_tick = tick.number
        if sealed and time.monotonic() >= self._costs_due:
            await asyncio.to_thread(self._costs.collect)
            self._costs_due = time.monotonic() + COSTS_EVERY_S
        return sealed

    async def _follow(self, partitions: int) -> list[int]:
        """How far usage.events is stored: asked once, then found from the ledger rows that follow."""
        if self._covered is None:
            self._covered = vector_of(await asyncio.to_thread(self._totals.coverage), partitions)
        else:
            ranges = await asyncio.to_thread(self._totals.ledger_beyond, self._covered)
            self._covered, touched = followed(self._covered, ranges)
            self._touched |= touched
        return self._covered

    async def seal(self, tick: Tick, coverage: list[int]) -> tuple[int, int]:
        """Seals the panes that ended by the tick and were touched below `coverage` since their last seal.

        How many, and how many are left for the next look: meters with few of them come first.
        """
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        known = await asyncio.to_thread(self._totals.known)
        due = await self._due(tuple(catalogue.meters.values()), tick, coverage, known)
        count, total = 0, sum(len(ended) for *_, ended in due)
        for entry, pending, first, ended in due:
            for panes in chunks(ended, PANES_PER_STATEMENT):
                if count < PANES_PER_LOOK:
                    is_known, pending.is_known = pending.is_known, False
                    await asyncio.to_thread(self._totals.seal, entry, panes, coverage, known.audited,
                                            first=first and is_known, plain=known.is_plain)  # fmt: skip
                    pending.is_known = is_known
                    pending.done(panes)
                    count += len(panes)
        for pending in self._pending.values() if count == total else ():
            pending.is_known = True
        if count:
            log.info("tick %s: sealed %s panes of %s", tick.number, count, total, extra={"tick": tick.number})
        return count, total - count

    async def _due(self, entries: Sequence[MeterEntry], tick: Tick, coverage: list[int], known: Known) -> list[Due]:
        """What is to be sealed now, the fewest panes first."""
        # Where a correction hits is known only by looking its target up: once per correction, all after a restart.
        corrected: Sequence[int] = ()
        if known.corrections:
            corrected = await asyncio.to_thread(self._totals.corrected_panes, self._corrected_to, coverage)
        sealed = await asyncio.to_thread(self._totals.sealed_among, self._touched)
        found: list[Due] = []
        for entry in entries:
            pending = self._pending.get((entry.name, entry.version))
            touched = {pane: (entry.name, entry.version, pane) in sealed for pane in self._touched}
            if pending is None:  # all of the ledger, against all seals
                touched = await asyncio.to_thread(self._totals.touched_panes, entry)
                pending = Pending(sealed=await asyncio.to_thread(self._totals.sealed_panes, entry))
                self._pending[entry.name, entry.version] = pending
            pending.add(touched, coverage, corrected)
            pending.mend()
            for panes, first in ((pending.first, True), (pending.again, False)):
                found.append((entry, pending, first, ended_panes(tuple(panes), tick.time)))
        self._touched, self._corrected_to = set(), coverage
        return sorted(found, key=lambda due: len(due[-1]))

    def forget(self) -> None:
        """Another worker seals from now on: what waits is found anew if it comes back."""
        self._pending.clear()
        self._covered, self._touched, self._corrected_to = None, set(), []

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
