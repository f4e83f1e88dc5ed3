"""A database computed again from the logs by real workers whose outputs are off, and compared with the present one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.logs import Logs
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.fingerprints import TABLES, Bound, Fingerprint, Fingerprints
from agents.store.migrations import migrate
from agents.topics import ATTRIBUTIONS, COMMANDS, FINALISATIONS, PERIODS, TICKS, USAGE_EVENTS

READ = (USAGE_EVENTS, ATTRIBUTIONS, TICKS, COMMANDS, PERIODS, FINALISATIONS)
"""The logs that a database is a function of, beside the catalogue, which is read where it is needed."""
LOOK_EVERY_S = 0.5
STOP_WITHIN_S = 15
WORKERS = ("ingest", "billing")


class RebuildRefused(Exception):
    """A rebuild cannot start, or cannot be one; the message says what helps."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One table in both databases."""

    table: str
    present: Fingerprint
    rebuilt: Fingerprint

    @property
    def equal(self) -> bool:
        """Whether both hold the same."""
        return self.present == self.rebuilt


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild read, how long it took, and how the tables compare."""

    database: str
    records: int
    seconds: float
    tables: tuple[Compared, ...]

    @property
    def equal(self) -> bool:
        """Whether every table holds the same."""
        return all(table.equal for table in self.tables)


async def ends_of(logs: Logs, *, from_zero: bool) -> dict[str, tuple[int, ...]]:
    """Where every log ends now. Raises RebuildRefused where a log no longer begins at 0 and must be read from there."""
    ends = {}
    for topic in READ:
        begins, ends[topic] = await logs.bounds(topic)
        gone = [f"{topic}/{partition} begins at {begin}" for partition, begin in enumerate(begins) if begin]
        if from_zero and gone:
            raise RebuildRefused(
                f"the broker no longer holds every record ({'; '.join(gone)}): restore a backup of the tables into a "
                "database of its own, and let it catch up with --catch-up"
            )
    return ends


async def rebuilt(
    settings: Settings, target: Settings, ends: Mapping[str, tuple[int, ...]], *,
    told: Callable[[int], None], patience_s: float,
) -> Rebuilt:  # fmt: skip
    """Lets workers compute `target` up to `ends`, then compares it with the database of `settings`.

    A worker that dies ends it, with what it said last. Where nothing moves for `patience_s`, what is there is compared.
    """
    began = time.monotonic()
    total = sum(map(sum, ends.values()))
    async with _reading(settings, target) as (present, again):
        bound = await asyncio.to_thread(_bound, present.fingerprints, ends)
        with _workers(target) as workers:
            moved, last = time.monotonic(), -1
            while not await asyncio.to_thread(_arrived, present, again, ends, bound):
                workers.check()
                done = await asyncio.to_thread(again.stored, ends)
                told(done)
                seen = done + await asyncio.to_thread(again.rows, bound)
                if seen != last:
                    moved, last = time.monotonic(), seen
                elif time.monotonic() - moved > patience_s:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        told(total)
        tables = await asyncio.to_thread(_compared, present, again, bound)
    return Rebuilt(target.database, total, time.monotonic() - began, tables)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of both databases."""

    fingerprints: Fingerprints
    billing: BillingStore

    def stored(self, ends: Mapping[str, tuple[int, ...]]) -> int:
        """How many records below the ends are stored."""
        return sum(
            min(self.billing.coverage(topic).get(partition, 0), end)
            for topic in ends
            for partition, end in enumerate(ends[topic])
        )

    def rows(self, bound: Bound) -> int:
        """Rows of what is computed last."""
        return sum(self.fingerprints.of(table, bound).rows for table in ("period_usage", "closes", "invoices"))


@asynccontextmanager
async def _reading(settings: Settings, target: Settings) -> AsyncIterator[tuple[_Side, _Side]]:
    connections = [Connection(settings), Connection(target)]
    present, again = (_Side(Fingerprints(one), BillingStore(one)) for one in connections)
    try:
        yield present, again
    finally:
        for connection in connections:
            connection.close()


