"""The day sealer: whole UTC days of every meter, computed once when they are over, for readers and for closes.

A day is computed under the vector of a tick, from raw events, never incremented; what came for it since makes it
unusable until it is computed again (`pipeline.meters.day_sealing`). Whoever holds partition 0 does it; two would
write the same rows.
Source: design.md §5, "Totals".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import date

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.store.day_totals import DayTotalsStore, Seal
from agents.store.totals import TotalsStore
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.meters.day_sealing import is_due
from pipeline.meters.vectors import covers, vector_of
from schemas.catalogue_entry import MeterEntry
from schemas.tick import USAGE, Tick

log = logging.getLogger(__name__)

DAYS_PER_LOOK = 4
"""A new meter sees all old days: they are computed over several looks, so that panes do not wait."""


class DaySealer:
    """Computes the days that are over."""

    def __init__(self, totals: TotalsStore, days: DayTotalsStore, catalogue: CatalogueLog) -> None:
        self._totals, self._days, self._catalogue = totals, days, catalogue
        self._done_tick = 0
        self._corrected_to: list[int] = []

    async def look(self) -> int:
        """Computes the days that the last tick made due, once it is covered; how many."""
        tick = await asyncio.to_thread(self._totals.last_tick)
        if tick is None or tick.number == self._done_tick:
            return 0
        coverage = vector_of(await asyncio.to_thread(self._totals.coverage), 0)
        if not covers(coverage, tick.vector.of(USAGE)):
            return 0
        meters = list((await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))).meters.values())
        due = await asyncio.to_thread(self._due, tick, meters, coverage)
        for day, entries in due[:DAYS_PER_LOOK]:
            await asyncio.to_thread(self._days.seal, entries, day, tick)
        if len(due) <= DAYS_PER_LOOK:
            self._done_tick = tick.number
        if due:
            log.info("tick %s: computed %s days of %s", tick.number, min(len(due), DAYS_PER_LOOK), len(due))
        return min(len(due), DAYS_PER_LOOK)

    def _due(
        self, tick: Tick, entries: Sequence[MeterEntry], coverage: list[int]
    ) -> list[tuple[date, list[MeterEntry]]]:
        """The days to compute, newest first, each with its meters."""
        # Where a correction hits is known only by looking its target up: once per correction, all after a restart.
        self._days.open_corrected(self._corrected_to, coverage)
        self._corrected_to = coverage
        self._days.summarise(coverage)
        seals = self._days.seals()
        found = [
            (day, [entry for entry in entries if _is_due(day, seals.get((entry.name, entry.version), {}), tick)])
            for day in reversed(self._days.days())
        ]
        return [(day, some) for day, some in found if some]

    def forget(self) -> None:
        """Another worker does it from now on: what is due is found anew if it comes back."""
        self._done_tick, self._corrected_to = 0, []


def _is_due(day: date, seals: Mapping[date, Seal], tick: Tick) -> bool:
    seal = seals.get(day)
    if seal is None:
        return is_due(day, sealed_at=None, changed=True, now=tick.time)
    return is_due(day, sealed_at=seal.time, changed=not seal.is_current, now=tick.time) and seal.tick < tick.number


def attach(app: TallyApp, sealer: DaySealer) -> None:
    """Looks every few seconds whether a tick ended a day."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> None:
        if 0 in delivery.partitions:
            await sealer.look()
        else:
            sealer.forget()

    app.repeat("day sealer", 2.0, look)
