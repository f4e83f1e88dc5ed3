"""The storm: workers, servers and connections fail around a producer that goes on, day by day."""

from __future__ import annotations

import asyncio
import math
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from agents.catalogue import CatalogueLog
from agents.cli.failures import Refused
from agents.commands import send
from agents.crash_points import SAYS
from agents.settings import Settings
from agents.store.connection import StoreUnavailable
from agents.store.money import MoneyStore
from agents.topics import COMMANDS, FINALISATIONS, KafkaUnavailable
from schemas.command import Subscribe
from tests.crash import usage
from tests.crash.planner import Planner
from tests.crash.proxy import Proxy
from tests.crash.size import Size
from tests.crash.standing import Standing
from tests.crash.usage import Day
from tests.deployments import Deployment, environment
from tests.groups import members
from tests.nursery import Life, Nursery
from tests.services import Server, Services

CALM = ""
GAVE_UP = 70
OPEN_DAYS = 6
"""Days that may be published and not yet billed: beyond them the producer waits, and nobody dies but at places that are
due, until half of them are billed."""
SLOWLY = 4
"""How much longer the producer pauses while kills lag behind events: both are to be spread over the run."""
JOINS_WITHIN_S = 30.0
LOOK_EVERY_S = 0.2
TOLD_BY_COLLECTION = ("payment_requests", "notices", "collection_commands")
READS = b"agents.delivery: reading "
Answer = TypeVar("Answer")
Told = Callable[[str], None]


