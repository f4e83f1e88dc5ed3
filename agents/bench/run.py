"""One run: every part in order, on servers of its own; ratios at the end, shown first."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agents.bench import audit, ceilings, close, collection, engine, http, latency, limits, line, rating, sealing, usage
from agents.bench.figures import Figures
from agents.bench.site import Say, Site

Size = Literal["short", "full"]
Part = Callable[[Site, Figures, int, Say], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A part of the run, and how much of it a size measures."""

    measure: Part
    short: int
    full: int


PARTS: Mapping[str, Plan] = {
    "ceilings": Plan(ceilings.measure, 200_000, 2_000_000),
    "engine": Plan(engine.measure, 150_000, 1_000_000),
    "line": Plan(line.measure, 300_000, 3_000_000),
    "sealing": Plan(sealing.measure, 240_000, 2_400_000),
    "audit": Plan(audit.measure, 600_000, 6_000_000),
    "latency": Plan(latency.measure, 8, 60),
    "http": Plan(http.measure, 4, 20),
    "limits": Plan(limits.measure, 8, 40),
    "usage": Plan(usage.measure, 300_000, 10_000_000),
    "close": Plan(close.measure, 500_000, 10_000_000),
    "rating": Plan(rating.measure, 4_000, 100_000),
    "collection": Plan(collection.measure, 2_000, 10_000),
}


async def run(parts: Sequence[str], size: Size, say: Say) -> Figures:
    """Measures the parts named. Raises BenchFailed where one does not come to its end."""
    figures = Figures()
    with Site() as site:
        for name in parts:
            plan = PARTS[name]
            await plan.measure(site, figures, plan.short if size == "short" else plan.full, say)
    _ratios(figures)
    return figures


def _ratios(figures: Figures) -> None:
    tally = ("Tally, lz4", "worker")
    whole = ("Tally, lz4", "worker + ClickHouse")
    figures.ratio("a raw getmany loop / our worker", ("getmany", "CPU, lz4"), tally, at_least=0.3)
    figures.ratio("stock Faust / our worker", ("stock", "CPU, lz4"), tally, at_least=20)
    figures.ratio("a raw getmany loop / our transport", ("getmany", "CPU, lz4"), ("transport", "CPU, lz4"))
    figures.ratio("Tally / Kafka engine, raw bytes", whole, ("Kafka engine", "raw bytes through a view cascade"),
                  at_most=1.2)  # fmt: skip
    figures.ratio("Tally / Kafka engine, JSONEachRow", whole, ("Kafka engine", "JSONEachRow"), at_most=0.55)
    parts = (whole, ("sealing", "worker + ClickHouse"), ("Tally, lz4", "merges to one part per day"))
    found = [figures.value(*one) for one in parts]
    if all(one is not None for one in found):
        all_in = sum(one for one in found if one is not None)
        figures.add("ratios", "all in: stored, sealed, merged", all_in, "µs/event", at_most=7)


def machine() -> dict[str, object]:
    """Where the figures come from."""
    import platform

    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
