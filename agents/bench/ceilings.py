"""What the client alone, the transport alone and stock Faust take for one record."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from agents.bench.events import START, Traffic, records
from agents.bench.figures import Figures
from agents.bench.site import Deployment, Say, Site

STOCK = 20_000


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the parts `getmany`, `transport` and `stock`."""
    site.spread()
    for codec in ("lz4", None):
        async with await site.deployment(f"ceiling_{codec or 'plain'}") as deployed:
            await deployed.tick(START - timedelta(days=1))
            published = await deployed.publish(records(Traffic(events)), codec)
            for kind in ("getmany", "transport"):
                say(f"{kind}, {codec or 'uncompressed'}: {published:,} records")
                await _consume(deployed, figures, kind, published, codec or "uncompressed")
            if codec:
                count = min(STOCK, published)
                say(f"stock Faust: {count:,} records")
                await _consume(deployed, figures, "stock", count, codec)


async def _consume(deployed: Deployment, figures: Figures, kind: str, events: int, codec: str) -> None:
    child = deployed.site.child("-m", "agents.bench.consumers", kind, str(events), settings=deployed.settings)
    said = await asyncio.to_thread(child.ended)
    found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    figures.add(kind, f"CPU, {codec}", found["cpu_s"] / found["events"] * 1e6, "µs/event")
    figures.add(kind, f"rate, {codec}", found["events"] / found["wall_s"], "events/s")
