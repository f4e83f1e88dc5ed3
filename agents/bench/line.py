"""Tally end to end: from the broker's bytes to stored rows, to sealed totals; then merges, and bytes on disk."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from agents.bench.catalogue import METERS, apply
from agents.bench.events import START, Traffic, records
from agents.bench.figures import Figures
from agents.bench.processes import cpu_s, peak_mb
from agents.bench.site import Deployment, Say, Site, Worker
from agents.topics import USAGE_EVENTS

READING = "reading "
PARTS = (("lz4", "lz4"), (None, "uncompressed"))


@dataclass(frozen=True, slots=True)
class Drained:
    """What it cost to store a backlog. Microseconds of CPU per event; events per second on the wall."""

    events: int
    worker_us: float
    server_us: float
    rate: float


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the parts `Tally, lz4` and `Tally, uncompressed`."""
    site.spread()
    for codec, named in PARTS:
        async with await site.deployment(f"line_{named}") as deployed:
            await apply(deployed, METERS)
            await deployed.tick(START - timedelta(days=3))
            published = await deployed.publish(records(Traffic(events)), codec)
            say(f"Tally, {named}: {published:,} records to store")
            worker = deployed.worker("ingest")
            drained = await drain(deployed, published, worker)
            _tell(figures, f"Tally, {named}", drained, judged=codec is not None)
            figures.add(f"Tally, {named}", "most memory of the worker", peak_mb(worker.pid), "MB", at_most=512)
            if codec is not None:
                await _merges(deployed, figures, published, say)


def _tell(figures: Figures, part: str, drained: Drained, *, judged: bool) -> None:
    """Targets are those of the compressed topic; the other is told beside it."""
    figures.add(part, "worker", drained.worker_us, "µs/event", at_most=3.5 if judged else None)
    figures.add(part, "ClickHouse", drained.server_us, "µs/event")
    both = drained.worker_us + drained.server_us
    figures.add(part, "worker + ClickHouse", both, "µs/event", at_most=5.5 if judged else None)
    figures.add(part, "rate on the wall", drained.rate, "events/s", at_least=220_000 if judged else None)


async def drain(deployed: Deployment, published: int, worker: Worker) -> Drained:
    """Waits until a worker that just started has stored a backlog; imports and joining the group are not counted."""
    await asyncio.to_thread(worker.wait_for, READING + deployed.settings.topic_prefix + USAGE_EVENTS)
    began, before, server = time.monotonic(), cpu_s(worker.pid), deployed.server_cpu_s()
    await deployed.until(lambda: deployed.stored() >= published)
    took = time.monotonic() - began
    spent, served = cpu_s(worker.pid) - before, deployed.server_cpu_s() - server
    return Drained(published, spent / published * 1e6, served / published * 1e6, published / took)


async def _merges(deployed: Deployment, figures: Figures, published: int, say: Say) -> None:
    """Merges everything into one part per day; what that costs, and what an event then takes on disk."""
    say("merging to one part per day")
    before = deployed.server_cpu_s()
    await asyncio.to_thread(deployed.db.execute, "OPTIMIZE TABLE events FINAL")
    spent = deployed.server_cpu_s() - before
    figures.add("Tally, lz4", "merges to one part per day", spent / published * 1e6, "µs/event", at_most=1.0)
    rows = deployed.db.tuples(
        "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts "
        "WHERE database = currentDatabase() AND table = 'events' AND active"
    )
    figures.add("Tally, lz4", "bytes per stored event, merged", rows[0][0] / rows[0][1], "B", at_most=46)
