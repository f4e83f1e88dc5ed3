"""What must hold after the storm: every record in its place, once, with its value; and the bills that follow from it.

Each check gives the differences that it found, in words; none is the proof. Expected values come from the producer's
numbers (`usage`) and from the log read by other code (`recount`), never from our tables.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice

from agents.settings import Settings
from agents.store.connection import Connection
from agents.store.ledger_looks import LedgerLooks
from agents.topics import INVOICES as INVOICES_TOPIC
from agents.topics import PERIODS, USAGE_EVENTS
from tests.crash import usage
from tests.crash.recount import Partition, Row, read_log, read_values
from tests.crash.usage import Day, Sums

SHOWN = 3
STORED = """
SELECT bitNot(inv_offset), toUInt64(id), subject, formatDateTime(ts, '%Y-%m-%dT%H:%i:%S.', 'UTC')
  || leftPad(toString(toUnixTimestamp64Milli(ts) % 1000), 3, '0') || '+00:00', JSONExtractString(data, 'tokens')
FROM events FINAL WHERE k_partition = {partition:UInt16}
"""
LEDGER = """
SELECT first_offset, next_offset, events, corrections, dead_letters, controls FROM ledger FINAL
WHERE topic = 'usage.events' AND k_partition = {partition:UInt16} ORDER BY first_offset, next_offset
"""
COUNTED = """
SELECT subject, toUInt32(dateDiff('day', toDate('2026-10-01'), toDate(ts))), count(),
  toUInt64(sum(toDecimal64(JSONExtractString(data, 'tokens'), 3)) * 1000)
FROM counted_events_now GROUP BY 1, 2
"""
PANES = """
SELECT subject, toUInt32(dateDiff('day', toDate('2026-10-01'), toDate(pane))), toUInt64(sumIf(events, meter = 'calls')),
  toUInt64(sumIf(total, meter = 'tokens') * 1000)
FROM pane_totals FINAL WHERE events > 0 GROUP BY 1, 2
"""
BILLED = """
SELECT customer, toUInt32(dateDiff('day', toDate('2026-10-01'), toDate(period_start))),
  toUInt64(sumIf(value, meter = 'calls')), toUInt64(sumIf(value, meter = 'tokens') * 1000)
