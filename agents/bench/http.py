"""Usage over HTTP: events per core of `tally serve` in batches of 500, and acknowledgements at half load."""

from __future__ import annotations

import asyncio

from agents.bench.figures import Figures
from agents.bench.site import Say, Site, environment
from agents.clock import wall_time
from deploy.bench.http import TARGET_P99_MS, TARGET_PER_CORE
from deploy.bench.http import measure as measured

PART = "HTTP, batches of 500"


async def measure(site: Site, figures: Figures, seconds: int, say: Say) -> None:
    """Figures of the part `HTTP`; the load comes from this process."""
    site.spread()
    async with await site.deployment("http") as deployed:
        await deployed.ticks.append(time=wall_time(), clock="wall")
        say(f"tally serve on one core: {seconds} s as fast as it goes, {seconds} s at each of two steady rates")
        found = await asyncio.to_thread(measured, seconds=seconds, environment=environment(deployed.settings))
    figures.add(PART, "events per second and core", found.per_core, "events/s", at_least=TARGET_PER_CORE)
    figures.add(PART, "CPU of the server", found.cpu_us_per_event, "µs/event")
    figures.add(PART, "on the wall", found.sent_per_s, "events/s")
    asked, most = found.acks["asked"], found.acks["found"]
    figures.add(PART, f"acknowledged at {asked.per_s:,.0f} events/s, p50", asked.p50_ms, "ms")
    figures.add(PART, f"acknowledged at {asked.per_s:,.0f} events/s, p99", asked.p99_ms, "ms", at_most=TARGET_P99_MS)
    figures.add(PART, f"acknowledged at {most.per_s:,.0f} events/s, p99", most.p99_ms, "ms")
    figures.add(PART, "memory of the server", found.resident_mb, "MB")
