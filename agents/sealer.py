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
from typing import NamedTuple

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.store.metering_costs import CostStore
from agents.store.totals import Known, TotalsStore
from agents.telemetry import SEAL_SECONDS, SEALED_PANES
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.meters.sealing import Pending, chunks, ended_panes
from pipeline.meters.vectors import covers
from schemas.catalogue_entry import MeterEntry
from schemas.tick import USAGE, Tick

log = logging.getLogger(__name__)

PANES_PER_STATEMENT = 4000
PANES_PER_LOOK = 4 * PANES_PER_STATEMENT
"""A new meter sees all old events: its panes are sealed over several looks, so that those of now do not wait."""
COSTS_EVERY_S = 60.0


class Due(NamedTuple):
    """Versions of meters with the same panes to seal, what waits for each, and whether the panes were never sealed."""

    entries: Sequence[MeterEntry]
    pending: Sequence[Pending]
    first: bool
    panes: tuple[int, ...]


class Sealer:
    """Seals the panes of every meter of the catalogue."""

    def __init__(self, totals: TotalsStore, catalogue: CatalogueLog, costs: CostStore) -> None:
        self._totals, self._catalogue, self._costs = totals, catalogue, costs
        self._sealed_tick = 0
        self._touched: set[int] = set()
        self._followed_to: list[int] = []
        self._audited = 0
        self._pending: dict[tuple[str, str], Pending] = {}
        self._view_of = -1
        self._costs_due = 0.0
        self.waits = False
        """Whether the last tick is not covered yet, or panes are left over."""

    async def look(self) -> int:
        """Seals what the last tick made sealable, once it is covered; how many panes."""
        tick = await asyncio.to_thread(self._totals.last_tick)
        self.waits = tick is not None and tick.number != self._sealed_tick
        if tick is None or not self.waits:
            return 0
        await self._refresh_view(tick)
        coverage = await self._follow(len(tick.vector.of(USAGE)))
        if not covers(coverage, tick.vector.of(USAGE)):
            return 0
        with SEAL_SECONDS.time():
            sealed, rest = await self.seal(tick, coverage)
        SEALED_PANES.inc(sealed)
        if not rest:
            self._sealed_tick, self.waits = tick.number, False
        if sealed and time.monotonic() >= self._costs_due:
            await asyncio.to_thread(self._costs.collect)
            self._costs_due = time.monotonic() + COSTS_EVERY_S
        return sealed

    async def _follow(self, partitions: int) -> list[int]:
        ranges = await asyncio.to_thread(self._totals.following.follow, partitions)
        for found in ranges or ():
            self._touched.update(found.panes)
        return self._totals.following.covered or []

    async def seal(self, tick: Tick, coverage: list[int]) -> tuple[int, int]:
        """Seals the panes that ended by the tick and were touched below `coverage` since their last seal.

        How many, and how many are left for the next look: meters with few of them come first.
        """
        meters = tuple((await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))).meters.values())
        known = await asyncio.to_thread(self._totals.known)
        due = await self._due(meters, tick, coverage, known)
        count, total = 0, sum(len(one.panes) * len(one.entries) for one in due)
        for one in due:
            for panes in chunks(one.panes, PANES_PER_STATEMENT):
                if count < PANES_PER_LOOK:
                    await self._seal(one, panes, coverage, known)
                    count += len(panes) * len(one.entries)
        for pending in self._pending.values() if count == total else ():
            pending.is_known = True
        await self._note(meters, coverage, known)
        if count:
            log.info("tick %s: sealed %s panes of %s", tick.number, count, total, extra={"tick": tick.number})
        return count, total - count

    async def _seal(self, one: Due, panes: Sequence[int], coverage: list[int], known: Known) -> None:
        is_known = [pending.is_known for pending in one.pending]
        for pending in one.pending:
            pending.is_known = False
        await asyncio.to_thread(self._totals.seal, one.entries, panes, coverage, known.audited,
                                first=one.first and all(is_known), plain=known.is_plain)  # fmt: skip
        for pending, was_known in zip(one.pending, is_known, strict=True):
            pending.is_known = was_known
            pending.done(panes)

    async def _note(self, meters: Sequence[MeterEntry], coverage: list[int], known: Known) -> None:
        """Tells readers which panes may not hold all that is stored."""
        waiting = {pane for entry in meters for pane in self._pending[entry.name, entry.version].waiting()}
        await asyncio.to_thread(self._totals.note_tail, meters, waiting, coverage, known.audited)

    async def _due(self, entries: Sequence[MeterEntry], tick: Tick, coverage: list[int], known: Known) -> list[Due]:
        """What is to be sealed now, the fewest panes first."""
        # Where a correction hits is known only by looking its target up: once per correction, all after a restart.
        corrected: Sequence[int] = ()
        if known.corrections:
            corrected = await asyncio.to_thread(self._totals.corrected_panes, self._followed_to, coverage)
        sealed = await asyncio.to_thread(self._totals.sealed_among, self._touched)
        outdone = await self._outdone(known)
        found: dict[tuple[bool, tuple[int, ...]], list[tuple[MeterEntry, Pending]]] = {}
        for entry in entries:
            pending = self._pending.get((entry.name, entry.version))
            touched = {pane: (entry.name, entry.version, pane) in sealed for pane in self._touched}
            if pending is None:  # all of the ledger, against all seals
                touched = await asyncio.to_thread(self._totals.touched_panes, entry)
                pending = Pending(sealed=await asyncio.to_thread(self._totals.sealed_panes, entry))
                self._pending[entry.name, entry.version] = pending
            pending.add(touched, coverage, [*corrected, *outdone.get((entry.name, entry.version), ())])
            pending.mend()
            for panes, first in ((pending.first, True), (pending.again, False)):
                if ended := ended_panes(tuple(panes), tick.time):
                    found.setdefault((first, ended), []).append((entry, pending))
        self._touched, self._followed_to, self._audited = set(), coverage, known.audited
        due = [Due([e for e, _ in held], [p for _, p in held], *key) for key, held in found.items()]
        return sorted(due, key=lambda one: len(one.panes))

    async def _outdone(self, known: Known) -> dict[tuple[str, str], list[int]]:
        """Panes whose newest seal knew of a later audit than we did, and covers less."""
        found: dict[tuple[str, str], list[int]] = {}
        if known.audited > self._audited:
            for meter, version, pane, vector in await asyncio.to_thread(self._totals.sealed_beyond, self._audited):
                if not covers(vector, self._followed_to):
                    found.setdefault((meter, version), []).append(pane)
        return found

    def forget(self) -> None:
        """Another worker seals from now on: what waits is found anew if it comes back."""
        self._pending.clear()
        self._totals.following.forget()
        self._touched, self._followed_to, self._audited = set(), [], 0

    async def _refresh_view(self, tick: Tick) -> None:
        """The views of metered events and of plans follow the catalogue."""
        position = tick.vector.end(CATALOGUE, 0)
        if position == self._view_of:
            return
        catalogue = await self._catalogue.as_of(position)
        await asyncio.to_thread(self._totals.replace_metered_events, tuple(catalogue.meters.values()),
                                len(tick.vector.of(USAGE)))  # fmt: skip
        await asyncio.to_thread(self._totals.replace_late_horizons, tuple(catalogue.plans.values()))
        self._view_of = position


def attach(app: TallyApp, sealer: Sealer) -> None:
    """Looks whether a tick made something sealable; again and again until it is covered."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> bool:
        if 0 in delivery.partitions:
            await sealer.look()
        else:
            sealer.forget()
        return sealer.waits

    app.look("sealer", look)
