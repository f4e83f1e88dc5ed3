"""The catalogue as every worker sees it: the log read as far as a position, never the files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.logs import Logs
from agents.topics import CATALOGUE
from pipeline.catalogue.changes import changes
from schemas.catalogue_entry import ENTRY, AnyEntry, Catalogue, catalogue_of

KEPT = 64
"""Catalogues that are kept folded: every close asks for the one below its tick's vector."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A record of billing.catalogue: a version, where it stands, and the broker's time of it."""

    offset: int
    applied_at: datetime
    entry: AnyEntry


class CatalogueLog:
    """billing.catalogue, read on demand and kept: each version once, in log order."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._applied: list[Applied] = []
        self._position = 0
        self._lock = asyncio.Lock()
        self._known: dict[int, Catalogue] = {}

    async def as_of(self, next_offset: int) -> Catalogue:
        """The catalogue below a position of the log; reads on if it has not been read so far."""
        if next_offset not in self._known:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[next_offset] = catalogue_of(applied.entry for applied in await self._below(next_offset))
        return self._known[next_offset]

    async def newest(self) -> Catalogue:
        """The catalogue up to the end of the log now: for people, not for anything that is billed."""
        return catalogue_of(applied.entry for applied in await self.history())

    async def history(self) -> tuple[Applied, ...]:
        """Every record up to the end of the log now, in order."""
        return await self._below((await self._logs.end_offsets(CATALOGUE))[0])

    async def _below(self, next_offset: int) -> tuple[Applied, ...]:
        async with self._lock:
            if next_offset > self._position:
                for record in await self._logs.read(CATALOGUE, 0, self._position, next_offset):
                    if record.value is not None:
                        applied_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
                        self._applied.append(Applied(record.offset, applied_at, ENTRY.validate_json(record.value)))
                self._position = next_offset
        return tuple(applied for applied in self._applied if applied.offset < next_offset)


async def apply(logs: Logs, current: Catalogue, entries: Sequence[AnyEntry]) -> int:
    """Publishes the entries that change something; how many there were. Running it again publishes none."""
    published = 0
    for change in changes(current, entries):
        if change.status != "unchanged":
            key = change.entry.key
            if change.returns:
                # Compaction keeps the last record of a key, and closes as of older vectors read the first.
                key += f"#{(await logs.end_offsets(CATALOGUE))[0]}"
            await logs.append(CATALOGUE, key.encode(), change.entry.model_dump_json().encode())
            published += 1
    return published
