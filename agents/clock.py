"""Billing time: ticks are made and read here.

This is the one place where a wall clock is read. Anyone may append to billing.ticks; which records count is decided by
`pipeline.calendar.clock`, from the log alone. Source: design.md §2.4 and §4.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError

from agents.logs import Logs
from agents.topics import TICKS
from pipeline.calendar.clock import ClockRefusal, advance
from schemas.engine import ENGINE
from schemas.tick import INPUT_LOGS, Clock, Tick, Vector


class TickRefused(Exception):
    """A tick that does not count, and why."""


def wall_time() -> datetime:
    """Now. The only reading of a wall clock that billing ever sees, and only as the time of a tick."""
    return datetime.now(UTC)


def judged(last: Tick | None, value: bytes | None, timestamp_ms: int) -> Tick | ClockRefusal:
    """What a record of billing.ticks is: the tick that moves time on from `last`, or why it does not count."""
    try:
        tick = Tick.model_validate_json(value or b"")
    except ValidationError as error:
        return ClockRefusal(f"it is no tick: {error.errors()[0]['msg']}")
    return advance(last, tick, moment(timestamp_ms))


class TickLog:
    """billing.ticks, folded as far as it was read.

    `stored` is a tick that counts and its offset, where the fold may begin: a year holds half a million ticks.
    """

    def __init__(self, logs: Logs, stored: tuple[Tick, int] | None = None) -> None:
        self._logs = logs
        self._last = stored[0] if stored else None
        self._position = stored[1] + 1 if stored else 0

    async def last(self) -> Tick | None:
        """The last tick that counts; None before the first."""
        await self._fold((await self._logs.end_offsets(TICKS))[0])
        return self._last

    async def append(self, *, time: datetime, clock: Clock) -> Tick:
        """Appends the tick after the last, with the end offsets of every input log. Raises TickRefused."""
        last = await self.last()
        vector = Vector(ends={topic: await self._logs.end_offsets(topic) for topic in INPUT_LOGS})
        tick = Tick(number=1 if last is None else last.number + 1, time=time, clock=clock, vector=vector, engine=ENGINE)
        # On a wall clock the broker's time of the record bounds it; ours is the best guess before it is appended.
        outcome = advance(last, tick, wall_time())
        if isinstance(outcome, Tick):
            _, offset = await self._logs.append(TICKS, None, tick.model_dump_json().encode())
            outcome = await self._fold(offset + 1) or outcome
        if isinstance(outcome, ClockRefusal):
            raise TickRefused(outcome.reason)
        return tick

    async def _fold(self, end: int) -> Tick | ClockRefusal | None:
        """Reads on to an offset; what its last record is."""
        outcome = None
        if self._position > end:  # another log than the one that was read: it says nothing about this one
            self._last, self._position = None, 0
        if self._position < end:
            async for record in self._logs.stream(TICKS, 0, self._position, end):
                outcome = judged(self._last, record.value, record.timestamp_ms)
                self._last = outcome if isinstance(outcome, Tick) else self._last
        self._position = end
        return outcome


async def first_tick(logs: Logs) -> Tick | None:
    """The tick that fixed the clock; None before it."""
    end = (await logs.end_offsets(TICKS))[0]
    async for record in logs.stream(TICKS, 0, 0, end):
        found = judged(None, record.value, record.timestamp_ms)
        if isinstance(found, Tick):
            return found
    return None


def moment(timestamp_ms: int) -> datetime:
    """The broker's time of a record, from its milliseconds since 1970."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
