"""A month of many customers from its tick to published invoices, the replay of it, and a year of closes.

Events are made where they are stored, with the ledger, the audit of them and the totals of whole days, as ticks by the
minute leave them at a month's end; what is measured begins with the tick that closes the month, and nothing is told it
before.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial

from agents.bench.catalogue import PLAN, apply
from agents.bench.figures import Figures
from agents.bench.processes import cpu_s
from agents.bench.site import BenchFailed, Deployment, Say, Site
from agents.bench.usage import CUSTOMERS, FILL, MONTH, PANES
from agents.catalogue import CatalogueLog
from agents.commands import outcomes, send
from agents.store.audits import AuditStore
from agents.store.customers import SimulationStore
from agents.store.day_totals import DayTotalsStore
from agents.topics import COMMANDS, TICKS
from schemas.command import Subscribe
from schemas.engine import ENGINE
from schemas.tick import INPUT_LOGS, USAGE, Tick, Vector

PER_CUSTOMER = 1000
AT_ONCE = 500_000
COMMANDS_AT_ONCE = 2000
MONTHS = 12
GRACE = timedelta(hours=6)


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the part `close`: a customer per thousand events."""
    site.gather()
    customers = max(1, events // PER_CUSTOMER)
    whole = customers >= CUSTOMERS  # what is fixed per tick is no tenth of it for a tenth of the customers
    async with await site.deployment("close") as deployed:
        say(f"close: {events:,} stored events of {customers:,} customers")
        worker = deployed.worker("billing")
        ends = await _begin(deployed, customers, events)
        say(f"close: a month of {customers:,} subscriptions")
        before = cpu_s(worker.pid), deployed.server_cpu_s()
        took = await _bill(deployed, MONTH.end + GRACE, customers, ends)
        spent = cpu_s(worker.pid) - before[0], deployed.server_cpu_s() - before[1]
        named = f"{customers:,} subscriptions, {events:,} events"
        figures.add("close", f"{named}: tick to published invoices", took, "s", at_most=30 if whole else None)
        figures.add("close", "CPU of the worker per invoice", spent[0] / customers * 1000, "ms")
        figures.add("close", "CPU of ClickHouse per invoice", spent[1] / customers * 1000, "ms")
        began = time.monotonic()
        replay = site.child("-m", "agents.cli", "replay", "--check", "--all", settings=deployed.settings)
        said = await asyncio.to_thread(replay.ended)
        if "identical bytes" not in said:
            raise BenchFailed(said[-2000:])
        figures.add("close", f"{named}: replay --check", time.monotonic() - began, "s", at_most=30 if whole else None)
    await _year(site, figures, customers, say, whole=whole)


async def _year(site: Site, figures: Figures, customers: int, say: Say, *, whole: bool) -> None:
    """Twelve closes without usage: what billing itself costs."""
    async with await site.deployment("year") as deployed:
        say(f"close: a year of {customers:,} subscriptions")
        deployed.worker("billing")
        ends = await _begin(deployed, customers, 0)
        began = time.monotonic()
        for month in range(1, MONTHS + 1):
            year, index = divmod(MONTH.start.month - 1 + month, 12)
            at = datetime(MONTH.start.year + year, index + 1, 1, tzinfo=MONTH.start.tzinfo) + GRACE
            await _bill(deployed, at, customers * month, ends)
        took = time.monotonic() - began
        figures.add("close", f"a year of {customers:,} subscriptions", took, "s", at_most=400 if whole else None)


async def _begin(deployed: Deployment, customers: int, events: int) -> tuple[int, ...]:
    """Catalogue, clock, subscriptions and stored events; the ends of usage.events that the events come to."""
    await apply(deployed, PLAN)
    await deployed.tick(MONTH.start)
    await _folded(deployed, 1)
    await _subscribe(deployed, customers)
    await asyncio.to_thread(_fill, deployed, customers, events)
    ends = tuple(events // 8 + (partition < events % 8) for partition in range(8))
    await _seal(deployed, ends)
    return ends


async def _seal(deployed: Deployment, ends: tuple[int, ...]) -> None:
    """Whole days are computed an hour after their end: the last of the month long before its grace is over."""
    entries = list((await CatalogueLog(deployed.logs).newest()).meters.values())
    sealed = Tick(number=1, time=MONTH.end + timedelta(hours=1), clock="test", vector=Vector(ends={USAGE: ends}))
    days = DayTotalsStore(deployed.db)
    await asyncio.to_thread(days.summarise, list(ends))
    for day in await asyncio.to_thread(days.days):
        await asyncio.to_thread(days.seal, entries, day, sealed)


async def _subscribe(deployed: Deployment, customers: int) -> None:
    entry = next(iter((await CatalogueLog(deployed.logs).newest()).plans.values()))
    commands = [
        Subscribe(
            request_id=f"bench {number}", actor="bench", reason="bench", customer=f"cust-{number:05}/key-1",
            subscription=f"sub-{number:05}", plan=entry.name, plan_version=entry.version, starts_at=MONTH.start,
        )
        for number in range(customers)
    ]  # fmt: skip
    for first in range(0, customers, COMMANDS_AT_ONCE):
        sent = await send(deployed.logs, commands[first : first + COMMANDS_AT_ONCE])
        found = await outcomes(deployed.logs, sent, within_s=120)
        if any(one is None or not one.accepted for one in found):
            raise BenchFailed("a subscription was refused, or not decided in time")


def _fill(deployed: Deployment, customers: int, events: int) -> None:
    step = (MONTH.end - MONTH.start).total_seconds() * 1000 / max(events, 1)
    for first in range(0, events, AT_ONCE):
        deployed.db.execute(FILL, {
            "first": first, "count": min(AT_ONCE, events - first), "step": step, "customers": customers,
            "starts": int(MONTH.start.timestamp() * 1000),
        })  # fmt: skip
    deployed.db.insert("ledger", ("topic", "k_partition", "next_offset", "first_offset", "events", "corrections",
                                  "dead_letters", "controls", "panes", "last_hash", "appended_at"), [
        (USAGE, partition, end, 0, end, 0, 0, 0, list(PANES), 0, MONTH.end)
        for partition in range(8) if (end := events // 8 + (partition < events % 8))
    ])  # fmt: skip
    deployed.db.execute("OPTIMIZE TABLE events FINAL")


async def _bill(deployed: Deployment, at: datetime, documents: int, ends: tuple[int, ...]) -> float:
    """Seconds from a tick until so many documents are published and nothing is open."""
    last = await deployed.ticks.last()
    assert last is not None
    found = {topic: await deployed.logs.end_offsets(topic) for topic in INPUT_LOGS}
    tick = Tick(number=last.number + 1, time=at, clock="test", vector=Vector(ends={**found, USAGE: ends}),
                engine=ENGINE)  # fmt: skip
    AuditStore(deployed.db).record(tick)
    began = time.monotonic()
    await deployed.logs.append(TICKS, None, tick.model_dump_json().encode())
    await _folded(deployed, tick.number)
    await deployed.until(partial(_final, deployed, documents))
    return time.monotonic() - began


async def _folded(deployed: Deployment, number: int) -> None:
    """Returns once every partition of billing.commands has folded a tick."""
    partitions = await deployed.logs.partitions(COMMANDS)
    sql = f"SELECT countIf(tick >= {number}) FROM partition_clocks FINAL"
    await deployed.until(lambda: deployed.db.tuples(sql)[0][0] >= partitions)


def _final(deployed: Deployment, documents: int) -> bool:
    store = SimulationStore(deployed.db)
    count = deployed.db.tuples("SELECT count() FROM invoices FINAL WHERE number != ''")[0][0]
    return bool(count >= documents) and store.open_runs() == 0
