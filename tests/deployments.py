"""A deployment of one test: topics and tables of its own on the shared servers, workers as real processes.

Nothing here is a second implementation: commands, ticks and attributions are the ones of `agents.cli.stage`, records go
through `agents.publisher`, answers come from the stores and the topics themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from agents.cli.screen import Wait
from agents.cli.stage import Stage
from agents.logs import LogRecord, Logs
from agents.publisher import Publisher, Record
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.topics import INVOICES, USAGE_EVENTS
from schemas.invoice import Invoice
from schemas.tick import USAGE, Tick
from tests.nursery import ROOT, nursery

POLL_S = 0.05
STOP_WITHIN_S = 15
WITHIN_S = 60  # a busy machine is slow, and no failure
Answer = TypeVar("Answer")


class WorkerProcess:
    """`tally worker NAME` in a process of its own, with a log."""

    def __init__(self, name: str, settings: Settings, log: Path) -> None:
        self.name, self.log = name, log
        self.may_die = bool(settings.crash_at)
        self._life = nursery().start(("worker", name), environment(settings), log)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._life.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -9 after SIGKILL."""
        return self._life.exit_code

    def kill(self) -> None:
        """SIGKILL: no goodbye to the group, nothing committed."""
        self.may_die = True
        self._life.kill()

    def stop(self) -> int:
        """SIGTERM, as a supervisor does it; the exit code."""
        self.may_die = True
        self._life.signal(signal.SIGTERM)
        return self._life.wait(STOP_WITHIN_S)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a process finds this deployment, whatever else this machine runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    given = {name: getattr(settings, name) for name in type(settings).model_fields}
    ours = {f"TALLY_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    return {**kept, **ours, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default"}


class Deployment:
    """One test's deployment. Every wait has a limit, and ends at once when a worker died that should not have."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.stage = Stage(settings)
        self.logs: Logs = self.stage.logs
        self.db = Connection(settings)
        self.billing = BillingStore(self.db)
        self.workers: list[WorkerProcess] = []
        self.last: Tick | None = None

    async def close(self) -> None:
        """Ends the workers and the connections."""
        for worker in self.workers:
            worker.kill()
        await self.logs.stop()
        self.stage._db.close()
        self.db.close()

    # -- workers -----------------------------------------------------------------------------------------------------

    def worker(self, name: str, **settings: object) -> WorkerProcess:
        """Starts a worker; `settings` change some of the deployment's for it alone."""
        log = self.folder / f"{len(self.workers)}-{name}.log"
        worker = WorkerProcess(name, self.settings.model_copy(update=settings), log)
        self.workers.append(worker)
        return worker

    def line(self) -> tuple[WorkerProcess, WorkerProcess]:
        """One worker of each kind."""
        return self.worker("ingest"), self.worker("billing")

    async def until(self, done: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> Any:
        """Asks again and again until the answer is true, and returns it. Raises AssertionError."""
        deadline = time.monotonic() + within_s
        while not (answer := await asyncio.to_thread(done)):
            self._check_workers()
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s} s: {what}\n{self._said()}")
            await asyncio.sleep(POLL_S)
        return answer

    async def watching(self, work: Awaitable[Answer], within_s: float = WITHIN_S) -> Answer:
        """Awaits something that workers do, with the limit and the watch of `until`."""
        task = asyncio.ensure_future(work)
        try:
            await self.until(task.done, "the workers answer", within_s)
            return await task
        finally:
            task.cancel()

    def _check_workers(self) -> None:
        for worker in self.workers:
            if worker.exit_code is not None and not worker.may_die:
                raise AssertionError(f"worker {worker.name} ended with {worker.exit_code}:\n{worker.said()}")

    def _said(self) -> str:
        return "\n".join(f"--- {worker.name} {worker.pid}\n{worker.said()}" for worker in self.workers)

    # -- billing time ------------------------------------------------------------------------------------------------

    async def begin(self, at: datetime) -> Tick:
        """Fixes a test clock."""
        self.last = await self.stage.tick(at, None)
        return self.last

    async def tick(self, at: datetime) -> Tick:
        """Moves the test clock."""
        self.last = await self.stage.tick(at, self.last)
        return self.last

    # -- what people and producers do --------------------------------------------------------------------------------

    async def apply(self, catalogue: str) -> None:
        """Publishes a catalogue given as TOML."""
        file = self.folder / "catalogue.toml"
        file.write_text(catalogue, encoding="utf-8")
        await self.stage.apply_catalogue([file])

    async def attribute(self, owners: Mapping[str, str], effective_from: datetime) -> None:
        """Says whose subjects they are."""
        await self.stage.attribute(owners, effective_from)

    async def subscribe(self, plans: Mapping[str, str], starts_at: datetime) -> None:
        """Puts customers on plans; returns once that is accepted. Needs a billing worker and the clock."""
        assert self.last is not None, "begin the clock first"
        await self.watching(self.stage.clock_everywhere(self.last, Wait("clock", None, "")))
        await self.watching(self.stage.subscribe(plans, starts_at, Wait("subscribe", len(plans), "")))

    async def publish(self, records: Iterable[Record]) -> None:
        """Sends usage; returns once the broker has all of it."""
        partitions = await self.logs.partitions(USAGE_EVENTS)
        async with Publisher(self.settings, USAGE_EVENTS, partitions=partitions) as publisher:
            await publisher.publish(records)

    # -- what came of it ---------------------------------------------------------------------------------------------

    async def stored(self, topic: str = USAGE, within_s: float = WITHIN_S) -> dict[int, int]:
        """Returns once the ledger covers a topic's end as of now; the coverage."""
        ends = await self.logs.end_offsets(topic)
        wanted = {partition: end for partition, end in enumerate(ends) if end}

        def covered() -> bool:
            coverage = self.billing.coverage(topic)
            return all(coverage.get(partition, 0) >= end for partition, end in wanted.items())

        await self.until(covered, f"{topic} is stored to {wanted}", within_s)
        return await asyncio.to_thread(self.billing.coverage, topic)

    async def invoices(self, count: int, within_s: float = WITHIN_S) -> tuple[Invoice, ...]:
        """Returns the final invoices once there are so many, by number."""
        question = "SELECT count() FROM invoices FINAL WHERE number != ''"
        await self.until(lambda: self.rows(question)[0][0] >= count, f"{count} invoices are final", within_s)
        return await self.stage.invoices()

    async def records(self, topic: str) -> list[LogRecord]:
        """Everything in a topic, partition by partition."""
        begins, ends = await self.logs.bounds(topic)
        found = []
        for partition, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            found += await self.logs.read(topic, partition, begin, end)
        return found

    async def announced(self, of: str = "") -> list[dict[str, Any]]:
        """The CloudEvents of billing.invoices, partition by partition; those `of` a noun, or of all documents."""
        found: list[dict[str, Any]] = [json.loads(record.value or b"") for record in await self.records(INVOICES)]
        subscriptions = [each for each in found if each["type"].startswith("tally.subscription.")]
        return subscriptions if of == "subscription" else [each for each in found if each not in subscriptions]

    def unbalanced(self) -> list[str]:
        """Transactions of the books whose postings do not add up to zero."""
        rows = self.db.tuples("SELECT toString(id) FROM postings FINAL GROUP BY id HAVING sum(amount) != 0")
        return [row[0] for row in rows]

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> Sequence[tuple[Any, ...]]:
        """Rows of a query. Blocks: it is a test that waits, not a worker."""
        return self.db.tuples(sql, parameters)
