"""Usage of many customers as of a vector, panes and days of a month, and the views: queries over stored events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from agents.bench.catalogue import PLAN, apply, loaded
from agents.bench.events import START
from agents.bench.figures import Figures
from agents.bench.site import BenchFailed, Deployment, Say, Site
from agents.store.billing import BillingStore
from agents.store.day_totals import DayTotalsStore
from agents.store.metered_usage import Question, UsageReader
from agents.store.totals import TotalsStore
from pipeline.meters.usage_sql import Frame
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.period import Period
from schemas.tick import Tick, Vector

CUSTOMERS = 10_000
DAYS = 31
MONTH = Period(START, START + timedelta(days=DAYS))
ONE = "cust-00000/key-1"
PANES = range(int(START.timestamp()) // 300, int(MONTH.end.timestamp()) // 300)

# Made where they are stored: equal parameters give equal rows.
FILL = """
INSERT INTO events (type, subject, ts, source, id, k_partition, inv_offset, data, appended_at)
SELECT if(h % 10 < 8, 'llm.completion', if(h % 10 = 8, 'llm.embedding', 'storage.write')) AS type,
  concat('cust-', leftPad(toString(intDiv(h, 10) % {customers:UInt32}), 5, '0'), '/key-1') AS subject,
  fromUnixTimestamp64Milli(toInt64({starts:UInt64} + number * {step:Float64}), 'UTC') AS ts, '/gateway/eu-1',
  toString(reinterpretAsUUID(sipHash128(number))), number % 8, bitNot(toUInt64(intDiv(number, 8))),
  concat('{"model":"', ['small', 'medium', 'large'][h % 3 + 1], '","region":"eu","tokens_in":', toString(h % 5000 + 1),
    ',"tokens_out":"', toString(h % 900 + 1), '","latency_ms":', toString(h % 90000 / 10), '}'), ts
