"""An audit retracts every later copy of an identity, whichever day it lies on, however often it is run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from agents.ledger import Ledger, LedgerRow
from agents.store.audits import AuditStore, Slice
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.usage import UsageStore
from pipeline.intake.usage_block import Events
from pipeline.intake.validation import Event
from pipeline.meters.vectors import cut
from pipeline.proof.positions import Range
from schemas.tick import USAGE, Tick, Vector

pytestmark = pytest.mark.services

START = datetime(2026, 10, 1, tzinfo=UTC)
T0_MS = int(START.timestamp() * 1000)
DAY_MS = 86_400_000
Retracted = tuple[str, int, int, int, str, int]


class Sent(NamedTuple):
    """An event: its id, partition and offset, days after the start on which it happened and arrived, its content."""

    id: str
    partition: int
    offset: int
    day: int = 0
    arrived: int = 0
    tokens: int = 1


def stored(connection: Connection, sent: Iterable[Sent]) -> None:
    """As the ingester leaves them: rows, and a ledger that names their panes."""
    for one in sent:
        ts_ms = T0_MS + one.day * DAY_MS
        events = Events()
        content = Event("call", "a", ts_ms, "/s", one.id, json.dumps({"tokens": one.tokens}).encode(), "", 0, "")
        events.append(content, one.partition, one.offset, T0_MS + one.arrived * DAY_MS)
        UsageStore(connection).insert_events(events)
        row = LedgerRow(USAGE, one.partition, one.offset, one.offset + 1, panes=(ts_ms // 300_000,))
        Ledger(connection).append([row])


def ticked(connection: Connection, number: int, *usage: int) -> Tick:
    tick = Tick(number=number, time=START, clock="test", vector=Vector(ends={USAGE: usage}))
    BillingStore(connection).insert_ticks([(tick, number)])
    return tick


def audit(connection: Connection, tick: Tick, *, died: bool = False, at_once: int = 1_000_000) -> list[Range]:
    """The positions without a row, by an audit in slices; one that `died` did not come to its last writes."""
    store, unknown = AuditStore(connection), list[Range]()
    usage = tick.vector.of(USAGE)
    while sum(start := store.reached()) < sum(usage):
        work = store.begin(Slice(start, cut(start, usage, at_once)))
        unknown += work.look_up(horizon_days=400)
        if not died:
            work.done()
        work.close()
        if died:
            return unknown
    store.record(tick)
    return unknown


def retracted(connection: Connection) -> set[Retracted]:
    sql = "SELECT id, k_partition, k_offset, first_offset, toString(kind), restamped FROM retractions FINAL"
    return {(row[0], row[1], row[2], row[3], row[4], row[5]) for row in connection.tuples(sql)}


def test_copies_of_the_same_day_of_another_and_of_long_ago_are_found_once(connection: Connection) -> None:
    old = [Sent("a", 0, 0), Sent("b", 0, 1), Sent("c", 0, 2, day=40), Sent("alone", 0, 3)]
    stored(connection, old)
    audit(connection, ticked(connection, 1, 4, 0))
    assert retracted(connection) == set()
    stored(connection, [Sent("a", 1, 0), Sent("b", 0, 4, day=1, tokens=2), Sent("c", 1, 1, day=300), Sent("c", 1, 2)])
    stored(connection, [Sent("new", 0, 5, day=2), Sent("new", 0, 6, day=3), Sent("other", 1, 3)])
    found: set[Retracted] = {
        ("a", 1, 0, 0, "duplicate", 0), ("b", 0, 4, 1, "conflict", 1), ("c", 1, 1, 2, "duplicate", 1),
        ("c", 1, 2, 2, "duplicate", 1), ("new", 0, 6, 5, "duplicate", 1),
    }  # fmt: skip
    tick = ticked(connection, 2, 7, 4)
    audit(connection, tick, died=True)
    assert retracted(connection) == found
    stored(connection, [Sent("alone", 1, 4)])
    audit(connection, ticked(connection, 3, 7, 5))
    assert retracted(connection) == found | {("alone", 1, 4, 3, "duplicate", 0)}


def test_one_audit_over_several_ticks_comes_to_what_one_for_each_comes_to(connection: Connection) -> None:
    """Offset 5 of partition 0 is under an earlier tick than offset 0 of partition 1: it counts, whoever asks."""
    stored(connection, [Sent("a", 0, 5)])
    ticked(connection, 1, 6, 0)
    stored(connection, [Sent("a", 1, 0, tokens=500)])
    audit(connection, ticked(connection, 2, 6, 1))
    assert retracted(connection) == {("a", 1, 0, 5, "conflict", 0)}


def test_an_identity_is_looked_up_400_days_back_and_no_further(connection: Connection) -> None:
    stored(connection, [Sent("a", 0, 0, arrived=0), Sent("b", 0, 1, arrived=2)])
    audit(connection, ticked(connection, 1, 2, 0))
    stored(connection, [Sent("a", 1, 0, day=401, arrived=401), Sent("b", 1, 1, day=401, arrived=401)])
    audit(connection, ticked(connection, 2, 2, 2))
    assert retracted(connection) == {("b", 1, 1, 1, "duplicate", 1)}


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_an_audit_in_slices_comes_to_what_one_in_one_go_comes_to(connection: Connection, at_once: int) -> None:
    """Also with copies in another order of offsets than of ticks, and with conflicts in several partitions."""
    stored(connection, [Sent("a", 0, 5), Sent("b", 0, 6), Sent("b", 1, 1, day=3), Sent("c", 0, 7, day=2)])
    audit(connection, ticked(connection, 1, 8, 2), at_once=at_once)
    stored(connection, [Sent("a", 1, 2, tokens=5), Sent("a", 1, 3, day=1), Sent("c", 1, 4), Sent("d", 1, 9)])
    stored(connection, [Sent("d", 0, 9, day=1), Sent("d", 0, 10, day=1), Sent("d", 1, 8, day=2)])
    audit(connection, ticked(connection, 2, 11, 10), at_once=at_once)
    assert retracted(connection) == {
        ("b", 0, 6, 1, "duplicate", 1), ("a", 1, 2, 5, "conflict", 0), ("a", 1, 3, 5, "duplicate", 1),
        ("c", 1, 4, 7, "duplicate", 1), ("d", 1, 9, 8, "duplicate", 1), ("d", 0, 9, 8, "duplicate", 1),
    }  # fmt: skip


def test_positions_that_no_row_stands_for_are_found_whether_copies_have_collapsed_or_not(
    connection: Connection,
) -> None:
    sent = [Sent("a", 0, 0), Sent("b", 0, 2), Sent("a", 0, 3), Sent("c", 1, 4), Sent("a", 1, 5), Sent("c", 1, 6)]
    connection.execute("SYSTEM STOP MERGES events")
    stored(connection, sent)
    connection.execute("INSERT INTO dead_letters (topic, k_partition, k_offset) VALUES ('usage.events', 1, 0)")
    connection.execute(
        "INSERT INTO empty_positions (k_partition, first_offset, next_offset, why) VALUES (1, 1, 3, 'control')"
    )
    without = [Range(0, 1, 2), Range(0, 3, 4), Range(0, 4, 6), Range(1, 3, 4), Range(1, 6, 7)]
    tick = ticked(connection, 1, 6, 7)
    assert audit(connection, tick, died=True) == without
    connection.execute("SYSTEM START MERGES events")
    connection.execute("OPTIMIZE TABLE events FINAL")
    joined = [Range(0, 1, 2), Range(0, 3, 6), Range(1, 3, 4), Range(1, 6, 7)]
    assert audit(connection, tick, died=True) == joined
    connection.execute("INSERT INTO copies (k_partition, k_offset) VALUES (0, 3), (1, 6)")
    assert audit(connection, tick) == [Range(0, 1, 2), Range(0, 4, 6), Range(1, 3, 4)]
    assert connection.tuples("SELECT count() FROM audit_identities") == [(0,)], "what a try works on goes with it"
