"""`tally simulate`: a test clock that jumps from one moment at which something is due to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from agents.cli.screen import Screen
    from agents.cli.simulating import Simulation
    from schemas.tick import Tick


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command(
        "simulate", rich_help_panel=MONEY,
        epilog="Example: tally simulate --until 2028-01-01 --customers 100 --plan team",
    )(simulate)  # fmt: skip


def simulate(
    until: Annotated[str, typer.Option("--until", help="Where billing time stops.")],
    customers: Annotated[
        int, typer.Option("--customers", min=0, help="Subscribe so many first, sim-00001 and so on.")
    ] = 0,
    plan: Annotated[str, typer.Option("--plan", help="What they subscribe to, or plan@version.")] = "",
    step: Annotated[int, typer.Option("--step", min=1, help="Ticks are at whole multiples of so many minutes.")] = 60,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds without progress; then exit code 6.")
    ] = 120,
    as_json: AsJson = False,
) -> None:
    """Run a test clock to a date: a tick whenever something is due, then wait until every document of it is final.

    A year of a catalogue takes seconds. Needs a billing worker and, for its closes, an ingest worker; only on a test
    clock: billing time does not go back.
    """
    import asyncio

    from agents.cli.instants import instant
    from agents.cli.screen import Screen

    if bool(customers) != bool(plan):
        raise typer.BadParameter("give --customers and --plan together")
    end = instant(until, "--until")
    asyncio.run(_simulate(Screen(json_only=as_json), end, customers, plan, step, timeout))


async def _simulate(
    screen: Screen, end: datetime, customers: int, plan: str, step: int, timeout: float
) -> None:  # fmt: skip
    import asyncio
    import time
    from datetime import timedelta

    from agents.cli.clock import refuse_by_hand
    from agents.cli.failures import Refused
    from agents.cli.simulating import Simulation
    from agents.settings import load

    began = time.monotonic()
    async with Simulation(load(), timeout) as simulation:
        last = await simulation.last()
        refuse_by_hand(last, None)
        assert last is not None
        if end <= last.time:
            raise Refused(f"--until {end.isoformat()} is not after billing time {last.time.isoformat()}")
        if customers:
            with screen.wait("subscribing", customers, "customers") as wait:
                await simulation.subscribe(customers, plan, wait)
        ticks = await _run(screen, simulation, last, end, timedelta(minutes=step))
        runs = await asyncio.to_thread(simulation.open_runs)
        with screen.wait("documents become final", max(1, runs), "runs") as wait:
            await simulation.settled(runs, wait)
        found = await asyncio.to_thread(simulation.billed_since, last.number)
    taken = time.monotonic() - began
    if screen.json_only:
        screen.document({"ticks": ticks, "until": end.isoformat(), **found, "seconds": f"{taken:.1f}"})
    screen.say(
        f"Billing time is {end:%Y-%m-%d %H:%M} UTC: {ticks:,} ticks, {found['closes']:,} closes,"
        f" {found['documents']:,} documents in {taken:.1f} s ({found['closes'] / taken:,.0f} closes/s)."
        " Next: tally invoices"
    )


async def _run(screen: Screen, simulation: Simulation, last: Tick, end: datetime, step: timedelta) -> int:
    """Ticks up to the end; how many."""
    import asyncio

    days = max(1, (end - last.time).days)
    count, at = 0, last.time
    with screen.wait("billing time", days, "days") as wait:
        while at < end:
            due = await asyncio.to_thread(simulation.next_due, end)
            at = end if due is None else min(end, max(rounded_up(due, step), at + step))
            await simulation.tick(at)
            count += 1
            wait.to((at - last.time).days)
    return count


def rounded_up(moment: datetime, step: timedelta) -> datetime:
    """The first whole multiple of a step at or after a moment."""
    from datetime import UTC, datetime

    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return moment + (-since % step)
