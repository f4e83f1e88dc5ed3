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
from agents.store.day_totals import DayTotalsStore, Looked, Seal
from agents.store.following import Following
from agents.store.totals import TotalsStore
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.meters.day_sealing import is_due, turn_of
from pipeline.meters.day_sql import catalogue_hash
from pipeline.meters.sealing import Named, named_days
from pipeline.meters.vectors import covers
from schemas.catalogue_entry import MeterEntry
from schemas.tick import USAGE, Tick

log = logging.getLogger(__name__)

DAYS_PER_LOOK = 4
"""A new meter sees all old days: they are computed over several looks, so that panes do not wait."""


class DaySealer:
    """Computes the days that are over, and tells readers which are sealed."""

    def __init__(
        self, totals: TotalsStore, days: DayTotalsStore, catalogue: CatalogueLog, following: Following
    ) -> None:
        self._totals, self._days, self._catalogue, self._following = totals, days, catalogue, following
        self._done_tick = 0
        self._turn: object = None
        self._named: Mapping[Named, int] = {}
        self._looked: Looked | None = None
        self._corrected_to: list[int] = []
        self.waits = False
        """Whether the last tick is not covered yet, or days are left over."""

    async def look(self) -> int:
        """Computes the days that the last tick made due, once it is covered; how many."""
        tick = await asyncio.to_thread(self._totals.last_tick)
        self.waits = tick is not None and tick.number != self._done_tick
        if tick is None or not self.waits:
            return 0
        coverage = await self._follow(len(tick.vector.of(USAGE)))
        if not covers(coverage, tick.vector.of(USAGE)):
            return 0
        # Where a correction hits is known only by looking its target up: once per correction, all after a restart.
        opened = await asyncio.to_thread(self._days.open_corrected, self._corrected_to, coverage)
        self._corrected_to = coverage
        meters = tuple((await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))).meters.values())
        turn = (turn_of(tick.time), catalogue_hash(meters), await asyncio.to_thread(self._totals.audited_tick))
        count = rest = 0
        if self._looked is None or turn != self._turn:
            count, rest = await self._compute(tick, meters)
            self._looked = await asyncio.to_thread(self._days.look)
        else:
            self._looked = self._looked.without({*opened, *(day for day, _ in self._named)})
        await asyncio.to_thread(self._days.tell, self._looked, meters, coverage, tick.number)
        await asyncio.to_thread(self._days.note, self._named, coverage)
        self._named, self._turn = {}, turn
        if not rest:
            self._done_tick, self.waits = tick.number, False
        else:
            self._turn = None
        return count

    async def _follow(self, partitions: int) -> list[int]:
        ranges = await asyncio.to_thread(self._following.follow, partitions)
        coverage = self._following.covered or []
        if ranges is None:
            await asyncio.to_thread(self._days.summarise, coverage)
        self._named = named_days(self._named, ranges or ())
        return coverage

    async def _compute(self, tick: Tick, meters: Sequence[MeterEntry]) -> tuple[int, int]:
        """How many days were computed, and how many are left for the next look."""
        due = await asyncio.to_thread(self._due, tick, meters)
        for day, entries in due[:DAYS_PER_LOOK]:
            await asyncio.to_thread(self._days.seal, entries, day, tick)
        count = min(len(due), DAYS_PER_LOOK)
        if due:
            log.info("tick %s: computed %s days of %s", tick.number, count, len(due))
        return count, len(due) - count

    def _due(self, tick: Tick, entries: Sequence[MeterEntry]) -> list[tuple[date, list[MeterEntry]]]:
        """The days to compute, newest first, each with its meters."""
        seals = self._days.seals()
        found = [
            (day, [entry for entry in entries if _is_due(day, seals.get((entry.name, entry.version), {}), tick)])
            for day in reversed(self._days.days())
        ]
        return [(day, some) for day, some in found if some]

    def forget(self) -> None:
        """Another worker does it from now on: what is due is found anew if it comes back."""
        self._done_tick, self._turn, self._looked, self._named, self._corrected_to = 0, None, None, {}, []
        self._following.forget()


def _is_due(day: date, seals: Mapping[date, Seal], tick: Tick) -> bool:
    seal = seals.get(day)
    if seal is None:
        return is_due(day, sealed_at=None, changed=True, now=tick.time)
    return is_due(day, sealed_at=seal.time, changed=not seal.is_current, now=tick.time) and seal.tick < tick.number


def attach(app: TallyApp, sealer: DaySealer) -> None:
    """Looks whether a tick ended a day; again and again until it is covered."""
    delivery = app.deliveries[app.settings.topic_prefix + USAGE_EVENTS]

    async def look() -> bool:
        if 0 in delivery.partitions:
            await sealer.look()
        else:
            sealer.forget()
        return sealer.waits

    app.look("day sealer", look)
