"""`make crash`: the whole run on servers of its own, with progress; the exit code is the verdict."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from agents.cli.exit_codes import OK, PROOF_FAILED
from agents.settings import Settings
from agents.store.migrations import migrate
from agents.topics import reconcile_topics
from tests.crash import usage
from tests.crash.outage import Found, outages
from tests.crash.run import Verdict, run
from tests.crash.sabotage import KINDS
from tests.crash.size import SIZES, Size
from tests.deployments import Deployment
from tests.services import Services, start_services

OUTAGE = "outage"


def main() -> int:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--size", choices=[*SIZES, OUTAGE], default="full")
    parser.add_argument("--length", type=float, default=1800, help="of size outage: seconds that each server is away")
    parser.add_argument("--rate", type=int, default=2000, help="of size outage: events per second")
    parser.add_argument("--part", type=float, default=1.0, help="only so much of it: 0.1 is a tenth")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the draws, not the interleaving")
    parser.add_argument("--sabotage", choices=[*KINDS], default="", help="damage a row before the proof: must fail")
    asked = parser.parse_args()
    for client in ("aiokafka", "clickhouse_connect"):  # servers are away all the time, on purpose
        logging.getLogger(client).setLevel(logging.CRITICAL + 1)
    if asked.size == OUTAGE:
        return away(asked.length, asked.rate)
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


def away(length_s: float, per_s: int) -> int:
    """ClickHouse is away for so long, then Kafka."""
    told(
        f"ClickHouse, then Kafka, away for {length_s:,.0f} s each at {per_s:,} events/s; both are started for it alone"
    )
    services = start_services()
    try:
        folder = Path(tempfile.mkdtemp(prefix="tally-outage-"))
        found = asyncio.run(_away(services, folder, length_s, per_s))
    finally:
        services.end()
    faults = [fault for each in found for fault in (*each.beyond_limits(), *each.faults)]
    for each in found:
        print(each.text())
    print("0 lost, 0 doubled, within all limits" if not faults else "\n".join(faults))
    return PROOF_FAILED if faults else OK


async def _away(services: Services, folder: Path, length_s: float, per_s: int) -> list[Found]:
    settings = settings_of(services)
    await reconcile_topics(settings)
    await asyncio.to_thread(migrate, settings)
    patience = Settings.model_fields["store_retry_s"].default  # as it comes, not as storms have it
    deployment = Deployment(settings.model_copy(update={"store_retry_s": patience}), folder)
    try:
        await deployment.begin(usage.BEGINS)
        return await outages(deployment, services, ("clickhouse", "kafka"), length_s=length_s, per_s=per_s, told=told)
    finally:
        await deployment.close()


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
