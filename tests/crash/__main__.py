"""`make crash`: the whole run on servers of its own, with progress; the exit code is the verdict."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from agents.cli.exit_codes import OK, PROOF_FAILED
from agents.settings import Settings
from agents.store.migrations import migrate
from agents.topics import reconcile_topics
from tests.crash.run import Verdict, run
from tests.crash.sabotage import KINDS
from tests.crash.size import SIZES, Size
from tests.services import Services, start_services


def main() -> int:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--part", type=float, default=1.0, help="only so much of it: 0.1 is a tenth")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the draws, not the interleaving")
    parser.add_argument("--sabotage", choices=[*KINDS], default="", help="damage a row before the proof: must fail")
    asked = parser.parse_args()
    told(
        f"crash run, {asked.part:.0%} of size {asked.size}, seed {asked.seed}; "
        "Kafka and ClickHouse are started for it alone"
    )
    services = start_services()
    try:
        folder = Path(tempfile.mkdtemp(prefix="tally-crash-"))
        told(f"logs of the workers: {folder}")
        verdict = asyncio.run(play(services, folder, SIZES[asked.size].part(asked.part), asked.seed, asked.sabotage))
    finally:
        services.end()
    return report(verdict, asked.sabotage)


async def play(services: Services, folder: Path, size: Size, seed: int, sabotage: str) -> Verdict:
    """One run on a deployment of its own."""
    settings = settings_of(services)
    await reconcile_topics(settings)
    await asyncio.to_thread(migrate, settings)
    return await run(settings, services, folder, size, seed=seed, told=told, sabotage=sabotage)


def settings_of(services: Services) -> Settings:
    """A deployment with several partitions and quick reactions."""
    name = f"crash_{uuid4().hex[:8]}"
    return Settings(
        home=services.home,
        database=name,
        topic_prefix=f"{name}.",
        usage_partitions=6,
        billing_partitions=4,
        tick_every_s=1,
        linger_ms=50,
        store_retry_s=60,
        **services.addresses(),  # type: ignore[arg-type]
    )


def told(text: str) -> None:
    """Progress, on standard error, with the time of day."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def report(verdict: Verdict, sabotage: str) -> int:
    """The verdict on standard output."""
    again, records = verdict.redelivered
    rows = {
        "kills survived": f"{verdict.kills:,} in {verdict.seconds:,.0f} s",
        "of workers at a step": f"{sum(verdict.places.values()):,} (each place at least {verdict.fewest})",
        "of others": ", ".join(f"{name}: {count:,}" for name, count in verdict.others.items()),
        "zombies": f"{verdict.zombies:,}",
        "workers that gave up": ", ".join(f"{n} with {code}" for code, n in sorted(verdict.exits.items())) or "none",
        "rebalances": f"{again} of {records:,} records delivered again",
        "events checked": f"{verdict.checked:,} of {verdict.events:,} numbered",
        "negative control": f"caught: {', '.join(verdict.caught)}" if verdict.caught else sabotage or "not run",
        "verdict": "0 lost, 0 doubled" if not verdict.differences else f"{len(verdict.differences)} differences",
    }
    for name, value in rows.items():
        print(f"{name:<22} {value}")
    for place, deaths in verdict.places.items():
        print(f"  died at {place:<20} {deaths:>5,}")
    for difference in verdict.differences:
        print(f"  {difference}")
    return PROOF_FAILED if verdict.differences else OK


if __name__ == "__main__":
    sys.exit(main())
