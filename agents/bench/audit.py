"""An audit of copies: what it costs ClickHouse per new event, on top of those that earlier audits have indexed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from agents.bench.catalogue import PLAN, apply
from agents.bench.figures import Figures
from agents.bench.site import BenchFailed, Deployment, Say, Site
from agents.bench.usage import AT_ONCE, CUSTOMERS, FILL, MONTH
from agents.store.audits import AuditStore, Slice
from agents.store.billing import BillingStore
from pipeline.meters.sealing import PANE_S
from schemas.tick import USAGE, Tick, Vector

NEW_SHARE = 6
"""One in so many events is new; the others are indexed."""
COPY_SHARE = 200
"""One in so many of the new ones is sent again, to another partition."""
TRIES = 3
PARTITIONS = 8
COPY = """
INSERT INTO events SELECT * REPLACE (toUInt16(0) AS k_partition,
  bitNot({end:UInt64} + rowNumberInAllBlocks()) AS inv_offset)
FROM (SELECT * FROM events WHERE k_partition = 7 AND bitNot(inv_offset) >= {first:UInt64}
  ORDER BY cityHash64(id) LIMIT {copies:UInt64})"""


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the part `audit`: the last sixth of so many events is audited."""
    site.gather()
    async with await site.deployment("audit") as deployed:
        say(f"audit: {events // NEW_SHARE:,} new events on {events - events // NEW_SHARE:,} indexed ones")
        await apply(deployed, PLAN)
        await asyncio.to_thread(_measure, deployed, figures, events)


def _measure(deployed: Deployment, figures: Figures, events: int) -> None:
    new = events // NEW_SHARE
    old, store = events - new, AuditStore(deployed.db)
    _fill(deployed, events, 0, old)
    _audit(store, Slice((), _stored(deployed, 1, _ends(old), 0.0)))
    deployed.db.execute("OPTIMIZE TABLE identities FINAL")
    _fill(deployed, events, old, new)
    ends = _ends(events)
    deployed.db.execute(COPY, {"end": ends[0], "first": _ends(old)[7], "copies": new // COPY_SHARE})
    to = _stored(deployed, 2, (ends[0] + new // COPY_SHARE, *ends[1:]), old / events)
    part = Slice(_ends(old), to)
    looks = min(_cost(deployed, store, part) for _ in range(TRIES))
    before = deployed.server_cpu_s()
    work = store.begin(part)
    work.look_up()
    both = before, deployed.server_cpu_s()
    work.done()
    index = deployed.server_cpu_s() - both[1]
    work.close()
    found = deployed.db.tuples("SELECT count() FROM retractions FINAL")[0][0]
    if found != new // COPY_SHARE:
        raise BenchFailed(f"{found} copies were told apart, there are {new // COPY_SHARE}")
    named = f"{new:,} new on {old:,} indexed events"
    figures.add("audit", f"{named}: ClickHouse", (looks + index) / part.positions * 1e6, "µs/event", at_most=0.3)
    figures.add("audit", "of which the index learns them", index / part.positions * 1e6, "µs/event")


def _cost(deployed: Deployment, store: AuditStore, part: Slice) -> float:
    """CPU seconds of one look-up of a slice, which is then forgotten."""
    work, before = store.begin(part), deployed.server_cpu_s()
    unknown = work.look_up()
    spent = deployed.server_cpu_s() - before
    work.close()
    if unknown:
        raise BenchFailed(f"{len(unknown)} positions have no row, the first {unknown[0]}")
    return spent


def _audit(store: AuditStore, part: Slice) -> None:
    work = store.begin(part)
    work.look_up()
    work.done()
    work.close()


def _ends(events: int) -> tuple[int, ...]:
    return tuple(events // PARTITIONS + (partition < events % PARTITIONS) for partition in range(PARTITIONS))


def _fill(deployed: Deployment, events: int, start: int, count: int) -> None:
    """Events with numbers `[start, start + count)` of a month with so many."""
    step = (MONTH.end - MONTH.start).total_seconds() * 1000 / events
    for first in range(start, start + count, AT_ONCE):
        deployed.db.execute(FILL, {
            "first": first, "count": min(AT_ONCE, start + count - first), "step": step, "customers": CUSTOMERS,
            "starts": int(MONTH.start.timestamp() * 1000),
        })  # fmt: skip
    deployed.db.execute("OPTIMIZE TABLE events FINAL")


def _stored(deployed: Deployment, number: int, ends: tuple[int, ...], from_share: float) -> tuple[int, ...]:
    """Ticks and ledger as ingestion leaves them: the events from a share of the month on lie below a tick."""
    tick = Tick(number=number, time=MONTH.start + timedelta(days=30 * number), clock="test",
                vector=Vector(ends={USAGE: ends}))  # fmt: skip
    BillingStore(deployed.db).insert_ticks([(tick, number)])
    starts, lasts = int(MONTH.start.timestamp()) // PANE_S, int(MONTH.end.timestamp()) // PANE_S
    panes = list(range(starts + int((lasts - starts) * from_share), lasts))
    deployed.db.insert("ledger", ("topic", "k_partition", "next_offset", "first_offset", "panes"), [
        (USAGE, partition, end, 0, panes) for partition, end in enumerate(ends)
    ])  # fmt: skip
    return ends
