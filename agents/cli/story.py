"""The story of the demo, in the order in which it is told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.cli.failures import ProofFailed, Refused
from agents.cli.invoice_table import show_invoice
from agents.cli.proof import compare_accounting, compare_totals, show_accounting
from agents.cli.reading import reading
from agents.cli.replaying import Replayer
from agents.cli.screen import Screen, Wait
from agents.cli.services import start_services
from agents.cli.stage import Stage, catalogue_files, described
from agents.publisher import Publisher
from agents.settings import Settings, load
from agents.store.migrations import migrate
from agents.topics import USAGE_EVENTS, reconcile_topics
from deploy.demo import trace, usage
from deploy.demo.truth import Ledger, Truth
from deploy.demo.usage import Batch, Record
from deploy.local import status
from schemas.invoice import Invoice
from schemas.tick import Tick

KILL_AFTER_BATCH = 12
RESTART_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Script:
    """What is played: who uses what when, and what must come of it."""

    title: str
    starts: datetime
    ends: datetime
    records: int
    plans: Mapping[str, str]
    owners: Mapping[str, str]
    batches: Callable[[], Iterator[Batch]]
    truth: Callable[[], Truth]
    deployment: str = ""
    """Prefix of the deployment that it is played on; empty for the ordinary one."""


def month_script() -> Script:
    """The simulated month of an LLM API."""
    month = usage.Month()
    return Script(
        title="October 2026 of an LLM API, simulated",
        starts=usage.MONTH_START,
        ends=usage.GRACE_END,
        records=month.records,
        plans=usage.CUSTOMERS,
        owners=usage.subjects(),
        batches=lambda: usage.simulate(month, Ledger()),
        truth=lambda: usage.truth_of(month),
    )


def trace_script(path: Path) -> Script:
    """A real request trace, on a deployment of its own beside the ordinary one: its clock is another."""
    found = trace.read(path)
    return Script(
        title=f"{path.name}, {len(found.requests):,} real requests",
        starts=found.start,
        ends=found.end + trace.GRACE,
        records=len(found.requests),
        plans={trace.CUSTOMER: trace.PLAN},
        owners={trace.SUBJECT: trace.CUSTOMER},
        batches=lambda: trace.batches(found),
        truth=lambda: trace.truth_of(found),
        deployment="trace",
    )


class Story:
    """Tells a script to a screen."""

    def __init__(self, screen: Screen, script: Script) -> None:
        self._screen, self._script = screen, script
        self._began = time.monotonic()
        self._killed: tuple[int, int, float] | None = None

    async def tell(self) -> None:
        """The whole story; raises ProofFailed if anything does not add up."""
        say = self._screen.say
        say(f"Tally: {self._script.title}, from usage events to proven invoices.\n")
        settings = await self._prepare()
        async with Stage(settings) as stage:
            last = await stage.clock()
            if last is not None and last.clock != "test":
                raise Refused(
                    "this deployment runs on a wall clock; the demo needs one of its own: TALLY_HOME=… tally demo"
                )
            if last is not None and last.time >= self._script.ends:
                await self._again(stage)
            else:
                await self._first(stage, last)
            example = (await stage.invoices())[0]
        self._where_to_look(settings, example)

    # -- the stage is set ----------------------------------------------------------------------------------------

    async def _prepare(self) -> Settings:
        say = self._screen.say
        say("1 · Services: real Kafka and real ClickHouse on this machine")
        await asyncio.to_thread(start_services, self._screen, with_workers=False)
        settings = self._settings()
        states = await reconcile_topics(settings)
        created = sum(state.status == "created" for state in states)
        steps = await asyncio.to_thread(migrate, settings)
        say(f"  Kafka {settings.kafka} · ClickHouse {settings.clickhouse} · {len(states)} topics ({created} new)")
        say(f"  tables: {len(steps)} statements applied\n" if steps else "  tables: as they should be\n")
        await asyncio.to_thread(start_services, self._screen, with_workers=True, deployment=self._script.deployment)
        return settings

    def _settings(self) -> Settings:
        settings = load()
        if not self._script.deployment:
            return settings
        named = {"database": f"tally_{self._script.deployment}", "topic_prefix": f"{self._script.deployment}."}
        return settings.model_copy(update=named)

    # -- the first time ------------------------------------------------------------------------------------------

    async def _first(self, stage: Stage, last: Tick | None) -> None:
        say, script, wait = self._screen.say, self._script, self._screen.wait
        say("2 · Catalogue, clock, customers")
        versions = await stage.apply_catalogue(catalogue_files())
        say(f"  catalogue: {versions} versions of meters and plans published")
        if last is None:
            await stage.attribute(script.owners, script.starts)
            last = await stage.tick(script.starts, None)
        say(f"  test clock: {described(last)}; {len(script.owners)} subjects belong to {len(script.plans)} customers")
        with wait("the workers start and see the clock", 4, "partitions") as folding:
            await stage.clock_everywhere(last, folding)
        with wait("subscriptions accepted", len(script.plans), "customers") as deciding:
            await stage.subscribe(script.plans, script.starts, deciding)
        say(f"\n3 · Usage: {script.records:,} records as CloudEvents through Kafka, day by day, a tick after each day")
        last = await self._publish(stage, last)
        with wait("stored in ClickHouse, each once", script.records, "records") as storing:
            await stage.wait_stored(script.records, storing)
        say(f"\n4 · Close: {described(last)} ends the grace period; the usage below its vector is frozen and rated")
        with wait("invoices final", len(script.plans), "invoices") as closing:
            invoices = await stage.wait_invoices(len(script.plans), closing)
        say(f"  first invoice on screen after {time.monotonic() - self._began:.0f} s\n")
        await self._show(stage, invoices)

    async def _publish(self, stage: Stage, last: Tick) -> Tick:
        partitions = await stage.logs.partitions(USAGE_EVENTS)
        script = self._script
        async with Publisher(stage.settings, USAGE_EVENTS, partitions=partitions) as publisher:
            with self._screen.wait("published", script.records, "events") as wait:
                for number, batch in enumerate(script.batches()):
                    if batch.tick_at > last.time:
                        await publisher.publish(await self._unpublished(stage, publisher, last, batch))
                        last = await stage.tick(batch.tick_at, last)
                    note = f"{batch.tick_at:%b %d} · stored {await stage.stored():,}"
                    wait.to(wait.done + len(batch.records), note)
                    if number == KILL_AFTER_BATCH:
                        await self._kill(stage, wait)
        return last

    async def _unpublished(self, stage: Stage, publisher: Publisher, last: Tick, batch: Batch) -> Sequence[Record]:
        """What of a batch is not in the log yet: all of it, unless an earlier run was interrupted in it."""
        already = [end - seen for end, seen in zip(await stage.usage_ends(), last.vector.of(USAGE_EVENTS), strict=True)]
        by_partition = publisher.spread(batch.records)
        if any(there > len(mine) for there, mine in zip(already, by_partition, strict=True)):
            raise Refused("somebody else publishes to this deployment; give the demo its own: TALLY_HOME=… tally demo")
        return [record for there, mine in zip(already, by_partition, strict=True) for record in mine[there:]]

    async def _kill(self, stage: Stage, wait: Wait) -> None:
        """SIGKILL for the ingest worker, in the middle of its work; the supervisor starts another."""
        while not await stage.stored():
            await asyncio.sleep(0.05)
        before = await self._pid_of_ingest()
        if before is None:
            return
        os.kill(before, signal.SIGKILL)
        killed = time.monotonic()
        while (after := await self._pid_of_ingest()) in (None, before):
            if time.monotonic() > killed + RESTART_WITHIN_S:
                raise ProofFailed(f"the ingest worker (pid {before}) was killed and did not come back")
            wait.to(wait.done, f"kill -9 {before}")
            await asyncio.sleep(0.05)
        self._killed = (before, after or 0, time.monotonic() - killed)

    async def _pid_of_ingest(self) -> int | None:
        home = load().home
        name = f"{self._script.deployment}-ingest".lstrip("-")
        services = await asyncio.to_thread(status, home)
        return next((service.pid for service in services if service.name == name), None)

    # -- the second time -----------------------------------------------------------------------------------------

    async def _again(self, stage: Stage) -> None:
        say = self._screen.say
        say(
            "2 · It is all there: this deployment has played the demo before. Nothing is published, nothing is changed."
        )
        invoices = await stage.invoices()
        await self._show(stage, invoices)
        await self._replay(stage.settings)

    async def _replay(self, settings: Settings) -> None:
        """Every close from raw events, every document from its close: the same bytes as the first time."""
        async with reading(settings) as readers:
            replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
            verdicts = await replayer.replay()
        different = [f"{found.kind} {found.name}: {said}" for found in verdicts for said in found.differences]
        if different:
            raise ProofFailed("computed again, it is not the same:\n  " + "\n  ".join(different))
        closes = sum(found.kind == "close" for found in verdicts)
        self._screen.say(
            f"  computed again from the log: {closes} closes and {len(verdicts) - closes} documents, the same bytes;"
            " nothing was changed"
        )

    # -- what came of it -----------------------------------------------------------------------------------------

    async def _show(self, stage: Stage, invoices: Sequence[Invoice]) -> None:
        for invoice in invoices:
            show_invoice(self._screen, invoice)
        truth = await asyncio.to_thread(self._script.truth)
        found = await stage.accounting(self._script.owners)
        self._screen.say("\n5 · Reconciliation: what the simulator knows about itself, against what is stored")
        show_accounting(self._screen, truth, found)
        faults = [*compare_accounting(truth, found), *compare_totals(truth, invoices, set(self._script.plans))]
        if self._killed is not None:
            before, after, seconds = self._killed
            lost, doubled = max(0, truth.counted - found.counted), max(0, found.counted - truth.counted)
            self._screen.say(
                f"  kill -9 of the ingest worker on the way: pid {before} died, pid {after} took over"
                f" after {seconds:.1f} s: {lost} lost, {doubled} doubled"
            )
        if faults:
            raise ProofFailed("it does not add up:\n  " + "\n  ".join(faults))
        self._screen.say(f"  every quantity on the {len(invoices)} invoices is what the events add up to, exactly")

    def _where_to_look(self, settings: Settings, example: Invoice) -> None:
        say = self._screen.say
        say(f"\n6 · Done in {time.monotonic() - self._began:.0f} s. Where to look next")
        there = ""
        if self._script.deployment:
            there = f"TALLY_TOPIC_PREFIX={settings.topic_prefix} TALLY_DATABASE={settings.database} "
        for command in (
            f"invoice {example.number}", f"usage {example.customer}", "reconcile", "replay --check --all", "status",
            "tail billing.invoices --from start",
        ):  # fmt: skip
            say(f"  {there}tally {command}")
        say(f"  ClickHouse: {settings.clickhouse}/play  user {settings.clickhouse_user}")
        say("Still running: Kafka, ClickHouse, two workers. Stop them, keeping everything: tally down  (make down)")
