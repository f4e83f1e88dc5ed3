"""Balances: read from sealed totals and raw events together, they are what the events add up to, at every vector."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

import pytest

from agents.ledger import Ledger, LedgerRow
from agents.sealer import Sealer
from agents.settings import Settings
from agents.store.balances import BalanceStore
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.metering_costs import CostStore
from agents.store.totals import TotalsStore
from agents.store.usage import UsageStore
from pipeline.intake.usage_block import judge
from pipeline.limits.entitlements import Asked
from pipeline.meters.usage_needed import GROUPS, Shape
from pipeline.meters.usage_sql import Frame, to_ms
from schemas.catalogue_entry import Catalogue, MeterEntry, catalogue_of
from schemas.meter import Meter
from schemas.period import Period
from schemas.tick import Tick, Vector
from tests.builders import attributes, retraction

pytestmark = pytest.mark.services

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
TOKENS = MeterEntry.of(Meter.model_validate({
    "id": "tokens", "event_types": ["call"], "aggregation": "sum", "value": "tokens", "group_by": ["model"],
}))  # fmt: skip
LARGEST = MeterEntry.of(Meter.model_validate({
    "id": "largest", "event_types": ["call"], "aggregation": "max", "value": "tokens",
}))  # fmt: skip
SUBJECTS = ("a/1", "a/2", "b/1", "loner")


class OneMeter:
    async def as_of(self, _: int) -> Catalogue:
        return catalogue_of([TOKENS, LARGEST])


class Used(NamedTuple):
    subject: str
    at: datetime
    tokens: int
    id: str


class Batch:
    """Records of one partition."""

    def __init__(self, first: int, values: list[bytes], at: datetime) -> None:
        count = len(values)
        self.partition, self.offsets = 0, list(range(first, first + count))
        self.timestamps, self.keys = [to_ms(at)] * count, [None] * count
        self.headers: list[list[tuple[str, bytes]]] = [[] for _ in values]
        self.values = values


class World:
    """What was sent, by the test's own count, and the stores that hold it."""

    def __init__(self, settings: Settings) -> None:
        self.db = Connection(settings)
        self._usage, self._ledger, self.billing = UsageStore(self.db), Ledger(self.db), BillingStore(self.db)
        self.balances = BalanceStore(self.db, partitions=3)
        self._row, self.ticks, self.sent = LedgerRow("usage.events", 0, 0, 0), 0, 0
        self.used: dict[str, Used] = {}
        self.moves: list[tuple[str, datetime, str]] = []

    def sealer(self) -> Sealer:
        return Sealer(TotalsStore(self.db, BillingStore(self.db)), OneMeter(), CostStore(self.db))  # type: ignore[arg-type]

    def send(self, values: list[bytes]) -> None:
        batch = Batch(self._row.next_offset, values, NOON)
        block = judge("usage.events", [batch], wall_clock=False)  # type: ignore[list-item]
        assert not block.dead_letters
        self._usage.insert_events(block.events)
        self._usage.insert_corrections(block.corrections)
        end = self._row.next_offset + len(values)
        self._row = LedgerRow("usage.events", 0, self._row.next_offset, end, end, panes=tuple(sorted(block.panes)))
        self._ledger.append([self._row])

    def use(self, draw: Random, count: int) -> None:
        values = []
        for _ in range(count):
            at = NOON + timedelta(milliseconds=draw.randrange(3_600_000))
            found = Used(draw.choice(SUBJECTS), at, draw.randrange(100), f"e{self.sent}")
            self.sent += 1
            self.used[found.id] = found
            usage = attributes(found.subject, f"{at:%Y-%m-%d %H:%M:%S.%f}", {"tokens": found.tokens, "model": "m"},
                               id=found.id)  # fmt: skip
            values.append(json.dumps(usage).encode())
            if draw.random() < 0.1:
                values.append(values[-1])  # a copy counts once
        self.send(values)

    def retract(self, draw: Random) -> None:
        gone = draw.choice(sorted(self.used))
        del self.used[gone]
        self.send([retraction("/test", gone)[1]])

    def move(self, subject: str, at: datetime, customer: str) -> None:
        self.db.insert(
            "attributions", ("subject", "effective_from", "customer", "actor", "reason", "request_id", "k_offset"),
            [(subject, at, customer, "", "", "", len(self.moves))],
        )  # fmt: skip
        self.moves.append((subject, at, customer))

    def tick(self, at: datetime) -> Tick:
        self.ticks += 1
        vector = Vector(ends={"usage.events": (self._row.next_offset,), "billing.catalogue": (1,)})
        tick = Tick(number=self.ticks, time=at, clock="test", vector=vector)
        self.billing.insert_ticks([(tick, self.ticks)])
        return tick

    def owner(self, found: Used) -> str:
        moved = [(at, number, to) for number, (subject, at, to) in enumerate(self.moves)
                 if subject == found.subject and at <= found.at]  # fmt: skip
        return max(moved)[2] if moved else found.subject

    def truth(self, customer: str, span: Period) -> list[int]:
        return [each.tokens for each in self.used.values() if self.owner(each) == customer and span.contains(each.at)]


async def test_law_balances_are_the_sum_of_the_events_whatever_is_sealed_late_corrected_or_moved(
    settings: Settings,
) -> None:
    world, draw = World(settings), Random(11)
    sealer = world.sealer()
    world.move("a/1", NOON - timedelta(days=1), "a")
    world.move("a/2", NOON - timedelta(days=1), "a")
    world.move("b/1", NOON - timedelta(days=1), "b")
    spans = {
        "a": Period(NOON + timedelta(minutes=7, seconds=3), NOON + timedelta(hours=2)),
        "b": Period(NOON, NOON + timedelta(minutes=41, milliseconds=1)),
        "loner": Period(NOON, NOON + timedelta(hours=2)),
    }
    asked = {
        (customer, entry.name): Asked(customer, entry.key, Frame(span), shape, entry)
        for customer, span in spans.items()
        for entry, shape in ((TOKENS, GROUPS), (LARGEST, Shape()))
    }
    hour = Asked("a", TOKENS.key, Frame(Period(NOON, NOON + timedelta(hours=1))), GROUPS, TOKENS)
    tick = world.tick(NOON)
    panes_sealed = 0
    for step in range(14):
        world.use(draw, draw.randrange(1, 20))
        if step % 4 == 1:
            world.retract(draw)
        if step == 9:
            world.move("b/1", NOON + timedelta(minutes=13, seconds=20), "a")  # in the middle of a pane
        if step % 3 == 0:
            tick = world.tick(NOON + timedelta(minutes=4 * step))
            panes_sealed += await sealer.look()
        read = world.balances.read([*asked.values(), hour], tick)
        assert read.vector == (world._row.next_offset, 0, 0)
        for (customer, meter), one in asked.items():
            true = world.truth(customer, spans[customer])
            rows = read.usage[one]
            if meter == "tokens":
                assert sum((row.value for row in rows), Decimal(0)) == sum(true), (step, customer)
                assert sum(row.events for row in rows) == len(true)
            else:
                assert [row.value for row in rows] == ([max(true)] if true else [])
        assert sum((row.value for row in read.usage[hour]), Decimal(0)) == sum(world.truth("a", hour.frame.span))
    assert panes_sealed > 4
    everybody = world.balances.read(asked.values(), tick, everybody=True).usage
    assert everybody == world.balances.read(asked.values(), tick).usage
