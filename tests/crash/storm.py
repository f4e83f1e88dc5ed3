"""The storm: workers, servers and connections fail around a producer that goes on, day by day."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from agents.catalogue import CatalogueLog
from agents.cli.failures import Refused
from agents.commands import send
from agents.settings import Settings
from agents.store.connection import StoreUnavailable
from agents.topics import KafkaUnavailable
from schemas.command import Subscribe
from tests.crash import usage
from tests.crash.planner import Planner
from tests.crash.proxy import Proxy
from tests.crash.size import Size
from tests.crash.usage import Day
from tests.deployments import Deployment, environment
from tests.groups import members
from tests.nursery import Life, Nursery
from tests.services import Server, Services

CALM = ""
GAVE_UP = 70
OPEN_DAYS = 6
"""Days that may be published and not yet closed: the producer does not run away from the storm."""
Answer = TypeVar("Answer")


class Storm:
    """Everything that happens to one deployment, and what was counted on the way."""

    def __init__(
        self, deployment: Deployment, services: Services, nursery: Nursery, proxy: Proxy, size: Size, seed: int,
        folder: Path,
    ) -> None:  # fmt: skip
        self._deployment, self._services, self._nursery, self._proxy = deployment, services, nursery, proxy
        self._size, self._rnd, self._folder = size, random.Random(seed), folder
        self._behind_proxy = deployment.settings.model_copy(update={"clickhouse": proxy.address})
        self.planner = Planner(each={"ingest": size.each_place, "billing": size.each_billing_place})
        counts = {"ingest": size.ingest_workers, "billing": size.billing_workers}
        self.slots = [(kind, f"{kind}-{number}") for kind, count in counts.items() for number in range(count)]
        """Kinds of workers, each under a name that goes on when it dies."""
        self.days: list[Day] = []
        self._plan_version = ""
        self.customers: list[tuple[str, int]] = []
        """Customers and the day from which they are billed."""
        self.exits: Counter[int] = Counter()
        self.zombies = self.gave_up = 0
        self.faults: list[str] = []
        self._calm, self._gathered = asyncio.Event(), asyncio.Event()

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
        day = Day(number, self.events, self.events + self._size.events_per_day)
        for records in usage.records(day, chunk=self._size.chunk):
            await insisting(lambda batch=records: self._deployment.publish(batch))  # type: ignore[misc]
            await asyncio.sleep(self._size.pause_s)
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

    async def rage(self, told: Callable[[Storm], None]) -> None:
        """Kills and fails until enough days were published and every place was died at often enough."""
        lives = [asyncio.create_task(self._live_and_die(kind, name)) for kind, name in self.slots]
        telling = asyncio.create_task(self._tell(told))
        try:
            await self._rage(lives)
            await self._settle(lives)
        finally:  # also if it fails: nobody may wait for the death of a worker that no nursery tells of
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
        while not self._enough():
            await self.publish_day()
            # Who is to die while storing needs something to store: then the producer goes on whatever is still open.
            while not self.planner.lacking("ingest") and await self._open_days() > OPEN_DAYS:
                self._check_time(give_up_at)
                _raise_if_done(lives)
                if self._nothing_is_missing():
                    return
                await asyncio.sleep(0.2)
            self._check_time(give_up_at)

    def _check_time(self, give_up_at: float) -> None:
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {self._size.within_s} s; never died at: {self._missing()}")

    async def _open_days(self) -> int:
        return len(self.days) - await insisting(lambda: asyncio.to_thread(self.closed_days))

    def _enough(self) -> bool:
        return self.events >= self._size.events and self._nothing_is_missing()

    def _nothing_is_missing(self) -> bool:
        enough = self.planner.kills >= self._size.kills and self.zombies >= self._size.zombies
        return enough and self.events >= self._size.events and not self._missing()

    def _missing(self) -> list[str]:
        return [*self.planner.lacking("ingest"), *self.planner.lacking("billing")]

    async def _settle(self, lives: list[asyncio.Task[None]]) -> None:
        """Waits for the workers of the calm, which do the rest of the work."""
        await asyncio.to_thread(self._services.await_ready)
        deadline = time.monotonic() + self._size.settle_s
        while (closed := await insisting(lambda: asyncio.to_thread(self.closed_days))) < len(self.days):
            _raise_if_done(lives)
            if time.monotonic() > deadline:
                refused = self._deployment.rows("SELECT detail FROM command_outcomes FINAL WHERE NOT accepted LIMIT 3")
                parked = self._deployment.rows("SELECT customer, tick, detail FROM parked_runs FINAL LIMIT 3")
                raise AssertionError(
                    f"after the storm only {closed} of {len(self.days)} days were closed; refused {refused}, "
                    f"parked {parked}"
                )
            await asyncio.sleep(0.2)
        await self._deployment.stored(within_s=self._size.settle_s)

    async def _tell(self, told: Callable[[Storm], None]) -> None:
        while True:
            await asyncio.sleep(self._size.tell_every_s)
            told(self)

    async def _weather(self) -> None:
        """Servers die and answers fail, in turn, with calm between."""
        faults: list[Callable[[], Awaitable[None]]] = [
            self._failing, lambda: self._server_dies("clickhouse"), self._slow, lambda: self._server_dies("kafka"),
        ]  # fmt: skip
        while True:
            for fault in faults:
                await asyncio.sleep(self._rnd.uniform(0.5, 1.5) * self._size.calm_s)
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
            if kind == "ingest" and drawn < self._size.zombie_odds:
                await self._zombie(kind, instance)
            elif drawn < self._size.random_odds:
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

    async def _killed_at_a_place(self, kind: str, instance: str) -> None:
        place = self.planner.next(kind)
        passes = self._rnd.choice((1, 1, 2, 3)) if kind == "ingest" else 1
        life = self._start(kind, instance, instance=instance, crash_at=f"{place}:{passes}")
        code = await self._end(life, self._size.life_s)
        if code == -signal.SIGKILL:
            self.planner.died_at(kind, place)
        else:
            await self._kill(life, kind, code)

    async def _killed_at_random(self, kind: str, instance: str) -> None:
        life = self._start(kind, instance, instance=instance)
        await self._kill(life, kind, await self._end(life, self._rnd.uniform(0.2, self._size.life_s / 2)))

    async def _kill(self, life: Life, kind: str, code: int | None) -> None:
        if code is None and not self._calm.is_set() and life.kill():
            self.planner.others[kind] += 1
            return
        if code is None:
            life.signal(signal.SIGTERM)
        self._count(await life.death(), CALM)

    async def _zombie(self, kind: str, instance: str) -> None:
        """Stopped in the middle of something, replaced under its name, woken up late."""
        zombie = self._start(kind, instance, instance=instance)
        if await self._end(zombie, self._rnd.uniform(0.8, 2.0)) is not None:
            self._count(zombie.exit_code or 0, instance)
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
        return self._nursery.start(("worker", kind), environment(settings), self._folder / f"{log}.log")

    async def _end(self, life: Life, within_s: float) -> int | None:
        """Its exit code, if it dies within a limit or before the calm."""
        calm, dead = asyncio.create_task(self._calm.wait()), asyncio.create_task(life.death())
        try:
            await asyncio.wait((calm, dead), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            calm.cancel()
            dead.cancel()
        return life.exit_code

    def _count(self, code: int, name: str) -> None:
        """Notes an end that was no kill of ours: a worker may give up while a server is away, and say so."""
        self.exits[code] += 1
        # Asked to stop before it listened to signals, a worker dies of the signal itself.
        if code not in (0, GAVE_UP, -signal.SIGKILL, -signal.SIGTERM):
            self.faults.append(f"a worker {name} ended with {code}: see {self._folder}")


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
