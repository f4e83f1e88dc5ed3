"""The eraser: records of billing.erasures are carried out, in order, between the closes before and after them.

An erasure waits until every close under a tick that does not know it is made, and closes under ticks that know it wait
for it (`BillingStore.missing`): so it happens at one place of the log, whoever computes, and never during a close.
"""

from __future__ import annotations

import asyncio
import logging

from agents.catalogue import CatalogueLog
from agents.delivery import TallyApp
from agents.logs import Logs
from agents.store.erasures import ErasureStore
from agents.topics import ERASURES, FINALISATIONS
from schemas.erasure import Erasure

log = logging.getLogger(__name__)


class Eraser:
    """Carries out what billing.erasures asks for."""

    def __init__(self, logs: Logs, store: ErasureStore, catalogue: CatalogueLog, *, partitions: int) -> None:
        self._logs, self._store, self._catalogue, self._partitions = logs, store, catalogue, partitions
        self._done = -1

    async def look(self) -> int:
        """Carries out the erasures that are due; how many."""
        end = (await self._logs.end_offsets(ERASURES))[0]
        if self._done >= end:
            return 0
        self._done = await asyncio.to_thread(self._store.carried_out_to)
        count = 0
        for record in await self._logs.read(ERASURES, 0, self._done, end):
            if await asyncio.to_thread(self._store.waits_for, record.offset, self._partitions):
                break
            erasure = Erasure.model_validate_json(record.value or b"")
            meters = [entry.meter for entry in (await self._catalogue.newest()).meters.values()]
            extent = await asyncio.to_thread(self._store.carry_out, record.offset, erasure, meters)
            log.info("%s: %s events, %s dead letters erased", erasure.pseudonym, extent.events, extent.dead_letters)
            self._done = record.offset + 1
            count += 1
        return count


def attach(app: TallyApp, eraser: Eraser) -> None:
    """Looks in the worker that holds the log of documents, so that one worker erases."""
    finalisations = app.deliveries[app.settings.topic_prefix + FINALISATIONS]

    async def look() -> None:
        if finalisations.partitions:
            await eraser.look()

    app.repeat("erasures", 1.0, look)
