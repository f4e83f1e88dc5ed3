"""Alerts and entitlements beside ingestion: from an event to its alert, and how long an answer takes."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Mapping

from agents.bench.catalogue import PLAN
from agents.bench.events import record
from agents.bench.figures import Figures
from agents.bench.latency import CUSTOMER, RATE, Watched, prepare, share, watched_record
from agents.bench.processes import cpu_s
from agents.bench.site import BenchFailed, Deployment, Say, Site, Worker
from agents.clock import wall_time
from agents.publisher import Publisher
from agents.topics import ALERTS, USAGE_EVENTS
from deploy.bench.http import steady

PART = f"limits, beside {RATE:,} events/s"
BURSTS_S = 0.1
BURST = int(RATE * BURSTS_S)
EVERY = 5
"""A threshold after so many events of the watched customer."""
REQUESTS_PER_S = 500
WITHIN_S = 60.0
LISTENS = "running on http://127.0.0.1:"


async def measure(site: Site, figures: Figures, seconds: int, say: Say) -> None:
    """Figures of the part `limits`."""
    site.spread()
    async with await site.deployment("limits", tick_every_s=10) as deployed:
        await prepare(deployed, PLAN + _rules(seconds))
        worker = deployed.worker("ingest")
        await asyncio.to_thread(worker.wait_for, "reading ")
        watched = Watched()
        await _produce(deployed, watched, 3)  # connections, caches, a first look
        say(f"{RATE:,} events/s: {seconds} s with a threshold every {EVERY} events of a customer, {seconds} s with "
            f"{REQUESTS_PER_S} requests/s for its entitlement")  # fmt: skip
        await _alerts(deployed, figures, watched, seconds)
        await _answers(deployed, figures, watched, seconds)


def _rules(seconds: int) -> str:
    """An entitlement, and a rule with a threshold every few events of the watched customer."""
    thresholds = [str(EVERY * number) for number in range(1, int((seconds + 10) / BURSTS_S) // EVERY)]
    return (
        '\n[[plans.entitlements]]\nmeter = "requests"\nincluded = "1000000"\nlimit = "hard"\n'
        f'[[alerts]]\nid = "steps"\non = "usage"\nmeter = "requests"\nthresholds = {json.dumps(thresholds)}\n'
    )


async def _alerts(deployed: Deployment, figures: Figures, watched: Watched, seconds: int) -> None:
    """From handing an event to the producer until the alert that it causes can be read from billing.alerts."""
    before = len(watched.produced)
    arrived: dict[int, float] = {}
    reader = asyncio.create_task(_read(deployed, arrived))
    await _produce(deployed, watched, seconds)
    wanted = {n for n in range(EVERY, len(watched.produced) + 1, EVERY) if n > before}
    try:
        async with asyncio.timeout(WITHIN_S):
            while not wanted <= arrived.keys():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise BenchFailed(f"{len(wanted - arrived.keys())} of {len(wanted)} alerts did not come") from None
    finally:
        reader.cancel()
    delays = sorted((arrived[n] - watched.produced[n - 1]) * 1000 for n in wanted)
    figures.add(PART, f"event to alert, p50 of {len(delays)}", share(delays, 50), "ms")
    figures.add(PART, "event to alert, p99", share(delays, 99), "ms", at_most=5000)


async def _produce(deployed: Deployment, watched: Watched, seconds: int) -> None:
    """What is due is sent together, ten times a second; on a machine that is slower than that, all the same."""
    draw, sent = random.Random(len(watched.produced)), 0
    partitions = await deployed.logs.partitions(USAGE_EVENTS)
    began = time.monotonic()
    async with Publisher(deployed.settings, USAGE_EVENTS, partitions=partitions) as publisher:
        while sent < seconds * RATE:
            await asyncio.sleep(BURSTS_S)
            due = min(int((time.monotonic() - began) / BURSTS_S), int(seconds / BURSTS_S)) - sent // BURST
            now_ms = int(wall_time().timestamp() * 1000)
            made = [record(draw, now_ms) for _ in range(due * (BURST - 1))]
            made += [watched_record(draw, now_ms) for _ in range(due)]
            watched.produced += [time.monotonic()] * due
            await publisher.publish(made)
            sent += due * BURST


async def _read(deployed: Deployment, arrived: dict[int, float]) -> None:
    """When the alert of each threshold came."""
    starts = [0] * await deployed.logs.partitions(ALERTS)
    async for alert in deployed.logs.follow(ALERTS, starts):
        evidence: Mapping[str, str] = json.loads(alert.value or b"{}")["evidence"]
        arrived.setdefault(int(evidence["threshold"]), time.monotonic())


async def _answers(deployed: Deployment, figures: Figures, watched: Watched, seconds: int) -> None:
    """Answers of a server on the core of the ingester, while usage goes on."""
    server = deployed.serve()
    port = await asyncio.to_thread(_port, server)
    load = asyncio.create_task(_produce(deployed, watched, seconds + 6))
    await asyncio.sleep(3)
    await _asked(port, REQUESTS_PER_S)  # the first one waits for a refresh
    before = cpu_s(server.pid)
    took = await _asked(port, REQUESTS_PER_S * seconds)
    spent = (cpu_s(server.pid) - before) / len(took)
    await load
    times = [each * 1000 for each in took]
    figures.add(PART, f"entitlement at {REQUESTS_PER_S} requests/s, p50", share(times, 50), "ms")
    figures.add(PART, f"entitlement at {REQUESTS_PER_S} requests/s, p99", share(times, 99), "ms", at_most=20)
    figures.add(PART, "CPU of the server, refreshes included", spent * 1e6, "µs/request")


async def _asked(port: int, count: int) -> list[float]:
    """Seconds to each answer, ascending; asked by a process of its own: the producer's work would count as waiting."""
    command = (sys.executable, "-m", "agents.bench.limits", str(port), str(count))
    asker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asker.communicate()
    if asker.returncode:
        raise BenchFailed("the entitlement could not be asked for")
    found: list[float] = json.loads(said)
    return found


def _port(server: Worker) -> int:
    """Where a server listens, once it does."""
    server.wait_for(LISTENS)
    found = re.search(LISTENS + r"(\d+)", server.said())
    assert found is not None
    return int(found.group(1))


def main(port: int, count: int) -> None:
    """Asks so often at a steady rate, and prints the seconds that each answer took."""
    request = f"GET /v1/customers/{CUSTOMER}/entitlements/requests HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    print(json.dumps(asyncio.run(steady(port, [request] * count, 1 / REQUESTS_PER_S, 16))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
