"""A deployment on a test clock that is driven from one due moment to the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from agents.catalogue import CatalogueLog
from agents.cli.failures import Refused, TimedOut
from agents.cli.handing_in import plan_version
from agents.cli.screen import Wait
from agents.cli.waiting import POLL_S
from agents.clock import TickLog
from agents.commands import outcomes, send
from agents.logs import Logs
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.customers import SimulationStore
from agents.topics import COMMANDS
from schemas.command import Subscribe
from schemas.identity import derived_id
from schemas.tick import Tick

AT_ONCE = 2000
ACTOR, REASON = "simulation", "tally simulate"


def _told_from(wait: Wait, first: int, done: int) -> None:
    wait.to(first + done)


class Simulation:
    """Ticks, subscriptions in bulk, and waiting with a limit. Use as an async context manager."""

    def __init__(self, settings: Settings, timeout: float) -> None:
        self._logs, self._db, self._timeout = Logs(settings), Connection(settings), timeout
        self._billing, self._store = BillingStore(self._db), SimulationStore(self._db)
        self._ticks: TickLog | None = None

    async def __aenter__(self) -> Simulation:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._logs.stop()
        self._db.close()

    async def last(self) -> Tick | None:
        """The last tick."""
        if self._ticks is None:
            self._ticks = TickLog(self._logs, await asyncio.to_thread(self._billing.newest_tick))
        return await self._ticks.last()

    async def tick(self, at: datetime) -> Tick:
        """Moves the clock, and returns once every partition of billing.commands has folded it."""
        assert self._ticks is not None
        made = await self._ticks.append(time=at, clock="test")
        partitions = await self._logs.partitions(COMMANDS)

        def folded() -> int:
            return sum(number >= made.number for number in self._billing.clocks().values())

        await self._until(folded, partitions, f"tick {made.number} at {at.isoformat()} is taken in by a billing worker")
        return made

    async def subscribe(self, customers: int, plan: str, wait: Wait) -> None:
        """Subscribes `sim-00001` and so on, in portions; whoever is subscribed already is left alone."""
        name, version = plan_version(await CatalogueLog(self._logs).newest(), plan, "")
        commands = [
            Subscribe(
                request_id=str(derived_id("simulated subscription", customer, name, version)), actor=ACTOR,
                reason=REASON, customer=customer, subscription=f"{customer}-{name}", plan=name, plan_version=version,
            )
            for customer in (f"sim-{number:05}" for number in range(1, customers + 1))
        ]  # fmt: skip
        for first in range(0, len(commands), AT_ONCE):
            portion = commands[first : first + AT_ONCE]
            sent = await send(self._logs, portion)
            found = await outcomes(self._logs, sent, within_s=self._timeout, decided=partial(_told_from, wait, first))
            if None in found:
                raise TimedOut(f"{found.count(None)} subscriptions are not decided after {self._timeout:g} s")
            refused = next((one for one in found if one is not None and not one.accepted), None)
            if refused is not None:
                raise Refused(f"{refused.customer}: {refused.detail}")

    def next_due(self, until: datetime) -> datetime | None:
        """The earliest moment at which something is due, up to the end."""
        return self._store.next_due(until)

    def open_runs(self) -> int:
        """Runs whose documents are not final, leaving out those that wait for a person."""
        return self._store.open_runs()

    async def settled(self, runs: int, wait: Wait) -> None:
        """Returns once no run is open. Raises TimedOut if there is no progress."""
        await self._until(lambda: self._told(runs, wait), runs, "runs are closed, rated and final")

    def _told(self, runs: int, wait: Wait) -> int:
        done = runs - self._store.open_runs()
        wait.to(done)
        return done

    def billed_since(self, tick: int) -> dict[str, int]:
        """How much was made since a tick."""
        return self._store.made_since(tick)

    async def _until(self, question: Callable[[], int], wanted: int, what: str) -> None:
        seen, deadline = -1, time.monotonic() + self._timeout
        while (done := await asyncio.to_thread(question)) < wanted:
            if done > seen:
                seen, deadline = done, time.monotonic() + self._timeout
            if time.monotonic() > deadline:
                raise TimedOut(f"no progress for {self._timeout:g} s until {what}; see: tally status")
            await asyncio.sleep(POLL_S)
