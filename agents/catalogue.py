"""The catalogue as every worker sees it: the log read as far as a position, never the files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.logs import Logs
from agents.topics import CATALOGUE
from pipeline.catalogue_validation import Loaded, load_catalogue
from schemas.catalogue_entry import ENTRY, Catalogue, MeterEntry, PlanEntry, catalogue_of, entry_key


class CatalogueLog:
    """billing.catalogue, read on demand and kept: each version once, in log order."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._entries: list[tuple[int, MeterEntry | PlanEntry]] = []
        self._position = 0
        self._lock = asyncio.Lock()

    async def as_of(self, next_offset: int) -> Catalogue:
        """The catalogue below a position of the log; reads on if it has not been read so far."""
        async with self._lock:
            if next_offset > self._position:
                for record in await self._logs.read(CATALOGUE, 0, self._position, next_offset):
                    if record.value is not None:
                        self._entries.append((record.offset, ENTRY.validate_json(record.value)))
                self._position = next_offset
        return catalogue_of(entry for offset, entry in self._entries if offset < next_offset)

    async def newest(self) -> Catalogue:
        """The catalogue up to the end of the log now: for people, not for anything that is billed."""
        return await self.as_of((await self._logs.end_offsets(CATALOGUE))[0])


@dataclass(frozen=True, slots=True)
class Change:
    """What applying files would do to one object."""

    key: str
    change: str


def read_files(paths: Sequence[Path]) -> Loaded:
    """Loads catalogue files from disk; folders stand for their *.toml."""
    files = [file for path in paths for file in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    return load_catalogue({str(file): file.read_text(encoding="utf-8") for file in files})


def entries_of(loaded: Loaded) -> tuple[MeterEntry | PlanEntry, ...]:
    """The catalogue records of what files define: meters first, plans with the meter versions that they price."""
    meters = tuple(MeterEntry.of(meter) for meter in loaded.meters)
    versions = {entry.name: entry.version for entry in meters}
    return (*meters, *(PlanEntry.of(plan, versions) for plan in loaded.plans))


def changes(current: Catalogue, entries: Sequence[MeterEntry | PlanEntry]) -> tuple[Change, ...]:
    """What each entry would change; unchanged ones included."""
    found = []
    for entry in entries:
        newest = (current.newest_meters if isinstance(entry, MeterEntry) else current.newest_plans).get(entry.name)
        said = "new" if newest is None else "unchanged" if newest == entry.version else f"replaces {newest}"
        found.append(Change(entry_key(entry), said))
    return tuple(found)


async def apply(logs: Logs, current: Catalogue, entries: Sequence[MeterEntry | PlanEntry]) -> int:
    """Publishes the entries that change something; how many there were. Running it again publishes none."""
    published = 0
    for entry, change in zip(entries, changes(current, entries), strict=True):
        if change.change != "unchanged":
            await logs.append(CATALOGUE, entry_key(entry).encode(), entry.model_dump_json().encode())
            published += 1
    return published