FROM period_usage FINAL GROUP BY 1, 2 HAVING sum(events) > 0
"""


INVOICES = """
SELECT number, customer, total, toUInt32(dateDiff('day', toDate('2026-10-01'), toDate(issued_at))) - 1
FROM invoices FINAL WHERE number != '' ORDER BY number
"""


class Proof:
    """The checks, on the tables of one deployment."""

    def __init__(self, settings: Settings, days: list[Day], customers: list[tuple[str, int]]) -> None:
        self._settings, self._days, self._customers = settings, days, customers
        self._db = Connection(settings)
        self._truth = usage.truth(days)
        self.checked = 0
        """Events of which it is known where they are stored."""

    async def log(self) -> Mapping[int, Partition]:
        """The log, as an independent reader has it."""
        return await read_log(self._settings.kafka, self._settings.topic_prefix + USAGE_EVENTS)

    async def published(self) -> list[str]:
        """Events of documents and subscriptions, and closes, that were published twice with different bytes."""
        found = []
        for topic, name in ((INVOICES_TOPIC, "id"), (PERIODS, "close_id")):
            values = set(await read_values(self._settings.kafka, self._settings.topic_prefix + topic))
            ids = Counter(str(json.loads(value)[name]) for value in values)
            found += [f"{topic}: {count} contents under {each}" for each, count in ids.items() if count > 1][:SHOWN]
        return found

    def differences(
        self, log: Mapping[int, Partition], told: Callable[[str], None] = lambda _: None, *, at_most: int = 1_000
    ) -> list[str]:
        """What does not hold; no further check once there are `at_most` differences."""
        found: list[str] = []
        truth = self._truth
        for what, check in (
            ("producer against log", lambda: self._produced(log)),
            ("log against events, one by one", lambda: self._stored(log)),
            ("log against corrections and dead letters", lambda: self._others(log)),
            ("ledger against log", lambda: self._ledger(log)),
            ("counted events against a recount", lambda: self._sums(COUNTED, "counted events", truth)),
            ("sealed totals against a recount", lambda: self._sums(PANES, "sealed totals", truth)),
            ("billed usage against a recount", lambda: self._sums(BILLED, "billed usage", by_customer(truth))),
            ("invoices against a recount", lambda: self._invoices(by_customer(truth))),
            ("the books against the documents", lambda: iter(LedgerLooks(self._db).faults())),
        ):
            if len(found) >= at_most:
                break
            faults = list(islice(check(), min(SHOWN, at_most)))
            told(f"{what}: {'; '.join(faults) if faults else 'equal'}")
            found += faults
        return found

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def _produced(self, log: Mapping[int, Partition]) -> Iterator[str]:
        """Every number that was acknowledged is in the log."""
        seen = bytearray(self._days[-1].end)
        for partition in log.values():
            for number, *_ in partition.events.values():
                seen[number] = 1
        if missing := seen.count(0):
            yield f"{missing} acknowledged events are not in the log, the first is {seen.index(0)}"

    def _stored(self, log: Mapping[int, Partition]) -> Iterator[str]:
        """Each event is stored once, under the position of its first record, with its content."""
        self.checked = 0
        for number, partition in log.items():
            rows = self._db.tuples(STORED, {"partition": number})
            stored: dict[int, Row] = {offset: row for offset, *content in rows for row in (_row(content),)}
            self.checked += len(stored)
            if len(rows) != len(stored):
                yield f"partition {number}: {len(rows) - len(stored)} positions are stored more than once"
            for what, places in (
                ("lost", partition.events.keys() - stored.keys()), ("doubled", stored.keys() - partition.events.keys()),
            ):  # fmt: skip
                if places:
                    yield f"partition {number}: {len(places)} events are {what}, the first is at {min(places)}"
            for offset in partition.events.keys() & stored.keys():
                if partition.events[offset] != stored[offset]:
                    yield f"partition {number}, {offset}: {partition.events[offset]} is stored as {stored[offset]}"

    def _others(self, log: Mapping[int, Partition]) -> Iterator[str]:
        for table, where in (("corrections", "1"), ("dead_letters", "topic = 'usage.events'")):
            rows = self._db.tuples(f"SELECT k_partition, k_offset FROM {table} FINAL WHERE {where}")
            wanted = {
                (number, offset)
                for number, partition in log.items()
                for offset in (partition.corrections if table == "corrections" else partition.broken)
            }
            if sorted(rows) != sorted(wanted):
                yield f"{table}: {len(wanted)} in the log, {len(rows)} rows, {len(wanted & set(rows))} the same"

    def _ledger(self, log: Mapping[int, Partition]) -> Iterator[str]:
        """Its rows leave no gap up to the end, and each counts what the log holds below it."""
        for number, partition in log.items():
            reached = 0
            for first, following, *counts in self._db.tuples(LEDGER, {"partition": number}):
                if first > reached:
                    yield f"ledger of partition {number}: [{reached}, {first}) is missing"
                if following <= partition.end and (*partition.below(following), 0) != tuple(counts):
                    yield f"ledger of partition {number} at {following}: {counts}, the log {partition.below(following)}"
                reached = max(reached, following)
            if reached != partition.end:
                yield f"ledger of partition {number} ends at {reached}, the log at {partition.end}"

    def _sums(self, sql: str, what: str, truth: Sums) -> Iterator[str]:
        rows = {(name, day): (calls, thousandths) for name, day, calls, thousandths in self._db.tuples(sql)}
        for place in sorted(truth.keys() | rows.keys()):
            if rows.get(place) != truth.get(place):
                yield f"{what} of {place[0]} on day {place[1]}: {rows.get(place)}, produced {truth.get(place)}"

    def _invoices(self, truth: Sums) -> Iterator[str]:
        """One per customer and day, numbered without a gap, with the amounts that follow from the usage."""
        rows = self._db.tuples(INVOICES)
        wanted = sorted(
            (customer, day.number) for customer, first in self._customers for day in self._days if day.number >= first
        )
        if sorted((customer, day) for _, customer, _, day in rows) != wanted:
            yield f"{len(rows)} invoices, {len(wanted)} were due"
        if [number for number, *_ in rows] != [f"INV-{place:06d}" for place in range(1, len(rows) + 1)]:
            yield "the numbers of the invoices are not gapless"
        for number, customer, total, day in rows:
            calls, thousandths = truth.get((customer, day), (0, 0))
            owed = usage.FEE + _cents(Decimal(calls) / 100) + _cents(Decimal(thousandths) / 1_000_000)
            if Decimal(total) != owed:
                yield f"{number} of {customer} for day {day}: {total}, owed {owed}"


def _row(content: list[object]) -> Row:
    number, subject, time, tokens = content
    return (int(str(number)), str(subject), str(time), str(tokens))


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")


def by_customer(truth: Sums) -> Sums:
    """The same per customer instead of per subject."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for (subject, day), (calls, thousandths) in truth.items():
        place = (usage.customer_of(subject), day)
        before = found.get(place, (0, 0))
        found[place] = (before[0] + calls, before[1] + thousandths)
    return found
