"""Late events and totals: never missing for a reader, made part of their pane once that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from agents.ledger import Ledger, LedgerRow
from agents.sealer import Sealer
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.metering_costs import CostStore
from agents.store.totals import TotalsStore
from agents.store.usage import UsageStore
from pipeline.intake.usage_block import MS_PER_PANE, Events
from pipeline.meters.sealing import AT_ONCE
from schemas.catalogue_entry import Catalogue, MeterEntry, catalogue_of
from schemas.meter import Meter
from schemas.tick import Tick, Vector

pytestmark = pytest.mark.services

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
CALLS = MeterEntry.of(Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count"}))


class OneMeter:
    """billing.catalogue with one meter in it."""

    async def as_of(self, _: int) -> Catalogue:
        return catalogue_of([CALLS])


class Stored:
    """Events of one partition on their way through the store, with ticks."""

    def __init__(self, settings: Settings) -> None:
        self.db = Connection(settings)
        self._usage, self._ledger, self._billing = UsageStore(self.db), Ledger(self.db), BillingStore(self.db)
        self._row, self._ticks = LedgerRow("usage.events", 0, 0, 0), 0

    def sealer(self) -> Sealer:
        return Sealer(TotalsStore(self.db, BillingStore(self.db)), OneMeter(), CostStore(self.db))  # type: ignore[arg-type]

    def events(self, at: datetime, count: int) -> None:
        """So many events at one time, in the tables and in the ledger."""
        first, ts_ms = self._row.next_offset, int(at.timestamp() * 1000)
        offsets = list(range(first, first + count))
        self._usage.insert_events(Events(
            ["call"] * count, ["acme"] * count, [ts_ms] * count, ["/s"] * count, [str(offset) for offset in offsets],
            [0] * count, offsets, [b"{}"] * count, [""] * count, [0] * count, [""] * count, [ts_ms] * count,
        ))  # fmt: skip
        end = first + count
        self._row = LedgerRow("usage.events", 0, first, end, end, panes=(ts_ms // MS_PER_PANE,), appended_at_ms=ts_ms)
        self._ledger.append([self._row])

    def tick(self, at: datetime) -> None:
        self._ticks += 1
        vector = Vector(ends={"usage.events": (self._row.next_offset,), "billing.catalogue": (1,)})
        self._billing.insert_ticks([(Tick(number=self._ticks, time=at, clock="test", vector=vector), self._ticks)])

    def sealed(self) -> list[tuple[int, ...]]:
        return self.db.tuples("SELECT events FROM pane_totals FINAL ORDER BY pane")

    def told(self) -> Sequence[tuple[int, ...]]:
        return self.db.tuples("SELECT sum(events), sum(late) FROM v_usage_daily")


async def test_late_events_are_told_at_once_and_sealed_once_as_many_are_new_as_their_pane_holds(
    settings: Settings,
) -> None:
    stored = Stored(settings)
    sealer = stored.sealer()
    many = 4 * AT_ONCE
    stored.events(NOON, many)
    stored.tick(NOON + timedelta(minutes=5))
    assert await sealer.look() == 1
    assert (stored.sealed(), stored.told()) == ([(many,)], [(many, 0)])

    stored.events(NOON, 10)
    stored.tick(NOON + timedelta(minutes=6))
    assert await sealer.look() == 1, "all of it is new: worth it"
    stored.events(NOON, 5)
    stored.tick(NOON + timedelta(minutes=7))
    assert await sealer.look() == 0, "five new events are not worth reading 20,000 again"
    assert (stored.sealed(), stored.told()) == ([(many + 10,)], [(many + 15, 5)])
    assert await sealer.look() == 0

    stored.events(NOON + timedelta(minutes=5), many)
    stored.tick(NOON + timedelta(minutes=10))
    assert await sealer.look() == 2
    assert (stored.sealed(), stored.told()) == ([(many + 15,), (many,)], [(2 * many + 15, 0)])


async def test_whoever_seals_next_finds_what_waits_from_the_ledger_and_the_seals(settings: Settings) -> None:
    stored = Stored(settings)
    first = stored.sealer()
    stored.events(NOON, 3)
    stored.events(NOON + timedelta(minutes=5), 4)
    stored.tick(NOON + timedelta(minutes=6))
    assert await first.look() == 1, "a pane that has not ended is not sealed"
    stored.events(NOON, 2)
    stored.tick(NOON + timedelta(minutes=10))
    assert await stored.sealer().look() == 2
    assert (stored.sealed(), stored.told()) == ([(5,), (4,)], [(9, 0)])
    first.forget()
    assert await first.look() == 0


async def test_a_seal_that_knew_of_a_later_audit_and_covers_less_hides_nothing_and_is_mended(
    settings: Settings,
) -> None:
    stored = Stored(settings)
    sealer = stored.sealer()
    stored.events(NOON, 3)
    stored.tick(NOON + timedelta(minutes=5))
    assert await sealer.look() == 1
    stored.events(NOON, 2)
    stored.tick(NOON + timedelta(minutes=6))
    assert await sealer.look() == 1
    assert (stored.sealed(), stored.told()) == ([(5,)], [(5, 0)])
    pane = int(NOON.timestamp()) // 300
    TotalsStore(stored.db, BillingStore(stored.db)).seal([CALLS], [pane], [3], 1)  # an auditor that began before
    assert (stored.sealed(), stored.told()) == ([(3,)], [(5, 2)])
    stored.db.insert("audits", ("tick", "usage"), [(1, [3])])
    stored.tick(NOON + timedelta(minutes=7))
    assert await sealer.look() == 1
    assert (stored.sealed(), stored.told()) == ([(5,)], [(5, 0)])