def _bound(present: Fingerprints, ends: Mapping[str, tuple[int, ...]]) -> Bound:
    tick, audited = present.last_closed()
    erased = present.erased_to()
    return Bound(
        usage=ends[USAGE_EVENTS], audited=audited, commands=ends[COMMANDS], attributions=ends[ATTRIBUTIONS][0],
        finalisations=ends[FINALISATIONS][0], tick=tick, erasures=erased,
    )  # fmt: skip


def _arrived(present: _Side, again: _Side, ends: Mapping[str, tuple[int, ...]], bound: Bound) -> bool:
    """Whether everything is read, and as much is computed as there is."""
    if again.stored(ends) < sum(map(sum, ends.values())):
        return False
    late = ("retractions", "period_usage", "closes", "run_lines", "finalisations", "erasures", "drafts", "invoices")
    return all(
        again.fingerprints.of(table, bound).rows >= present.fingerprints.of(table, bound).rows for table in late
    ) and again.fingerprints.of("invoices", bound) == present.fingerprints.of("invoices", bound)


def _compared(present: _Side, again: _Side, bound: Bound) -> tuple[Compared, ...]:
    return tuple(
        Compared(table, present.fingerprints.of(table, bound), again.fingerprints.of(table, bound)) for table in TABLES
    )


class _Workers:
    """Workers without outputs, in processes of their own."""

    def __init__(self, target: Settings, folder: Path) -> None:
        self._logs = {name: folder / f"{name}.log" for name in WORKERS}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name in WORKERS:
            with self._logs[name].open("wb") as out:
                command = (sys.executable, "-m", "agents.cli", "worker", name)
                self._running[name] = subprocess.Popen(command, env=_environment(target), stdout=out, stderr=out)

    def check(self) -> None:
        """Raises RebuildRefused, with what it said last, if one has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                said = self._logs[name].read_text(encoding="utf-8", errors="replace").strip()[-1500:]
                raise RebuildRefused(f"the {name} worker of the rebuild ended with code {process.returncode}:\n{said}")

    def stop(self) -> None:
        """Ends them."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _workers(target: Settings) -> Iterator[_Workers]:
    with tempfile.TemporaryDirectory(prefix="tally-rebuild-") as folder:
        workers = _Workers(target, Path(folder))
        try:
            yield workers
        finally:
            workers.stop()


def _environment(target: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    given = {name: getattr(target, name) for name in type(target).model_fields}
    return {**kept, **{f"TALLY_{name.upper()}": str(value) for name, value in given.items() if value is not None}}


def target_of(settings: Settings, database: str) -> Settings:
    """Settings of the database that is computed: outputs off, no fixed name in a group, no crash."""
    return settings.model_copy(update={"database": database, "outputs": "off", "instance": "", "crash_at": ""})


def prepare(target: Settings, *, catch_up: bool) -> None:
    """An empty database with tables; or, to catch up, one that is there. Raises RebuildRefused."""
    connection = Connection(target, database="default")
    try:
        there = connection.tuples(
            "SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": target.database}
        )
    finally:
        connection.close()
    if there and not catch_up:
        raise RebuildRefused(f"database {target.database} is there already: name another, drop it, or use --catch-up")
    if not there and catch_up:
        raise RebuildRefused(f"database {target.database} is not there: restore a backup into it first")
    migrate(target)


def drop(target: Settings) -> None:
    """Drops the database that was computed."""
    connection = Connection(target, database="default")
    try:
        connection.execute(f"DROP DATABASE `{target.database}` SYNC")
    finally:
        connection.close()


def differing(tables: Sequence[Compared]) -> list[str]:
    """The tables that differ, in words."""
    return [f"{one.table}: present {one.present}, rebuilt {one.rebuilt}" for one in tables if not one.equal]