class Storm:
    """Everything that happens to one deployment, and what was counted on the way."""

    def __init__(
        self, deployment: Deployment, services: Services, nursery: Nursery, proxy: Proxy, size: Size, seed: int,
        folder: Path,
    ) -> None:  # fmt: skip
        self._deployment, self._services, self._nursery, self._proxy = deployment, services, nursery, proxy
        self._size, self._rnd, self._folder = size, random.Random(seed), folder
        self._behind_proxy = deployment.settings.model_copy(update={"clickhouse": proxy.address})
        self.planner = Planner(
            each={"ingest": size.each_place, "audit": size.each_audit_place, "billing": size.each_billing_place}
        )
        counts = {"ingest": size.ingest_workers, "billing": size.billing_workers}
        self.slots = [(kind, f"{kind}-{number}") for kind, count in counts.items() for number in range(count)]
        """Kinds of workers, each under a name that goes on when it dies."""
        self.days: list[Day] = []
        self._plan_version = ""
        self.customers: list[tuple[str, int]] = []
        """Customers and the day from which they are billed."""
        self.exits: Counter[int] = Counter()
        self.zombies = self._zombies_begun = 0
        self.faults: list[str] = []
        self._where = Standing(deployment.settings)
        self._calm, self._gathered, self._caught_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._caught_up.set()

    @property
    def events(self) -> int:
        """Numbered events published so far."""
        return self.days[-1].end if self.days else 0

    # -- the producer ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Catalogue, owners, the clock, and one worker of each kind until everyone is subscribed."""
        deployment = self._deployment
        await deployment.apply(usage.CATALOGUE)
        await deployment.attribute(usage.owners(), usage.BEGINS)
        await deployment.begin(usage.BEGINS)
        worker = self._start("billing", "begin", instance="")
        await deployment.subscribe(dict.fromkeys(usage.CUSTOMERS, "daily"), usage.BEGINS)
        self._plan_version = (await CatalogueLog(deployment.logs).newest()).newest_plans["daily"]
        self.customers = [(customer, 0) for customer in usage.CUSTOMERS]
        worker.signal(signal.SIGTERM)
        await worker.death()

    async def publish_day(self) -> Day:
        """One more day: its records, a newcomer's command, its tick. Returns once the broker has all of it."""
        number = len(self.days)
        left = self._size.events - self.events
        # What comes once the events are many enough only leads workers to where they are still to die.
        events = self._size.events_per_day if left > 0 else max(1, self._size.events_per_day // 10)
        day = Day(number, self.events, self.events + events)
        for records in usage.records(day, chunk=self._size.chunk):
            await insisting(lambda batch=records: self._deployment.publish(batch))  # type: ignore[misc]
            await asyncio.sleep(self._size.pause_s * (SLOWLY if self._done() > self._killed() else 1))
        newcomer = f"newcomer-{number}"
        starts_at = day.closes_at - usage.GRACE
        await insisting(lambda: send(self._deployment.logs, [_subscribe(newcomer, self._plan_version, starts_at)]))
        self.customers.append((newcomer, number + 1))
        await insisting(lambda: self._tick(day))
        self.days.append(day)
        return day

    async def _tick(self, day: Day) -> None:
        deployment = self._deployment
        deployment.last = await deployment.stage.clock()
        if deployment.last is None or deployment.last.time < day.closes_at:  # else an earlier try got through
            await deployment.tick(day.closes_at)

    def expected_invoices(self, days: int) -> int:
        """One per customer and day, once so many days are closed."""
        return sum(max(0, days - first) for _, first in self.customers)

    def closed_days(self) -> int:
        """How many days are billed in full."""
        count = self._deployment.rows("SELECT count() FROM invoices FINAL WHERE number != ''")[0][0]
        return next((days for days in range(len(self.days), 0, -1) if count >= self.expected_invoices(days)), 0)

    # -- the weather -------------------------------------------------------------------------------------------------

    async def rage(self, told: Told) -> None:
        """Kills and fails until enough days were published and every place was died at often enough."""
        lives = [asyncio.create_task(self._live_and_die(kind, name)) for kind, name in self.slots]
        telling = asyncio.create_task(self._tell(told))
        try:
            await self._rage(lives)
            await self._settle(lives)
        finally:  # also if it fails: nobody may wait for the death of a worker that no nursery tells of
            self._where.close()
            for task in (*lives, telling):
                task.cancel()
            await asyncio.gather(*lives, telling, return_exceptions=True)

    async def _rage(self, lives: list[asyncio.Task[None]]) -> None:
        # A group forms only while all of its members live; from then on a name that comes back disturbs nobody.
        for kind in ("ingest", "billing"):
            count = sum(slot[0] == kind for slot in self.slots)
            await members(self._deployment, count, worker=kind)
        self._gathered.set()
        weather = asyncio.create_task(self._weather())
        try:
            await self._days(lives)
        finally:
            weather.cancel()
            await asyncio.gather(weather, return_exceptions=True)
            self._proxy.cut = self._proxy.delay_s = 0.0
            self._calm.set()

    async def _days(self, lives: list[asyncio.Task[None]]) -> None:
        give_up_at = time.monotonic() + self._size.within_s
        while self.still_missing():
            await self.publish_day()
            await self._check_time(give_up_at)
            if await self.open_days() > OPEN_DAYS:
                self._caught_up.clear()
                await self._billed_to(OPEN_DAYS // 2, give_up_at, lives)
                self._caught_up.set()
            elif self._done() >= 1:  # one day after the other, until everyone died often enough
                await self._billed_to(1, give_up_at, lives)

    async def _billed_to(self, open_days: int, give_up_at: float, lives: list[asyncio.Task[None]]) -> None:
        """Waits while more days than that are open, unless nothing is missing any more."""
        while await self.open_days() > open_days and self.still_missing():
            await self._check_time(give_up_at)
            _raise_if_done(lives)
            await asyncio.sleep(0.2)

    async def _check_time(self, give_up_at: float) -> None:
        if time.monotonic() > give_up_at:
            missing = ", ".join(self.still_missing())
            raise AssertionError(f"not within {self._size.within_s} s: {missing}; {await self._standing()}")

    async def open_days(self) -> int:
        """Days that are published and not billed in full."""
        return len(self.days) - await insisting(lambda: asyncio.to_thread(self.closed_days))

    def still_missing(self) -> list[str]:
        """What the storm must still do, in words."""
        short = [f"{what} {is_:,}/{wanted:,}" for what, (is_, wanted) in self.counts().items() if is_ < wanted]
        return short + list(self.planner.missing())

    def _done(self) -> float:
        """The share of the events that is published."""
        return self.events / self._size.events

    def _killed(self) -> float:
        """The share of the kills that was done."""
        return min(self.planner.share(), self.planner.kills / self._size.kills)

    def counts(self) -> dict[str, tuple[int, int]]:
        """What is counted -> how much of it there was, and is wanted."""
        size, planner = self._size, self.planner
        return {
            "kills": (planner.kills, size.kills), "events": (self.events, size.events),
            "zombies": (self.zombies, size.zombies),
            "billing workers killed at random": (planner.others["billing"], size.random_billing),
        }  # fmt: skip

    async def _settle(self, lives: list[asyncio.Task[None]]) -> None:
        """Waits for the workers of the calm, which do the rest of the work."""
        await asyncio.to_thread(self._services.await_ready)
        deadline = time.monotonic() + self._size.settle_s
        while (closed := await insisting(lambda: asyncio.to_thread(self.closed_days))) < len(self.days):
            _raise_if_done(lives)
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"after the storm only {closed} of {len(self.days)} days were billed: {await self._standing()}"
                )
            await asyncio.sleep(0.2)
        await self._deployment.stored(within_s=self._size.settle_s)
        await self._collected()

    async def _collected(self) -> None:
        """Returns once collection has done and told what the last tick makes due, and that is stored."""
        money, last = MoneyStore(self._deployment.db), self.days[-1].closes_at

        def nothing_waits() -> bool:
            return not money.due_steps(last, {})[0] and not any(money.waiting(table, 1) for table in TOLD_BY_COLLECTION)

        await self._deployment.until(nothing_waits, "collection has done what is due", self._size.settle_s)
        for topic in (FINALISATIONS, COMMANDS):
            await self._deployment.stored(topic, self._size.settle_s)

    async def _standing(self) -> str:
        return await insisting(lambda: asyncio.to_thread(self._where.text))

    async def _tell(self, told: Told) -> None:
        while True:
            await asyncio.sleep(self._size.tell_every_s)
            try:
                where = await asyncio.to_thread(self._where.text)
            except StoreUnavailable:
                where = "ClickHouse is away"
            told(where)

    async def _weather(self) -> None:
        """Servers die and answers fail, in turn, with calm between."""
        faults: list[Callable[[], Awaitable[None]]] = [
            self._failing, lambda: self._server_dies("clickhouse"), self._slow, lambda: self._server_dies("kafka"),
        ]  # fmt: skip
        while True:
            for fault in faults:
                await asyncio.sleep(self._rnd.uniform(0.5, 1.5) * self._size.calm_s)
                await self._caught_up.wait()
                await fault()

    async def _failing(self) -> None:
        self._proxy.cut = 0.25
        await asyncio.sleep(self._size.calm_s)
        self._proxy.cut = 0.0

    async def _slow(self) -> None:
        self._proxy.delay_s = 1.0
        await asyncio.sleep(self._size.calm_s)
        self._proxy.delay_s = 0.0

    async def _server_dies(self, server: Server) -> None:
        await asyncio.to_thread(self._services.kill, server)
        self.planner.others[server] += 1

    # -- the workers -------------------------------------------------------------------------------------------------

    async def _live_and_die(self, kind: str, instance: str) -> None:
        """One slot: life after life under one name, each with its death; in the calm, one that may live."""
        life = self._start(kind, instance, instance=instance)
        await self._gathered.wait()
        await self._kill(life, kind, life.exit_code)
        while not self._calm.is_set():
            drawn = self._rnd.random()
            if kind == "billing" and self._is_due(self.planner.others[kind], self._size.random_billing):
                await self._killed_at_random(kind, instance)
            elif not self._caught_up.is_set():
                await self._catches_up(kind, instance)
            elif kind == "ingest" and self._is_due(self._zombies_begun, self._size.zombies):
                await self._zombie(kind, instance)
            elif kind in self._size.spared:
                await self._armed(kind, instance, self._due(kind), 3 * self._size.life_s)
            elif drawn < self._size.random_odds or not self.planner.each[kind]:
                await self._killed_at_random(kind, instance)
            else:
                await self._killed_at_a_place(kind, instance)
        while True:
            life = self._start(kind, instance, instance=instance)
            try:
                self._count(await life.death(), CALM)
            except asyncio.CancelledError:
                life.signal(signal.SIGTERM)
                await life.death()
                raise

    def _is_due(self, done: int, wanted: int) -> bool:
        """Whether less of something was done than the share of the events that is published asks for."""
        return done < math.ceil(wanted * min(self._done(), 1.0))

    async def _catches_up(self, kind: str, instance: str) -> None:
        """Dies at a place that is due, if it comes to one; else lives until the bills have caught up."""
        await self._armed(kind, instance, self._due(kind), self._size.within_s, self._caught_up)

    async def _killed_at_a_place(self, kind: str, instance: str) -> None:
        await self._armed(kind, instance, self._due(kind) or self.planner.rare(kind), self._size.life_s)

    def _due(self, kind: str) -> Sequence[str]:
        return self.planner.due(kind, self._done())

    async def _armed(
        self, kind: str, instance: str, places: Sequence[str], within_s: float, *events: asyncio.Event
    ) -> None:
        begins = self._said(instance)
        passes = (1, 1, 1, 2) if kind == "ingest" else (1,)
        crash_at = ",".join(f"{place}:{self._rnd.choice(passes)}" for place in places)
        life = self._start(kind, instance, instance=instance, crash_at=crash_at)
        await self._reads(life, instance, begins)
        code = await self._end(life, within_s, *events)
        if code == -signal.SIGKILL:
            self.planner.died_at(kind, _place_in(self._log(instance), begins))
        else:
            await self._kill(life, kind, code)

    async def _killed_at_random(self, kind: str, instance: str) -> None:
        begins = self._said(instance)
        life = self._start(kind, instance, instance=instance)
        if self._rnd.random() < 0.5:  # the others may die while they join
            await self._reads(life, instance, begins)
        await self._kill(life, kind, await self._end(life, self._rnd.uniform(0.2, self._size.life_s / 3)))

    def _said(self, instance: str) -> int:
        log = self._log(instance)
        return log.stat().st_size if log.exists() else 0

    async def _reads(self, life: Life, instance: str, begins: int) -> None:
        """Returns once a life reads its partitions, is dead, or has tried for long enough."""
        for _ in range(int(JOINS_WITHIN_S / LOOK_EVERY_S)):
            with self._log(instance).open("rb") as log:
                log.seek(begins)
                if READS in log.read():
                    return
            if await self._end(life, LOOK_EVERY_S) is not None or self._calm.is_set():
                return

    async def _kill(self, life: Life, kind: str, code: int | None) -> None:
        if code is None and not self._calm.is_set() and life.kill():
            self.planner.others[kind] += 1
            return
        if code is None:
            life.signal(signal.SIGTERM)
        self._count(await life.death(), CALM)

    async def _zombie(self, kind: str, instance: str) -> None:
        """Stopped in the middle of something, replaced under its name, woken up late."""
        self._zombies_begun += 1
        zombie = self._start(kind, instance, instance=instance)
        if await self._end(zombie, self._rnd.uniform(0.8, 2.0)) is not None:
            self._count(zombie.exit_code or 0, instance)
            self._zombies_begun -= 1
            return
        zombie.signal(signal.SIGSTOP)
        other = self._start(kind, instance, instance=instance)
        await self._end(other, self._rnd.uniform(1.0, 2.5))
        zombie.signal(signal.SIGCONT)
        await self._end(zombie, 2.0)
        self.zombies += 1
        for life in (zombie, other):
            await self._kill(life, kind, life.exit_code)

    def _start(self, kind: str, log: str, **changed: object) -> Life:
        settings: Settings = self._behind_proxy.model_copy(update=changed)
        return self._nursery.start(("worker", kind), environment(settings), self._log(log))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    async def _end(self, life: Life, within_s: float, *events: asyncio.Event) -> int | None:
        """Its exit code, if it dies within a limit and before the calm or another event."""
        waits = [asyncio.create_task(event.wait()) for event in (self._calm, *events)]
        dead = asyncio.create_task(life.death())
        try:
            await asyncio.wait((*waits, dead), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in (*waits, dead):
                wait.cancel()
        return life.exit_code

    def _count(self, code: int, name: str) -> None:
        """Notes an end that was no kill of ours: a worker may give up while a server is away, and say so."""
        self.exits[code] += 1
        # Asked to stop before it listened to signals, a worker dies of the signal itself.
        if code not in (0, GAVE_UP, -signal.SIGKILL, -signal.SIGTERM):
            self.faults.append(f"a worker {name} ended with {code}: see {self._folder}")


def _place_in(log: Path, begins: int) -> str:
    """Where a worker says that it died, in what it wrote to its log from there on."""
    with log.open("rb") as file:
        file.seek(begins)
        says = [line for line in file.read().decode(errors="replace").splitlines() if SAYS in line]
    return says[-1].rpartition(SAYS)[2]


def _raise_if_done(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def insisting(work: Callable[[], Awaitable[Answer]], within_s: float = 120) -> Answer:
    """Does something again while a server is away: a producer keeps what was not acknowledged."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await work()
        except (KafkaUnavailable, StoreUnavailable, Refused):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.3)


def _subscribe(customer: str, version: str, starts_at: object) -> Subscribe:
    return Subscribe(
        request_id=f"subscribe {customer}", actor="crash run", reason="", customer=customer, subscription=customer,
        plan="daily", plan_version=version, starts_at=starts_at,
    )  # fmt: skip
