"""Totals through a day: what sealing costs per event, in the first hours and in the last, with late events in each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from functools import partial

from agents.bench.catalogue import METERS, apply
from agents.bench.events import START, Record, Traffic, records
from agents.bench.figures import Figures
from agents.bench.processes import cpu_s
from agents.bench.site import Deployment, Say, Site, Worker
from schemas.tick import Tick

HOURS = 24
IDLE_S = 2.0


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the part `sealing`: a day of traffic, a tick after each hour."""
    site.spread()
    async with await site.deployment("sealing") as deployed:
        await apply(deployed, METERS)
        await deployed.tick(START - timedelta(days=3))
        worker = deployed.worker("ingest")
        await asyncio.to_thread(worker.wait_for, "reading ")
        say(f"sealing: a day of {events:,} events, a tick each hour")
        spent = [cost async for cost in _day(deployed, worker, events)]
        figures.add("sealing", "worker + ClickHouse", sum(spent) / len(spent), "µs/event", at_most=1.0)
        early, late = spent[2:8], spent[-6:]
        figures.add("sealing", "hours 3 to 8", sum(early) / len(early), "µs/event")
        figures.add("sealing", "last six hours", sum(late) / len(late), "µs/event")
        figures.add("sealing", "growth through the day", sum(late) / sum(early), "×", at_most=1.3)


async def _day(deployed: Deployment, worker: Worker, events: int) -> AsyncIterator[float]:
    idle = await _idle(deployed, worker)
    published = 0
    for hour, chunk in enumerate(_hours(events)):
        published += await deployed.publish(chunk)
        await deployed.until(partial(_has, deployed, published))
        yield await _tick(deployed, worker, hour + 1, idle) / len(chunk) * 1e6


def _hours(events: int) -> Iterator[Sequence[Record]]:
    """The day's traffic in equal chunks, in the order of its hours."""
    made = list(records(Traffic(events, span=timedelta(days=1))))
    size = len(made) // HOURS
    for hour in range(HOURS):
        yield made[hour * size : (hour + 1) * size]


def _has(deployed: Deployment, records: int) -> bool:
    return deployed.stored() >= records


async def _idle(deployed: Deployment, worker: Worker) -> float:
    """CPU seconds per second of a worker and a server that have nothing to do."""
    before = cpu_s(worker.pid) + deployed.server_cpu_s()
    await asyncio.sleep(IDLE_S)
    return (cpu_s(worker.pid) + deployed.server_cpu_s() - before) / IDLE_S


async def _tick(deployed: Deployment, worker: Worker, hour: int, idle: float) -> float:
    """CPU seconds from a tick until its panes are sealed."""
    loop = asyncio.get_running_loop()
    before, began = cpu_s(worker.pid) + deployed.server_cpu_s(), loop.time()
    tick = await deployed.tick(START + timedelta(hours=hour))
    await _sealed(deployed, worker, tick)
    spent = cpu_s(worker.pid) + deployed.server_cpu_s() - before
    return max(0.0, spent - idle * (loop.time() - began))


async def _sealed(deployed: Deployment, worker: Worker, tick: Tick) -> None:
    # Ticks are stored by the billing worker, which is not measured: we store this one ourselves.
    from agents.store.billing import BillingStore

    await asyncio.to_thread(BillingStore(deployed.db).insert_ticks, [(tick, tick.number)])
    await asyncio.to_thread(worker.wait_for, f"tick {tick.number}: sealed", 120)
