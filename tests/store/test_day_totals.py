"""Whole days: readers see the right number or none with the reason, whatever comes after a day was computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.day_totals import DayTotalsStore
from agents.store.totals import TotalsStore
from agents.store.usage import UsageStore
from pipeline.intake.usage_block import judge
from schemas.catalogue_entry import MeterEntry
from schemas.meter import Meter
from schemas.tick import ATTRIBUTIONS, USAGE, Tick, Vector
from schemas.usage_event import CORRECTION_TYPE
from tests.builders import event
from tests.store.event_sets import Log, as_batches

pytestmark = pytest.mark.services

BROKER_TIME = datetime(2027, 10, 4, tzinfo=UTC)
FIRST, SECOND = date(2027, 10, 1), date(2027, 10, 2)
LEDGER = ("topic", "k_partition", "next_offset", "first_offset", "events", "corrections", "dead_letters", "controls",
          "panes", "last_hash", "appended_at")  # fmt: skip
OF = ("sum", "count", "min", "max", "avg", "latest", "unique_count", "percentile")


def meters() -> list[MeterEntry]:
    found = []
    for aggregation in OF:
        raw: dict[str, Any] = {"id": aggregation, "event_types": ["call"], "aggregation": aggregation}
        raw |= {} if aggregation == "count" else {"value": "v"}
        raw |= {"p": "50"} if aggregation == "percentile" else {}
        found.append(MeterEntry.of(Meter.model_validate(raw)))
    return found


class Stage:
    """A log that is stored as far as it goes."""

    def __init__(self, connection: Connection) -> None:
        self.db, self.log, self.ticks = connection, Log(), 0
        self.days, self.totals = DayTotalsStore(connection), TotalsStore(connection, BillingStore(connection))
        self.totals.replace_metered_events(meters(), len(self.log.ends))

    def publish(self, *sent: tuple[bytes, bytes]) -> None:
        """Stores records with their rows of the ledger."""
        block = judge(USAGE, as_batches([self.log.append(key.decode(), value, BROKER_TIME) for key, value in sent]),
                      wall_clock=False)  # fmt: skip
        assert not block.dead_letters
        UsageStore(self.db).insert_events(block.events)
        UsageStore(self.db).insert_corrections(block.corrections)
        panes = sorted(block.panes)
        self.db.insert("ledger", LEDGER, [
            (USAGE, partition, end, 0, 0, 0, 0, 0, panes, 0, BROKER_TIME)
            for partition, end in enumerate(self.log.ends) if end
        ])  # fmt: skip

    def seal(self, *days: date) -> Tick:
        """Computes days at a tick of now."""
        self.ticks += 1
        vector = Vector(ends={USAGE: tuple(self.log.ends), ATTRIBUTIONS: (0,)})
        tick = Tick(number=self.ticks, time=BROKER_TIME + timedelta(days=self.ticks), clock="test", vector=vector)
        BillingStore(self.db).insert_ticks([(tick, tick.number)])
        for day in days:
            self.days.seal(meters(), day, tick)
        self.days.tell(self.days.look(), meters(), self.log.ends, tick.number)
        return tick

    def seal_panes(self) -> None:
        """Computes all panes that there are."""
        entries, ends = meters(), list(self.log.ends)
        panes = sorted({pane for entry in entries for pane in self.totals.touched_panes(entry)})
        self.totals.seal(entries, panes, ends, 0)
        self.totals.note_tail(entries, [], ends, 0)

    def opened(self, sql: str) -> dict[str, int]:
        """Table -> how many rows of it a question would read."""
        return {row[1]: row[3] for row in self.db.tuples(f"EXPLAIN ESTIMATE {sql}")}

    def told(self, view: str = "v_usage_daily", when: str = f"day = '{FIRST}'") -> dict[str, tuple[object, str]]:
        """Meter -> value, or the first word of the note."""
        rows = self.db.tuples(f"SELECT meter, value, note FROM {view} WHERE customer = 'acme' AND {when}")
        return {meter: (value, note.partition(":")[0]) for meter, value, note in rows}


def call(at: str, value: str, identity: str) -> tuple[bytes, bytes]:
    return event("acme", at, {"v": value}, id=identity)


def numbers(*values: str) -> dict[str, tuple[object, str]]:
    """sum, count, min, max, avg and latest; the others are never added up."""
    known = {name: (Decimal(value), "") for name, value in zip(OF, values, strict=False)}
    return known | {name: (None, name) for name in OF if name not in known}


def test_a_day_shows_the_right_number_of_every_meter_or_none_with_the_reason(connection: Connection) -> None:
    stage = Stage(connection)
    stage.publish(
        call("2027-10-01 05:00:00", "3", "a"), call("2027-10-01 06:00:00", "-1", "b"),
        call("2027-10-01 06:00:00", "1.5", "c"), call("2027-10-02 01:00:00", "7", "d"),
    )  # fmt: skip
    stage.seal()
    assert stage.told() == numbers("3.5", "3"), "an open day: what adds up"
    stage.seal(FIRST)
    whole = numbers("3.5", "3", "-1", "3", "1.166666666667", "1.5")
    assert stage.told() == whole
    assert stage.told("v_usage_monthly", "1") == numbers("10.5", "4"), "a day of the month is open"
    stage.seal(SECOND)
    assert stage.told("v_usage_monthly", "1") == numbers("10.5", "4", "-1", "7", "2.625", "7")
    stage.seal_panes()
    daily = f"SELECT day, value FROM v_usage_daily WHERE customer = 'acme' AND day = '{FIRST}'"
    opened = stage.opened(daily)
    assert (opened["pane_totals"], opened["events"]) == (0, 0), "sealed days alone"
    assert stage.told() == whole
    stage.publish(call("2027-10-01 23:59:59.999", "9", "late"), call("2027-10-01 05:00:00", "3", "a"))
    assert stage.told() == numbers("12.5", "4"), "late usage is counted, the copy is not, and the day is open again"
    stage.seal_panes()
    assert stage.told() == numbers("12.5", "4")
    assert stage.opened(daily)["pane_totals"] > 0
    stage.seal(FIRST)
    assert stage.told() == numbers("12.5", "4", "-1", "9", "3.125", "9")
    usable = stage.days.usable(stage.seal())
    assert {day: tick for days in usable.values() for day, tick in days.items()} == {FIRST: 4, SECOND: 3}
    _corrected(stage)


def _corrected(stage: Stage) -> None:
    """A correction opens the days of what it names and of what it says instead, and no other."""
    before = list(stage.log.ends)
    said = {"action": "replace", "source": "/test", "id": "late",
            "event": {"type": "call", "subject": "acme", "time": "2027-10-02T12:00:00Z", "data": {"v": 1}}}  # fmt: skip
    stage.publish(event("acme", "2027-10-03 00:00:00", said, id="fix", type=CORRECTION_TYPE))
    stage.days.open_corrected(before, stage.log.ends)
    assert stage.days.corrected_days(before, stage.log.ends) == (FIRST, SECOND)
    assert stage.days.usable(stage.seal()) == {}
    assert stage.told()["max"] == (None, "max")
    stage.seal(FIRST, SECOND)
    assert stage.told() == numbers("3.5", "3", "-1", "3", "1.166666666667", "1.5")
    assert stage.told(when=f"day = '{SECOND}'") == numbers("8", "2", "1", "7", "4", "1")


def test_a_day_that_changes_hands_is_taken_from_its_events(connection: Connection) -> None:
    stage = Stage(connection)
    stage.publish(call("2027-10-01 05:00:00", "3", "a"), call("2027-10-01 15:00:00", "4", "b"))
    stage.seal(FIRST)
    noon = datetime(2027, 10, 1, 12, tzinfo=UTC)
    columns = ("subject", "effective_from", "customer", "actor", "reason", "request_id", "k_offset")
    stage.db.insert("attributions", columns, [("acme", noon, "globex", "", "", "", 0)])
    shares: Sequence[tuple[object, ...]] = stage.db.tuples(
        "SELECT customer, value, note FROM v_usage_daily WHERE meter = 'sum' ORDER BY customer"
    )
    assert shares == [("acme", Decimal(3), ""), ("globex", Decimal(4), "")]
