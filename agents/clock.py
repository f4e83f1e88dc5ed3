"""Billing time: ticks are made here, and forwarded to every partition of billing.commands.

This is the one place where a wall clock is read. Anyone may append to billing.ticks; which records count is decided by
`pipeline.clock`, from the log alone. Source: design.md §2.4 and §4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.logs import Logs
from agents.record_batch import RecordBatch
from agents.store.billing import BillingStore
from agents.topics import COMMANDS, TICKS
from pipeline.clock import ClockRefusal, advance
from schemas.command import TickCopy
from schemas.tick import INPUT_LOGS, Clock, Tick, Vector

log = logging.getLogger(__name__)


class TickRefused(Exception):
    """A tick that would not count, and why."""


def wall_time() -> datetime:
    """Now. The only reading of a wall clock that billing ever sees, and only as the time of a tick."""
    return datetime.now(UTC)


async def read_clock(logs: Logs) -> Tick | None:
    """The last tick that counts, by folding billing.ticks; None before the first."""
    last: Tick | None = None
    end = (await logs.end_offsets(TICKS))[0]
    for record in await logs.read(TICKS, 0, 0, end):
        outcome = advance(last, Tick.model_validate_json(record.value or b""), _moment(record.timestamp_ms))
        last = outcome if isinstance(outcome, Tick) else last
    return last


async def first_tick(logs: Logs) -> Tick | None:
    """The tick that fixed the clock; None before it."""
    end = (await logs.end_offsets(TICKS))[0]
    async for record in logs.stream(TICKS, 0, 0, end):
        found = advance(None, Tick.model_validate_json(record.value or b""), _moment(record.timestamp_ms))
        if isinstance(found, Tick):
            return found
    return None


async def make_tick(logs: Logs, *, time: datetime, clock: Clock, last: Tick | None) -> Tick:
    """Appends the tick after `last`, with the end offsets of every input log, and returns the one that counts.

    If another tick of the same number was first, that one is returned. Raises TickRefused if this one cannot count.
    """
    vector = Vector(ends={topic: await logs.end_offsets(topic) for topic in INPUT_LOGS})
    tick = Tick(number=1 if last is None else last.number + 1, time=time, clock=clock, vector=vector)
    # On a wall clock the broker's time of the record bounds it; ours is the best guess before it is appended.
    outcome = advance(last, tick, wall_time())
    if isinstance(outcome, ClockRefusal):
        raise TickRefused(outcome.reason)
    _, offset = await logs.append(TICKS, None, tick.model_dump_json().encode())
    start = max(0, offset - 100)
    for record in await logs.read(TICKS, 0, start, offset + 1):
        found = Tick.model_validate_json(record.value or b"")
        if found.number == tick.number:
            return found
    return tick


class Forwarder:
    """Stores ticks that count and copies each into every partition of billing.commands."""

    def __init__(self, logs: Logs, store: BillingStore, keeper: LedgerKeeper) -> None:
        self._logs, self._store, self._keeper = logs, store, keeper

    async def forward(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle: fold, store, copy, ledger. A copy may come twice after a crash; the first counts."""
        first = min((batch.first_offset for batch in batches), default=0)
        last = await asyncio.to_thread(self._store.last_tick, first)
        counted: list[tuple[Tick, int]] = []
        for batch in batches:
            for offset, timestamp, value in zip(batch.offsets, batch.timestamps, batch.values, strict=True):
                outcome = advance(last, Tick.model_validate_json(value or b""), _moment(timestamp))
                if isinstance(outcome, Tick):
                    last = outcome
                    counted.append((outcome, offset))
                else:
                    log.warning("the tick at offset %s does not count: %s", offset, outcome.reason)
        await asyncio.to_thread(self._store.insert_ticks, counted)
        for tick, _ in counted:
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
        self._logs, self._every_s = logs, every_s
        self._last: Tick | None = None

    async def look(self) -> None:
        """Makes a tick if one is due. Does nothing on a test clock, or before a clock was started."""
        if self._last is None:
            self._last = await read_clock(self._logs)
        if self._last is None or self._last.clock != "wall":
            return
        now = wall_time()
        if now.timestamp() // self._every_s > self._last.time.timestamp() // self._every_s:
            self._last = await make_tick(self._logs, time=now, clock="wall", last=self._last)


def attach(app: TallyApp, forwarder: Forwarder, keeper: LedgerKeeper, ticker: Ticker) -> None:
    """Runs the forwarder, and on a wall clock makes a tick every so often."""
    delivery = app.deliver(TICKS, process=forwarder.forward, resume=keeper.resume, linger_s=0.01)

    async def look() -> None:
        if delivery.partitions:  # one worker holds the only partition, so one worker makes ticks
            await ticker.look()

    app.repeat("ticker", 1.0, look)


def _moment(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
