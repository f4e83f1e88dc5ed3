"""The actor of time: forwards every tick that counts to all of billing.commands, and makes them on a wall clock.

The first copy of a tick in a partition counts, so copying twice changes nothing. Source: design.md §2.4 and §4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from agents.clock import TickLog, TickRefused, judged, wall_time
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.logs import Logs
from agents.record_batch import RecordBatch
from agents.store.billing import BillingStore
from agents.topics import COMMANDS, TICKS
from schemas.command import TickCopy
from schemas.tick import Tick

log = logging.getLogger(__name__)


class Forwarder:
    """Stores ticks that count and copies each into every partition of billing.commands."""

    def __init__(self, logs: Logs, store: BillingStore, keeper: LedgerKeeper, crash: CrashPoint) -> None:
        self._logs, self._store, self._keeper, self._crash = logs, store, keeper, crash

    async def forward(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle: fold, store, copy, ledger. A copy may come twice after a crash; the first counts."""
        first = min((batch.first_offset for batch in batches), default=0)
        last = await asyncio.to_thread(self._store.last_tick, first)
        counted: list[tuple[Tick, int]] = []
        for batch in batches:
            for offset, timestamp, value in zip(batch.offsets, batch.timestamps, batch.values, strict=True):
                outcome = judged(last, value, timestamp)
                if isinstance(outcome, Tick):
                    last = outcome
                    counted.append((outcome, offset))
                else:
                    log.warning("the tick at offset %s does not count: %s", offset, outcome.reason)
        with self._crash.around(Step.TICKS):
            await asyncio.to_thread(self._store.insert_ticks, counted)
        for tick, _ in counted:
            with self._crash.around(Step.COPIES):
                await self._copy(tick)
        await self._keeper.record(batches)

    async def _copy(self, tick: Tick) -> None:
        value = TickCopy(tick=tick).model_dump_json().encode()
        count = await self._logs.partitions(COMMANDS)
        sent = [await self._logs.send(COMMANDS, None, value, partition=partition) for partition in range(count)]
        await asyncio.gather(*sent)


class Ticker:
    """Makes the ticks of a wall clock: one whenever a new interval has begun."""

    def __init__(self, logs: Logs, every_s: int) -> None:
        self._ticks, self._every_s = TickLog(logs), every_s
        self._last: Tick | None = None

    async def look(self) -> None:
        """Makes a tick if one is due. Does nothing on a test clock, or before a clock was started."""
        now = wall_time()
        if self._last is not None and (self._last.clock == "test" or self._begun(now) <= self._begun(self._last.time)):
            return
        self._last = await self._ticks.last()
        if self._last is None or self._last.clock == "test":
            return
        begun = self._begun(now)
        if begun > self._begun(self._last.time):
            try:
                self._last = await self._ticks.append(time=begun, clock="wall")
            except TickRefused as refusal:  # another worker was faster, or the broker's clock is behind: look again
                log.warning("no tick at %s yet: %s", begun.isoformat(), refusal)

    def _begun(self, time: datetime) -> datetime:
        """When the interval that holds a time began. Such a time can be repeated by one who was refused."""
        return datetime.fromtimestamp(int(time.timestamp()) // self._every_s * self._every_s, UTC)


def attach(app: TallyApp, forwarder: Forwarder, keeper: LedgerKeeper, ticker: Ticker | None) -> None:
    """Runs the forwarder, and on a wall clock makes a tick every so often."""
    delivery = app.deliver(TICKS, process=forwarder.forward, resume=keeper.resume, linger_s=0.01)

    if ticker is None:  # a worker without outputs makes no time
        return

    async def look() -> None:
        if delivery.partitions:  # one worker holds the only partition, so one worker makes ticks
            await ticker.look()

    app.repeat("ticker", 1.0, look)