FROM (SELECT number, cityHash64(number) AS h FROM numbers({first:UInt64}, {count:UInt64}))
SETTINGS max_partitions_per_insert_block = 1000"""
AT_ONCE = 500_000


async def measure(site: Site, figures: Figures, events: int, say: Say) -> None:
    """Figures of the part `usage`: at a quarter of the events, and at all of them."""
    site.gather()
    for count in (events // 4, events):
        async with await site.deployment(f"usage_{count}") as deployed:
            say(f"usage: {count:,} stored events of {CUSTOMERS:,} customers")
            await _fill(deployed, count, CUSTOMERS)
            await asyncio.to_thread(_ask, deployed, figures, count, count == events)
    say(f"usage: {events // 4:,} stored events of {CUSTOMERS // 10:,} customers")
    async with await site.deployment("usage_customers") as deployed:
        await _fill(deployed, events // 4, CUSTOMERS // 10)
        took = await asyncio.to_thread(_vector, deployed, loaded(PLAN), _tick(events // 4))
        fewer = f"{CUSTOMERS // 10:,} customers, {events // 4:,} events: as of a vector, from raw events"
        figures.add("usage", fewer, took, "s")
    _slopes(figures, events)


def _tick(events: int) -> Tick:
    ends = tuple(events // 8 + (partition < events % 8) for partition in range(8))
    vector = Vector(ends={"usage.events": ends, "billing.attributions": (0,), "billing.catalogue": (0,)})
    return Tick(number=1, time=MONTH.end + timedelta(hours=6), clock="test", vector=vector)


async def _fill(deployed: Deployment, events: int, customers: int) -> None:
    await apply(deployed, PLAN)
    tick = _tick(events)
    await asyncio.to_thread(_store, deployed, events, customers, tick)


def _store(deployed: Deployment, events: int, customers: int, tick: Tick) -> None:
    step = DAYS * 86_400_000 / events
    for first in range(0, events, AT_ONCE):
        deployed.db.execute(FILL, {
            "first": first, "count": min(AT_ONCE, events - first), "step": step, "customers": customers,
            "starts": int(START.timestamp() * 1000),
        })  # fmt: skip
    deployed.db.insert("ledger", ("topic", "k_partition", "next_offset", "first_offset", "events", "corrections",
                                  "dead_letters", "controls", "panes", "last_hash", "appended_at"), [
        ("usage.events", partition, end, 0, end, 0, 0, 0, list(PANES), 0, MONTH.end)
        for partition, end in enumerate(tick.vector.of("usage.events"))
    ])  # fmt: skip
    BillingStore(deployed.db).insert_ticks([(tick, 0)])
    deployed.db.execute(
        "INSERT INTO billing_runs (customer, tick, revision, k_partition, services, run) "
        "SELECT concat('cust-', leftPad(toString(number), 5, '0'), '/key-1'), 1, 0, 0, "
        "[('mixed', {starts:DateTime64(3, 'UTC')}, {ends:DateTime64(3, 'UTC')})], '' FROM numbers({customers:UInt32})",
        {"starts": MONTH.start, "ends": MONTH.end, "customers": customers},
    )
    deployed.db.execute("OPTIMIZE TABLE events FINAL")


def _ask(deployed: Deployment, figures: Figures, events: int, everything: bool) -> None:
    catalogue, tick = loaded(PLAN), _tick(events)
    entries = tuple(catalogue.meters.values())
    named = f"{CUSTOMERS:,} customers × 5 meters, {events:,} events"
    figures.add("usage", f"{named}: as of a vector, from raw events", _vector(deployed, catalogue, tick), "s")
    one = DayTotalsStore(deployed.db)
    figures.add("usage", f"one meter, {events:,} events: all days computed anew", _days(one, entries[:1], tick), "s")
    figures.add("usage", f"{named}: all days computed anew", _days(one, entries, tick), "s", at_most=20.0)
    figures.add("usage", f"{named}: as of a vector", _vector(deployed, catalogue, tick, one), "s", at_most=3.0)
    totals = TotalsStore(deployed.db, BillingStore(deployed.db))
    covered = tick.vector.of("usage.events")
    totals.replace_metered_events(entries, len(covered))
    took = _timed(partial(_seal, totals, entries, tick))
    figures.add("usage", f"{named}: all five-minute panes computed anew", took, "s", at_most=20.0)
    if everything:
        # As both sealers do at each tick: readers look at what came since.
        totals.note_tail(entries, (), covered, 0)
        one.tell(one.look(), entries, covered, tick.number)
        _views(deployed, figures, events)


def _views(deployed: Deployment, figures: Figures, events: int) -> None:
    one = f"SELECT day, value FROM v_usage_daily WHERE customer = '{ONE}' AND meter = 'tokens_in'"
    every = "SELECT customer, value FROM v_usage_monthly WHERE meter = 'tokens_in'"
    for what, sql, most in (("a customer's month by day", one, 100), ("all customers' month", every, 500)):
        took_ms = min(_timed(partial(deployed.db.tuples, sql)) for _ in range(3)) * 1000
        figures.add("usage", f"{what}, {events:,} events", took_ms, "ms", at_most=most)


def _vector(deployed: Deployment, catalogue: Catalogue, tick: Tick, sealed: DayTotalsStore | None = None) -> float:
    """Seconds for the usage of every meter as a close reads it: with the days that are sealed, or from raw events."""
    began = time.monotonic()
    reader = UsageReader(deployed.db)
    days = sealed.usable(tick) if sealed else {}
    for entry in catalogue.meters.values():
        known = days.get((entry.name, entry.version), {})
        rows = reader.run_usage(Question(tick, 0, entry.meter, Frame(MONTH), version=entry.version, days=known))
        if not rows or (sealed and len(known) != DAYS):
            raise BenchFailed(f"{entry.name}: {len(rows)} customers, {len(known)} sealed days")
    return time.monotonic() - began


def _days(store: DayTotalsStore, entries: Sequence[MeterEntry], tick: Tick) -> float:
    """Seconds for every day of the month."""
    began = time.monotonic()
    store.summarise(list(tick.vector.of("usage.events")))
    for day in range(DAYS):
        store.seal(entries, MONTH.start.date() + timedelta(days=day), tick)
    return time.monotonic() - began


def _seal(totals: TotalsStore, entries: Sequence[MeterEntry], tick: Tick) -> None:
    for start in range(0, len(PANES), 4000):
        some = PANES[start : start + 4000]
        totals.seal(entries, some, list(tick.vector.of("usage.events")), 0, first=True, plain=True)


def _timed(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _slopes(figures: Figures, events: int) -> None:
    """How cost grows: with four times the events, ten times the customers, five times the meters."""
    quarter, whole = (f"{CUSTOMERS:,} customers × 5 meters, {count:,} events" for count in (events // 4, events))
    fewer = f"{CUSTOMERS // 10:,} customers, {events // 4:,} events: as of a vector, from raw events"
    raw, sealed = ": as of a vector, from raw events", ": as of a vector"
    days, panes = ": all days computed anew", ": all five-minute panes computed anew"
    for what, end in (("usage as of a vector", sealed), ("the same from raw events", raw), ("all days", days),
                      ("all panes", panes)):  # fmt: skip
        figures.ratio(f"4 × events: {what}", ("usage", whole + end), ("usage", quarter + end))
    figures.ratio("10 × customers: usage from raw events", ("usage", quarter + raw), ("usage", fewer))
    one = f"one meter, {events:,} events: all days computed anew"
    figures.ratio("5 × meters: all days", ("usage", whole + days), ("usage", one))
