"""Billing time: ticks are made and read here.

This is the one place where a wall clock is read. Anyone may append to billing.ticks; which records count is decided by
`pipeline.clock`, from the log alone. Source: design.md §2.4 and §4.
"""

from __future__ import annotations

from datetime import UTC, datetime

from agents.logs import Logs
from agents.topics import TICKS
from pipeline.clock import ClockRefusal, advance
from schemas.tick import INPUT_LOGS, Clock, Tick, Vector


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
        outcome = advance(last, Tick.model_validate_json(record.value or b""), moment(record.timestamp_ms))
        last = outcome if isinstance(outcome, Tick) else last
    return last


async def first_tick(logs: Logs) -> Tick | None:
    """The tick that fixed the clock; None before it."""
    end = (await logs.end_offsets(TICKS))[0]
    async for record in logs.stream(TICKS, 0, 0, end):
        found = advance(None, Tick.model_validate_json(record.value or b""), moment(record.timestamp_ms))
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


def moment(timestamp_ms: int) -> datetime:
    """The broker's time of a record, from its milliseconds since 1970."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
