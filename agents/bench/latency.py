"""A steady rate with live event times and default settings: CPU per event, and produce to visible."""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.attribution_log import attribute
from agents.bench.catalogue import PLAN, apply
from agents.bench.events import Record, record
from agents.bench.figures import Figures
from agents.bench.processes import cpu_s
from agents.bench.site import BenchFailed, Deployment, Say, Site
from agents.catalogue import CatalogueLog
from agents.clock import wall_time
from agents.commands import outcomes, send
from agents.publisher import Publisher
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.topics import USAGE_EVENTS
from schemas.command import Attribution, Subscribe

RATE = 5_000
EVERY_S = 0.02
CUSTOMER, SUBJECT = "watched", "watched/key-1"
QUESTION = "SELECT sum(events) FROM v_usage_current WHERE customer = 'watched' AND meter = 'requests'"


@dataclass(slots=True)
class Watched:
    """When each event of the watched customer was handed to the producer, and what was seen when."""

    produced: list[float] = field(default_factory=list)
    seen: list[tuple[float, int]] = field(default_factory=list)

    def delays_ms(self) -> list[float]:
        """From the producer to the first answer that counts it, for every event that was seen, ascending."""
        counts = [count for _, count in self.seen]
        found = []
        for number, at in enumerate(self.produced, 1):
            place = bisect_left(counts, number)
            if place < len(counts):
                found.append((self.seen[place][0] - at) * 1000)
        return sorted(found)


async def measure(site: Site, figures: Figures, seconds: int, say: Say) -> None:
    """Figures of the part `5,000 events/s`."""
    site.spread()
    async with await site.deployment("latency") as deployed:
        await prepare(deployed, PLAN)
        worker = deployed.worker("ingest")
        await asyncio.to_thread(worker.wait_for, "reading ")
        say(f"{RATE:,} events/s with live event times: {seconds} s for the cost, {seconds} s for the delay")
        watched = Watched()
        await produce(deployed, watched, 3)  # connections, caches
        before, server, began = cpu_s(worker.pid), deployed.server_cpu_s(), time.monotonic()
        sent = await produce(deployed, watched, seconds)
        await asyncio.sleep(1)
        spent, served = cpu_s(worker.pid) - before, deployed.server_cpu_s() - server
        figures.add("5,000 events/s", "worker", spent / sent * 1e6, "µs/event")
        figures.add("5,000 events/s", "ClickHouse", served / sent * 1e6, "µs/event")
        figures.add("5,000 events/s", "worker + ClickHouse", (spent + served) / sent * 1e6, "µs/event", at_most=80)
        figures.add("5,000 events/s", "rate kept", sent / (time.monotonic() - began - 1), "events/s")
        await _watch(deployed, figures, watched, seconds)


async def prepare(deployed: Deployment, catalogue: str) -> None:
    """A wall clock, a customer on a plan, its subject, and the worker that makes ticks."""
    await apply(deployed, catalogue)
    now = wall_time()
    await deployed.ticks.append(time=now, clock="wall")
    asked = {"actor": "bench", "reason": "a measurement"}
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await attribute(
        deployed.logs,
        [Attribution(subject=SUBJECT, customer=CUSTOMER, effective_from=month, request_id="attribute", **asked)],
    )
    deployed.worker("billing")
    billing, partitions = BillingStore(deployed.db), deployed.settings.billing_partitions
    await deployed.until(lambda: len(billing.clocks()) == partitions)  # until then nothing can be subscribed
    version = (await CatalogueLog(deployed.logs).newest()).newest_plans["mixed"]
    command = Subscribe(request_id="subscribe", customer=CUSTOMER, subscription="watched", plan="mixed",
                        plan_version=version, starts_at=month, **asked)  # fmt: skip
    (outcome,) = await outcomes(deployed.logs, await send(deployed.logs, [command]), within_s=60)
    if outcome is None or not outcome.accepted:
        raise BenchFailed(f"the customer could not be subscribed: {outcome}")


async def produce(deployed: Deployment, watched: Watched, seconds: int) -> int:
    """Hands records to a producer at a steady rate; a record of the watched customer in every burst.

    The producer sends what it was handed while the batches before were on their way, as every client's does: a broker
    that answers late then gets larger batches, and their wait counts as delay.
    """
    draw, sent = random.Random(len(watched.produced)), 0
    burst = int(RATE * EVERY_S)
    partitions = await deployed.logs.partitions(USAGE_EVENTS)
    handed: list[Record] = []
    async with Publisher(deployed.settings, USAGE_EVENTS, partitions=partitions) as publisher:
        began, sending = time.monotonic(), asyncio.create_task(asyncio.sleep(0))
        for number in range(int(seconds / EVERY_S)):
            await asyncio.sleep(max(0.0, began + number * EVERY_S - time.monotonic()))
            now_ms = int(wall_time().timestamp() * 1000)
            handed += [record(draw, now_ms) for _ in range(burst - 1)]
            handed.append(watched_record(draw, now_ms))
            watched.produced.append(time.monotonic())
            sent += burst
            if sending.done():
                await sending
                sending, handed = asyncio.create_task(publisher.publish(handed)), []
        await sending
        await publisher.publish(handed)
    return sent


def watched_record(draw: random.Random, at_ms: int) -> Record:
    """An event of the watched customer."""
    key, value = record(draw, at_ms, 1)
    subject = (key or b"").decode()
    text = value.decode().replace(subject, SUBJECT)
    for other in ("llm.embedding", "storage.write"):
        text = text.replace(other, "llm.completion")
    return SUBJECT.encode(), text.encode()


async def _watch(deployed: Deployment, figures: Figures, watched: Watched, seconds: int) -> None:
    asking = Connection(deployed.settings)
    took: list[float] = []
    ended = asyncio.Event()

    async def ask() -> None:
        while not ended.is_set():
            began = time.monotonic()
            rows = await asyncio.to_thread(asking.tuples, QUESTION)
            took.append((time.monotonic() - began) * 1000)
            watched.seen.append((time.monotonic(), int(rows[0][0] or 0)))

    before = len(watched.produced)
    asker = asyncio.create_task(ask())
    await asyncio.sleep(1)
    await produce(deployed, watched, seconds)
    await asyncio.sleep(2)
    ended.set()
    await asker
    asking.close()
    watched.produced, first = watched.produced[before:], before
    watched.seen = [(at, count - first) for at, count in watched.seen]
    delays = watched.delays_ms()
    if not delays:
        raise BenchFailed("no event of the watched customer became visible")
    figures.add("5,000 events/s", "produce to visible, p50", share(delays, 50), "ms", at_most=250)
    figures.add("5,000 events/s", "produce to visible, p99", share(delays, 99), "ms", at_most=500)
    figures.add("5,000 events/s", "v_usage_current of one customer, median", share(sorted(took), 50), "ms")


def share(ascending: Sequence[float], percent: int) -> float:
    """The value below which so many of a hundred lie."""
    return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)]
