"""`tally tick` and `tally clock`: billing time, moved by hand on a test clock, shown on any."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import WAIT_S, AsJson, NoWait, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.settings import Settings
    from agents.store.billing import BillingStore
    from schemas.tick import Tick


class Kind(StrEnum):
    """What billing time follows."""

    TEST = "test"
    WALL = "wall"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import LOOK, OPERATE

    app.command("clock", rich_help_panel=LOOK, epilog="Example: tally clock --json | jq .time")(clock)
    app.command("tick", rich_help_panel=OPERATE, epilog="Example: tally tick --at 2026-11-01T06:00Z")(tick)


def clock(as_json: AsJson = False) -> None:
    """Show billing time: the clock, its last tick, the vector of that tick and who has followed it."""
    import asyncio

    from agents.cli.screen import Screen

    asyncio.run(_show(Screen(json_only=as_json)))


def tick(
    at: Annotated[str, typer.Option("--at", help="Move a test clock to this time (UTC without a zone).")] = "",
    start: Annotated[
        Kind | None,
        typer.Option("--start", help="Begin billing time, once and for ever: by hand, or by the wall clock."),
    ] = None,
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Make a tick: billing time moves, and what is due is billed. Without options, show the clock.

    The first tick fixes the clock. On a wall clock the workers make the ticks, and one made by hand is refused (exit
    code 1), as is one that goes back. Returns once the workers have taken it in.
    """
    import asyncio

    from agents.cli.instants import instant
    from agents.cli.screen import Screen

    if start is Kind.WALL and at:
        raise typer.BadParameter("a wall clock begins now; --at is for a test clock", param_hint="--at")
    time = instant(at, "--at") if at else None
    screen = Screen(json_only=as_json)
    if start is None and time is None:
        asyncio.run(_show(screen))
    else:
        asyncio.run(_tick(screen, time, start, timeout=None if no_wait else timeout))


async def _tick(screen: Screen, time: datetime | None, start: Kind | None, *, timeout: float | None) -> None:
    import asyncio

    from agents.cli.instants import shown
    from agents.cli.waiting import until
    from agents.clock import TickLog, wall_time
    from agents.logs import Logs
    from agents.settings import load
    from agents.topics import COMMANDS

    settings = load()
    async with Logs(settings) as logs:
        with _tables(settings) as store:
            ticks = TickLog(logs, await asyncio.to_thread(store.newest_tick))
            refuse_by_hand(await ticks.last(), start)
            wall = start is Kind.WALL
            made = await ticks.append(time=time or wall_time(), clock="wall" if wall else "test")
            if timeout is not None:
                partitions = await logs.partitions(COMMANDS)
                with screen.wait("the workers take it in", partitions, "partitions") as wait:

                    async def folded() -> bool:
                        clocks = await asyncio.to_thread(store.clocks)
                        wait.to(sum(clocks.get(partition, 0) >= made.number for partition in range(partitions)))
                        return wait.done == partitions

                    advice = "the tick counts, and a billing worker will take it in: tally up --workers"
                    await until(folded, wait, within_s=timeout, otherwise=advice)
    if screen.json_only:
        screen.document(made.model_dump(mode="json"))
    screen.say(f"Tick {made.number} at {shown(made.time)}, on a {made.clock} clock.")


def refuse_by_hand(last: Tick | None, start: Kind | None) -> None:
    """Raises Refused for a tick that nobody may make by hand: to begin twice, before the beginning, on a wall clock."""
    from agents.cli.failures import Refused
    from agents.cli.instants import shown

    if start is not None and last is not None:
        at = f"tick {last.number} is at {shown(last.time)}"
        raise Refused(f"billing time has begun: the clock is {last.clock}, for ever; {at}")
    if start is None and last is None:
        raise Refused("billing time has not begun; begin it: tally tick --start test --at TIME, or --start wall")
    if start is None and last is not None and last.clock == "wall":
        raise Refused(f"the clock is wall: the workers make its ticks, nobody else; the last was at {shown(last.time)}")


# -- show ------------------------------------------------------------------------------------------------------------


async def _show(screen: Screen) -> None:
    import asyncio

    from agents.clock import TickLog
    from agents.logs import Logs
    from agents.settings import load
    from agents.topics import COMMANDS

    settings = load()
    async with Logs(settings) as logs:
        with _tables(settings) as store:
            last = await TickLog(logs, await asyncio.to_thread(store.newest_tick)).last()
            folded = await asyncio.to_thread(store.clocks)
        partitions = await logs.partitions(COMMANDS)
        ends = {} if last is None else await _ends(logs, last)
    followers = {partition: folded.get(partition, 0) for partition in range(partitions)}
    if screen.json_only:
        screen.document(clock_document(last, followers))
    elif last is None:
        screen.say("Billing time has not begun. Next: tally tick --start test --at TIME, or tally tick --start wall")
    else:
        _say(screen, last, followers, ends)


async def _ends(logs: Logs, last: Tick) -> Mapping[str, tuple[int, ...]]:
    return {topic: await logs.end_offsets(topic) for topic in last.vector.ends}


def clock_document(last: Tick | None, followers: Mapping[int, int]) -> dict[str, Any]:
    """The clock for programs; `followed_by` is the last tick that each partition of billing.commands has folded."""
    told = (
        dict.fromkeys(("number", "time", "clock", "vector", "engine")) if last is None else last.model_dump(mode="json")
    )
    return {**told, "followed_by": followers}


def _say(screen: Screen, last: Tick, followers: Mapping[int, int], ends: Mapping[str, tuple[int, ...]]) -> None:
    from agents.cli.instants import shown

    screen.say(f"Billing time is {shown(last.time)}: tick {last.number} of a {last.clock} clock.")
    rows = [
        (topic, " ".join(map(str, offsets)), f"{sum(ends[topic]) - sum(offsets):,}")
        for topic, offsets in last.vector.ends.items()
    ]
    screen.table("vector: next offset of every partition", ("log", "next offsets", ">records since"), rows)
    behind = {partition: number for partition, number in followers.items() if number < last.number}
    if behind:
        named = ", ".join(f"partition {partition} at tick {number}" for partition, number in behind.items())
        screen.say(f"Not followed yet by billing.commands: {named}. Is a billing worker running? tally status")
    else:
        screen.say("Followed by every partition of billing.commands.")


@contextmanager
def _tables(settings: Settings) -> Iterator[BillingStore]:
    from agents.store.billing import BillingStore
    from agents.store.connection import Connection

    connection = Connection(settings)
    try:
        yield BillingStore(connection)
    finally:
        connection.close()
