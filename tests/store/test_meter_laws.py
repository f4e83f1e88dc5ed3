"""One definition, two executions: what ClickHouse says of generated events is what Python says, to the last digit.

Normally 396 event sets, which reach every aggregation in every kind of rows and every zone; a hypothesis profile with
more examples takes that many, and reaches every combination of the three.

What follows from whole days is asked twice: from raw events, and with days that were sealed under an earlier vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from random import Random

import pytest
from hypothesis import settings as hypothesis_settings

from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.metered_usage import Question, UsageRow
from agents.store.usage import UsageStore
from pipeline.intake.usage_block import judge
from pipeline.meters.aggregation import MeterRow, aggregate
from pipeline.meters.usage_sql import FROM_DAYS
from schemas.catalogue_entry import MeterEntry
from schemas.tick import ATTRIBUTIONS, USAGE, Tick, Vector
from tests.store.event_sets import (
    AGGREGATIONS,
    COMBINATIONS,
    KINDS,
    ZONES,
    Batch,
    Counted,
    Log,
    Record,
    as_batches,
    batches,
    counted,
)

pytestmark = pytest.mark.services

NORMAL_SETS = 2 * COMBINATIONS
BATCHES_PER_INSERT = 2 * COMBINATIONS
BROKER_TIME = datetime(2027, 12, 1, tzinfo=UTC)
LEDGER = ("topic", "k_partition", "next_offset", "first_offset", "events", "corrections", "dead_letters", "controls",
          "panes", "last_hash", "appended_at")  # fmt: skip
Reached = Counter[tuple[str, str, str]]
FROM_DAYS_REACHED: Counter[str] = Counter()


def test_sql_and_python_agree_on_every_aggregation_group_and_zone(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = max(NORMAL_SETS, hypothesis_settings().max_examples)
    rounds = sets // 2000
    per_batch = -(-sets // (rounds * COMBINATIONS or COMBINATIONS // 2))
    random, log, reached = Random(20271031), Log(), Reached()
    waiting = list(batches(random, rounds, per_batch))
    rows = sum(
        _check(connection, random, log, waiting[first : first + BATCHES_PER_INSERT], reached, tick_number=first + 1)
        for first in range(0, len(waiting), BATCHES_PER_INSERT)
    )
    with capsys.disabled():
        _print(reached, rows)
    assert sum(reached.values()) >= sets
    zones = Counter((aggregation, kind) for aggregation, kind, _ in reached)
    assert zones == Counter({pair: len(ZONES) if rounds else len(ZONES) // 2 for pair in product(AGGREGATIONS, KINDS)})
    assert {zone for _, _, zone in reached} == set(ZONES)
    assert set(FROM_DAYS_REACHED.elements()) == set(FROM_DAYS)


def _print(reached: Reached, rows: int) -> None:
    print(f"\n{sum(reached.values())} event sets, {rows} rows; sets per aggregation and kind (fewest in a zone)")
    for aggregation in AGGREGATIONS:
        by_zone = {kind: [reached[aggregation, kind, zone] for zone in ZONES] for kind in KINDS}
        print(f"  {aggregation:22}", *(f"{kind} {sum(found)} ({min(found)})" for kind, found in by_zone.items()))


def _check(
    connection: Connection,
    random: Random,
    log: Log,
    part: Sequence[Batch],
    reached: Reached,
    tick_number: int,
) -> int:
    records = [log.append(*sent, BROKER_TIME) for batch in part for sent in batch.sent]
    # The vector leaves out the last records of each partition.
    ends = tuple(max(0, end - random.randint(0, 3)) for end in log.ends)
    tick = _store(connection, records, ends, part, tick_number)
    found = counted(records, ends)
    by_type: dict[str, list[Counted]] = {}
    for event in found:
        by_type.setdefault(event.event.type, []).append(event)
    rows = 0
    store = BillingStore(connection)
    for batch in part:
        asked = Question(tick, 0, batch.meter, batch.frame, version=MeterEntry.of(batch.meter).version)
        said = store.run_usage(asked)
        true = _truth(batch, by_type.get(batch.meter.event_types[0], []))
        again = _from_days(store, random, asked, batch, found)
        assert again in (None, said)
        FROM_DAYS_REACHED[batch.meter.aggregation] += again is not None
        for customer in batch.customers:
            ours = [_said(row) for row in said if row.customer == customer]
            assert _without_nothing(ours) == _without_nothing(true[customer]), (batch.meter, batch.frame, customer)
            rows += len(ours)
        group = "windowed" if batch.frame.window else "grouped" if batch.meter.group_by else "whole"
        reached[batch.meter.aggregation, group, batch.frame.time_zone] += len(batch.customers)
    return rows


def _from_days(
    store: BillingStore, random: Random, asked: Question, batch: Batch, found: Sequence[Counted]
) -> tuple[UsageRow, ...] | None:
    """The same with some days sealed under an earlier vector, where the law of days speaks of the meter at all."""
    used = {event.event.time.astimezone(UTC).date() for event in found if event.event.type in batch.meter.event_types}
    days = sorted(used & set(batch.frame.whole_days()))
    every_day = replace(asked, days=dict.fromkeys(days, 0))
    if not every_day.sealed():
        return None
    entry, usage = MeterEntry.of(batch.meter), asked.tick.vector.of(USAGE)
    below = Vector(ends={USAGE: tuple(max(0, end - random.randint(0, 12)) for end in usage), ATTRIBUTIONS: (0,)})
    for day in random.sample(days, min(2, len(days))):
        store.days.seal([entry], day, asked.tick.model_copy(update={"number": 0, "vector": below}))
    known = store.days.usable(asked.tick).get((entry.name, entry.version), {})
    return store.run_usage(replace(asked, days=known)) if replace(asked, days=known).sealed() else None


def _store(
    connection: Connection, records: Sequence[Record], ends: tuple[int, ...], part: Sequence[Batch], tick_number: int
) -> Tick:
    """One insert of everything, as the ingester does it; the tick of all runs."""
    block = judge(USAGE, as_batches(records), wall_clock=False)
    assert block.dead_letters == []
    usage = UsageStore(connection)
    usage.insert_events(block.events)
    usage.insert_corrections(block.corrections)
    moves = [(*move, "", "", "", offset) for offset, move in enumerate(move for batch in part for move in batch.moves)]
    connection.insert(
        "attributions", ("subject", "effective_from", "customer", "actor", "reason", "request_id", "k_offset"), moves
    )
    connection.insert("ledger", LEDGER, [
        (USAGE, event[0], event[1] + 1, event[1], 0, 0, 0, 0, [event[2] // 300_000], 0, BROKER_TIME)
        for event in zip(block.events.partition, block.events.offset, block.events.ts_ms, strict=True)
    ])  # fmt: skip
    connection.insert("billing_runs", ("customer", "tick", "revision", "k_partition", "services", "run"), [
        (customer, tick_number, 0, 0, [("s", batch.frame.span.start, batch.frame.span.end)], "")
        for batch in part for customer in batch.customers
    ])  # fmt: skip
    vector = Vector(ends={USAGE: ends, ATTRIBUTIONS: (len(moves),)})
    return Tick(number=tick_number, time=BROKER_TIME, clock="test", vector=vector)


def _truth(batch: Batch, events: Sequence[Counted]) -> Mapping[str, list[tuple[object, ...]]]:
    by_customer: dict[str, list[Counted]] = {}
    for event in events:
        by_customer.setdefault(_customer(batch, event), []).append(event)
    frame = batch.frame
    return {
        customer: [_row(row) for row in aggregate(
            batch.meter, [event.event for event in by_customer.get(customer, [])], frame.span,
            time_zone=frame.time_zone, window=frame.window, anchor=frame.anchor, full_period=frame.full_period,
        )]
        for customer in batch.customers
    }  # fmt: skip


def _customer(batch: Batch, event: Counted) -> str:
    moves = [move for move in batch.moves if move[0] == event.subject and move[1] <= event.event.time]
    # Of two moves from one moment on, the later record counts.
    return max(enumerate(moves), key=lambda found: (found[1][1], found[0]))[1][2] if moves else event.subject


def _row(row: MeterRow) -> tuple[object, ...]:
    return (row.group, row.window, row.value, row.events, row.invalid)


def _said(row: UsageRow) -> tuple[object, ...]:
    return (row.group, row.window, row.value, row.events, row.invalid)


def _without_nothing(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Without the row that says that nothing was used: the store has none where Python has exactly one."""
    return [row for row in rows if row[2] or row[3] or row[0] or row[1]]
