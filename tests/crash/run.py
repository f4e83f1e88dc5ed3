"""One crash run from start to verdict: rebalances, storm, proof, replay from offset 0, negative control."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from agents.settings import Settings
from tests.crash.calm import rebalances, replayed
from tests.crash.progress import Progress
from tests.crash.proof import Proof
from tests.crash.proxy import Proxy
from tests.crash.sabotage import KINDS, sabotaged
from tests.crash.size import Size
from tests.crash.storm import Storm
from tests.deployments import Deployment
from tests.nursery import Nursery
from tests.services import Services

Told = Callable[[str], None]


@dataclass(slots=True)
class Verdict:
    """What came of a run. It is good if `differences` is empty."""

    kills: int = 0
    events: int = 0
    checked: int = 0
    redelivered: tuple[int, int] = (0, 0)
    """Records that graceful rebalances delivered again, of how many."""
    fewest: int = 0
    """Deaths at the place that has the fewest."""
    places: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    zombies: int = 0
    exits: dict[int, int] = field(default_factory=dict)
    caught: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


async def run(
    settings: Settings, services: Services, folder: Path, size: Size, *, seed: int, told: Told, sabotage: str = "",
) -> Verdict:  # fmt: skip
    """Runs on a deployment that has its topics and tables, and nothing else yet."""
    verdict = Verdict()
    deployment = Deployment(settings, folder)
    try:
        with closing(Nursery()) as nursery:
            async with Proxy(settings.clickhouse, random.Random(seed)) as proxy:
                storm = Storm(deployment, services, nursery, proxy, size, seed, folder)
                await _rage(verdict, deployment, nursery, storm, proxy, told)
                await _prove(verdict, settings, nursery, deployment, storm, told, sabotage)
    finally:
        await deployment.close()
    return verdict


async def _rage(
    verdict: Verdict, deployment: Deployment, nursery: Nursery, storm: Storm, proxy: Proxy, told: Told
) -> None:
    await storm.begin()
    verdict.redelivered = await rebalances(deployment, nursery, storm, told)
    began, raged = time.monotonic(), Progress(told, storm)
    await storm.rage(raged.tell)
    verdict.seconds = time.monotonic() - began
    _note(verdict, storm, proxy)


async def _prove(
    verdict: Verdict, settings: Settings, nursery: Nursery, deployment: Deployment, storm: Storm,
    told: Told, sabotage: str,
) -> None:  # fmt: skip
    with closing(Proof(settings, storm.days, storm.customers)) as proof:
        told("the calm after the storm: everything is counted again")
        log = await proof.log()
        if sabotage:
            with sabotaged(settings, sabotage, storm.events // 2) as what:
                told(f"sabotage: {what}")
                verdict.differences += await asyncio.to_thread(proof.differences, log, told)
            return
        verdict.differences += await asyncio.to_thread(proof.differences, log, told)
        twice = await proof.published()
        told(f"ids of billing.invoices and billing.periods: {'; '.join(twice) or 'one content each'}")
        verdict.differences += twice
        verdict.checked = proof.checked
        verdict.differences += await replayed(deployment, nursery, storm, told)
        for kind in KINDS:
            with sabotaged(settings, kind, storm.events // 2) as what:
                found = await asyncio.to_thread(proof.differences, log, at_most=1)
            if found:
                verdict.caught.append(kind)
                told(f"negative control: {what}: caught ({found[0]})")
            else:
                verdict.differences.append(f"negative control: {what} was not caught")


def _note(verdict: Verdict, storm: Storm, proxy: Proxy) -> None:
    verdict.kills, verdict.events, verdict.fewest = storm.planner.kills, storm.events, storm.planner.rarest()[1]
    verdict.places = {place: n for counts in storm.planner.places.values() for place, n in counts.items()}
    verdict.others = {**storm.planner.others, "answers cut": proxy.cuts, "answers delayed": proxy.delays}
    verdict.zombies, verdict.exits = storm.zombies, dict(storm.exits)
    verdict.differences += storm.faults
    verdict.differences += [f"never came to its end: {what}" for what in storm.still_missing()]
