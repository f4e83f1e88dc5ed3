"""What happens outside the storm: workers come and go in peace, and a database is rebuilt from offset 0."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from agents.store.connection import Connection
from agents.store.migrations import migrate
from agents.topics import USAGE_EVENTS
from tests.crash.storm import Storm
from tests.deployments import Deployment, environment
from tests.groups import members
from tests.nursery import Life, Nursery
from tests.same_bytes import fingerprints

REPLAY_WITHIN_S = 1200
SETTLED_WITHIN_S = 180
LENGTH = "SELECT sum(next_offset - first_offset) FROM ledger FINAL WHERE topic = 'usage.events'"


async def rebalances(
    deployment: Deployment, nursery: Nursery, storm: Storm, told: Callable[[str], None]
) -> tuple[int, int]:
    """1 worker, 4, 2, under load, each leaving as a supervisor would have it: records delivered again, of how many."""
    lives: list[Life] = []
    load = asyncio.create_task(storm.publish_day())
    for count in (1, 4, 2):
        while len(lives) < count:
            log = deployment.folder / f"rebalance-{len(lives)}.log"
            lives.append(nursery.start(("worker", "ingest"), environment(deployment.settings), log))
        while len(lives) > count:
            leaving = lives.pop(0)
            leaving.signal(signal.SIGTERM)
            assert await leaving.death() == 0, f"a worker that was asked to stop ended with {leaving.exit_code}"
        await members(deployment, count)
    await load
    await deployment.stored()
    records = sum(await deployment.logs.end_offsets(USAGE_EVENTS))
    again = deployment.rows(LENGTH)[0][0] - records
    for life in lives:
        life.signal(signal.SIGTERM)
        await life.death()
    told(f"rebalances 1, 4, 2: {records:,} records, {again} delivered again")
    return again, records


async def replayed(deployment: Deployment, nursery: Nursery, storm: Storm, told: Callable[[str], None]) -> list[str]:
    """Rebuilds everything from offset 0 into an empty database, undisturbed; what differs from the disturbed one."""
    other = deployment.settings.model_copy(
        update={"database": f"{deployment.settings.database}_replay", "outputs": "off"}
    )
    await asyncio.to_thread(migrate, other)
    began = time.monotonic()
    # As `tally rebuild` has them: without outputs, or the second collector would tell the log what the first one told.
    lives = [
        nursery.start(
            ("worker", kind), environment(other.model_copy(update={"instance": name})),
            deployment.folder / f"replay-{name}.log",
        )
        for kind, name in storm.slots
    ]  # fmt: skip
    rebuilt, disturbed = Connection(other), Connection(deployment.settings)
    try:
        await _rebuilt(rebuilt, lives, storm)
        wanted = await asyncio.to_thread(fingerprints, disturbed)
        found = await _settled(rebuilt, wanted)
    finally:
        for life in lives:
            life.kill()
        rebuilt.execute(f"DROP DATABASE {other.database} SYNC")
        rebuilt.close()
        disturbed.close()
    different = [what for what in wanted if wanted[what] != found[what]]
    told(f"replay from offset 0 in {time.monotonic() - began:.0f} s: "
         + (f"{', '.join(different)} differ" if different else "the same bytes in " + ", ".join(wanted)))  # fmt: skip
    return [f"after a replay other {what}: {wanted[what]} and {found[what]}" for what in different]


async def _rebuilt(db: Connection, lives: list[Life], storm: Storm) -> None:
    wanted = storm.expected_invoices(len(storm.days))
    deadline = time.monotonic() + REPLAY_WITHIN_S
    while db.tuples("SELECT count() FROM invoices FINAL WHERE number != ''")[0][0] < wanted:
        assert all(life.exit_code is None for life in lives), "a worker of the replay ended"
        assert time.monotonic() < deadline, f"the replay did not come to {wanted} invoices"
        await asyncio.sleep(0.3)


async def _settled(db: Connection, wanted: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """The fingerprints, once they are equal; panes are sealed a moment after the last invoice."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while (found := await asyncio.to_thread(fingerprints, db)) != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    return found
