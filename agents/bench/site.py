"""Where a run happens: Kafka and ClickHouse of its own, a deployment for each measurement; all gone afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import agents
from agents.bench.events import Record
from agents.bench.processes import CORES, FIRST, REST, cpu_s, pin, pinned
from agents.clock import TickLog
from agents.logs import Logs
from agents.publisher import Publisher
from agents.settings import Settings
from agents.store.connection import Connection
from agents.store.migrations import migrate
from agents.topics import USAGE_EVENTS, reconcile_topics
from deploy.local import LocalSystem, Silent, status, up, wipe
from schemas.tick import Clock, Tick

Say = Callable[[str], None]
CHUNK = 20_000
WITHIN_S = 600.0


class BenchFailed(Exception):
    """A measurement did not come to its end."""


class Worker:
    """A child process with its log, on the first core."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as out, pinned(FIRST):
            self._process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def said(self) -> str:
        """Its log so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, words: str, within_s: float = 60) -> None:
        """Returns once its log holds some words. Raises BenchFailed."""
        deadline = time.monotonic() + within_s
        while words not in self.said():
            if not self.is_running or time.monotonic() > deadline:
                raise BenchFailed(f"a worker did not say {words!r}:\n{self.said()[-2000:]}")
            time.sleep(0.005)

    def ended(self, within_s: float = WITHIN_S) -> str:
        """Its log once it has ended. Raises BenchFailed if it fails."""
        if self._process.wait(within_s):
            raise BenchFailed(f"a worker failed:\n{self.said()[-2000:]}")
        return self.said()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Site:
    """The servers of one run. Use as a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tally-bench-"))
        self.home = self.folder / "home"
        self.system: LocalSystem
        self._deployed = 0

    def __enter__(self) -> Site:
        try:
            self.system = up(Silent(), home=self.home)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        wipe(self.home)
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self, server: str) -> int:
        """The process of a server."""
        return next(int(one.pid) for one in status(self.home) if one.name == server and one.pid)

    def spread(self) -> None:
        """Servers on the cores that workers do not use."""
        for server in ("kafka", "clickhouse"):
            pin(self.pid(server), REST)

    def gather(self) -> None:
        """Servers on all cores."""
        for server in ("kafka", "clickhouse"):
            pin(self.pid(server), set(CORES))

    def child(self, *arguments: str, settings: Settings) -> Worker:
        """Runs a module of ours on the first core, for one deployment."""
        self._deployed += 1
        log = self.folder / f"{self._deployed}-{arguments[1].rpartition('.')[2]}.log"
        return Worker([sys.executable, *arguments], environment(settings), log)

    def tally(self, work: str, settings: Settings) -> Worker:
        """Runs `tally worker`."""
        return self.child("-m", "agents.cli", "worker", work, settings=settings)

    async def deployment(self, name: str, **changes: object) -> Deployment:
        """Topics and tables of their own, by the default settings."""
        settings = Settings(
            home=self.home, database=f"bench_{name}", topic_prefix=f"{name}.", kafka=self.system.kafka,
            clickhouse=self.system.clickhouse, clickhouse_user=self.system.clickhouse_user,
            clickhouse_password=self.system.clickhouse_password, **changes,  # type: ignore[arg-type]
        )  # fmt: skip
        await reconcile_topics(settings)
        await asyncio.to_thread(migrate, settings)
        return Deployment(self, settings)


class Deployment:
    """Topics and tables under measurement. Use as an async context manager."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site, self.settings = site, settings
        self.logs = Logs(settings)
        self.ticks = TickLog(self.logs)
        self.db = Connection(settings)
        self._workers: list[Worker] = []

    async def __aenter__(self) -> Deployment:
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            await asyncio.to_thread(worker.stop)
        await self.logs.stop()
        await asyncio.to_thread(self.db.execute, f"DROP DATABASE IF EXISTS {self.settings.database} SYNC")
        self.db.close()

    def worker(self, work: str) -> Worker:
        """Starts a worker of ours."""
        worker = self.site.tally(work, self.settings)
        self._workers.append(worker)
        return worker

    def serve(self) -> Worker:
        """Starts a server on any port that is free, on the core of the workers."""
        settings = self.settings.model_copy(update={"serve_port": 0})
        server = self.site.child("-m", "agents.cli", "serve", settings=settings)
        self._workers.append(server)
        return server

    async def tick(self, at: datetime, clock: Clock = "test") -> Tick:
        """Moves billing time."""
        return await self.ticks.append(time=at, clock=clock)

    async def publish(self, records: Iterable[Record], compression: str | None = "lz4") -> int:
        """Publishes records as producers do, in large batches; how many."""
        partitions = await self.logs.partitions(USAGE_EVENTS)
        done = 0
        async with Publisher(self.settings, USAGE_EVENTS, partitions=partitions, compression=compression) as publisher:
            for chunk in chunks(records):
                await publisher.publish(chunk)
                done += len(chunk)
        return done

    def stored(self) -> int:
        """How many offsets of usage.events the ledger has reached, partitions added up."""
        rows = self.db.tuples(
            "SELECT sum(reached) FROM (SELECT max(next_offset) AS reached FROM ledger "
            "WHERE topic = 'usage.events' GROUP BY k_partition)"
        )
        return int(rows[0][0] or 0)

    async def until(self, done: Callable[[], Any], every_s: float = 0.1, within_s: float = WITHIN_S) -> None:
        """Returns once the answer is true. Raises BenchFailed."""
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(done):
            for worker in self._workers:
                if not worker.is_running:
                    raise BenchFailed(f"a worker ended:\n{worker.said()[-2000:]}")
            if time.monotonic() > deadline:
                raise BenchFailed("a measurement did not come to its end in time")
            await asyncio.sleep(every_s)

    def server_cpu_s(self) -> float:
        """CPU seconds of ClickHouse so far."""
        return cpu_s(self.site.pid("clickhouse"))


def chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Runs of at most CHUNK records."""
    stream = iter(records)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a process finds this deployment, whatever else this machine runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    given = {name: getattr(settings, name) for name in type(settings).model_fields}
    ours = {f"TALLY_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    root = str(Path(next(iter(agents.__path__))).parent)
    return {**kept, **ours, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}
