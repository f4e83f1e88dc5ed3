"""The billing tables: projections of the billing logs, each row under the position it comes from.

Every write is idempotent by its key; every read is `FINAL`. Nothing here decides: `pipeline` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.store.connection import Connection, query_text
from agents.store.day_totals import DayTotalsStore
from agents.store.late_usage import LateUsageStore
from agents.store.metered_usage import Question, UsageReader, UsageRow
from schemas.command import Attribution, CommandOutcome
from schemas.customer_state import BillingRun, CustomerState, PeriodClosed
from schemas.tick import ATTRIBUTIONS, ERASURES, USAGE, Tick


@dataclass(frozen=True, slots=True)
class StoredState:
    """A customer's state and the position in billing.commands that it stands for."""

    state: CustomerState
    offset: int


class BillingStore:
    """What the billing agents ask of ClickHouse."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._usage = UsageReader(connection)
        self.late_usage = LateUsageStore(connection)
        self.days = DayTotalsStore(connection)

    # -- ticks ---------------------------------------------------------------------------------------------------

    def insert_ticks(self, ticks: Sequence[tuple[Tick, int]]) -> None:
        """Stores ticks with their offsets in billing.ticks."""
        columns = ("number", "time", "clock", "usage", "vector", "k_offset")
        self._db.insert("ticks", columns, [
            (tick.number, tick.time, tick.clock, list(tick.vector.of(USAGE)), tick.vector.model_dump_json(), offset)
            for tick, offset in ticks
        ])  # fmt: skip

    def last_tick(self, below_offset: int | None = None) -> Tick | None:
        """The newest tick that is stored, or the newest below an offset of billing.ticks."""
        rows = self._db.tuples(
            "SELECT number, time, clock, vector FROM ticks WHERE k_offset < {below:UInt64} "
            "ORDER BY number DESC, k_offset LIMIT 1",
            {"below": (1 << 63) if below_offset is None else below_offset},
        )
        return _tick(rows[0]) if rows else None

    def newest_tick(self) -> tuple[Tick, int] | None:
        """The newest tick that is stored and its offset in billing.ticks."""
        rows = self._db.tuples(
            "SELECT number, time, clock, vector, k_offset FROM ticks ORDER BY number DESC, k_offset LIMIT 1"
        )
        return (_tick(rows[0][:4]), rows[0][4]) if rows else None

    def tick_at(self, moment: datetime) -> Tick | None:
        """The first tick at or after a moment."""
        rows = self._db.tuples(
            "SELECT number, time, clock, vector FROM ticks FINAL WHERE time >= {at:DateTime64(3, 'UTC')} "
            "ORDER BY number LIMIT 1",
            {"at": moment},
        )
        return _tick(rows[0]) if rows else None

    def tick(self, number: int) -> Tick | None:
        """A tick by its number."""
        rows = self._db.tuples(
            "SELECT number, time, clock, vector FROM ticks FINAL WHERE number = {number:UInt64}", {"number": number}
        )
        return _tick(rows[0]) if rows else None

    def tick_before(self, tick: Tick) -> bool:
        """Whether there is a tick before this one."""
        rows = self._db.tuples("SELECT 1 FROM ticks WHERE number < {number:UInt64} LIMIT 1", {"number": tick.number})
        return bool(rows)

    # -- attributions --------------------------------------------------------------------------------------------

    def insert_attributions(self, attributions: Sequence[tuple[Attribution, int]]) -> None:
        """Stores attributions with their offsets in billing.attributions."""
        columns = ("subject", "effective_from", "customer", "actor", "reason", "request_id", "k_offset")
        self._db.insert("attributions", columns, [
            (a.subject, a.effective_from, a.customer, a.actor, a.reason, a.request_id, offset)
            for a, offset in attributions
        ])  # fmt: skip

    # -- commands and state --------------------------------------------------------------------------------------

    def clock_of(self, partition: int) -> tuple[Tick, int] | None:
        """The last tick that a partition of billing.commands folded, and the offset of its copy."""
        rows = self._db.tuples(
            "SELECT record, k_offset FROM partition_clocks FINAL WHERE k_partition = {partition:UInt16}",
            {"partition": partition},
        )
        return (Tick.model_validate_json(rows[0][0]), rows[0][1]) if rows else None

    def clocks(self) -> dict[int, int]:
        """Partition of billing.commands -> number of the last tick it folded."""
        return dict(self._db.tuples("SELECT k_partition, tick FROM partition_clocks FINAL"))

    def insert_clock(self, partition: int, tick: Tick, offset: int) -> None:
        """Records that a partition folded a tick: the last write of a fold."""
        self._db.insert(
            "partition_clocks", ("k_partition", "tick", "time", "record", "k_offset"),
            [(partition, tick.number, tick.time, tick.model_dump_json(), offset)],
        )  # fmt: skip

    def states(self, customers: Iterable[str]) -> dict[str, StoredState]:
        """The stored states of customers; those without one are left out."""
        sql = "SELECT customer, state, k_offset FROM customers FINAL WHERE customer IN {customers:Array(String)}"
        return {
            customer: StoredState(CustomerState.model_validate_json(state), offset)
            for customer, state, offset in self._db.tuples(sql, {"customers": sorted(set(customers))})
        }

    def customers_on(
        self, plans: Sequence[tuple[str, str]], partitions: Sequence[int], tick: int
    ) -> list[CustomerState]:
        """States of customers who have a subscription on one of some plan versions, where a tick is folded already."""
        rows = self._db.tuples(
            "SELECT state FROM customers FINAL WHERE k_partition IN (SELECT k_partition FROM partition_clocks FINAL "
            "WHERE tick >= {tick:UInt64} AND k_partition IN {partitions:Array(UInt16)}) AND customer IN (SELECT "
            "customer FROM subscriptions FINAL WHERE (plan, plan_version) IN "
            "(SELECT arrayJoin(arrayZip({names:Array(String)}, {versions:Array(String)})))) ORDER BY customer",
            {"tick": tick, "partitions": list(partitions), "names": [name for name, _ in plans],
             "versions": [version for _, version in plans]},
        )  # fmt: skip
        return [CustomerState.model_validate_json(row[0]) for row in rows]

    def state_offsets(self, customers: Iterable[str] | None = None) -> dict[str, int]:
        """Customer -> the position that its stored state stands for; of everybody if nobody is named."""
        rows = self._db.tuples(
            "SELECT customer, max(k_offset) FROM customers WHERE {all:Bool} OR customer IN {customers:Array(String)} "
            "GROUP BY customer",
            {"all": customers is None, "customers": sorted(set(customers or ()))},
        )
        return dict(rows)

    def due_customers(self, partition: int, at: datetime) -> tuple[str, ...]:
        """Customers of a partition for whom a tick at `at` bills or drafts something, or changes a subscription."""
        rows = self._db.tuples(
            "SELECT customer FROM customers FINAL WHERE k_partition = {partition:UInt16} "
            "AND (next_due_at <= {at:DateTime64(3, 'UTC')} OR next_change_at <= {at:DateTime64(3, 'UTC')} "
            "OR next_draft_at <= {at:DateTime64(3, 'UTC')}) "
            "ORDER BY customer",
            {"partition": partition, "at": at},
        )
        return tuple(row[0] for row in rows)

    def insert_states(
        self,
        partition: int,
        states: Sequence[tuple[CustomerState, datetime | None, datetime | None, datetime | None, int]],
        at: datetime | None,
    ) -> None:
        """Stores states as (state, when due, changed, drafted next, offset), and what readers see at a time."""
        self._db.insert("subscriptions", SUBSCRIPTION_COLUMNS, [
            (state.customer, s.id, s.plan, s.plan_version, s.status(at), s.time_zone, s.currency, s.starts_at,
             s.ends_at, s.billed_through, offset)
            for state, *_, offset in states for s in state.subscriptions
        ])  # fmt: skip
        columns = ("customer", "k_partition", "next_due_at", "next_change_at", "next_draft_at", "state", "k_offset")
        self._db.insert("customers", columns, [
            (state.customer, partition, due, change, draft, state.model_dump_json(), offset)
            for state, due, change, draft, offset in states
        ])  # fmt: skip

    def outcomes(self, requests: Iterable[tuple[str, str]]) -> dict[tuple[str, str], CommandOutcome]:
        """The first outcome per (customer, request id)."""
        sql = (
            "SELECT outcome FROM command_outcomes FINAL WHERE (customer, request_id) IN "
            "(SELECT arrayJoin(arrayZip({customers:Array(String)}, {ids:Array(String)}))) "
            "ORDER BY k_partition, k_offset"
        )
        found: dict[tuple[str, str], CommandOutcome] = {}
        pairs = sorted(set(requests))
        asked = {"customers": [customer for customer, _ in pairs], "ids": [request for _, request in pairs]}
        for (text,) in self._db.tuples(sql, asked):
            outcome = CommandOutcome.model_validate_json(text)
            found.setdefault((outcome.customer, outcome.request_id), outcome)
        return found

    def insert_outcomes(self, outcomes: Sequence[CommandOutcome]) -> None:
        """Stores outcomes; before the states that they lead to."""
        columns = ("k_partition", "k_offset", "customer", "request_id", "command", "actor", "reason", "accepted",
                   "detail", "tick", "outcome")  # fmt: skip
        self._db.insert("command_outcomes", columns, [
            (o.partition, o.offset, o.customer, o.request_id, o.command, o.actor, o.reason, o.accepted, o.detail,
             o.tick, o.model_dump_json())
            for o in outcomes
        ])  # fmt: skip

    # -- runs and closes -----------------------------------------------------------------------------------------

    def insert_runs(self, partition: int, runs: Sequence[BillingRun]) -> None:
        """Stores what a tick makes due."""
        self._db.insert("billing_runs", ("customer", "tick", "revision", "k_partition", "services", "run"), [
            (run.customer, run.tick.number, run.revision, partition,
             [(due.subscription, due.service.start, due.service.end) for due in run.periods], run.model_dump_json())
            for run in runs
        ])  # fmt: skip

    def open_runs(self, partitions: Sequence[int]) -> tuple[BillingRun, ...]:
        """Runs of partitions that are neither closed nor parked, in order of tick and customer."""
        rows = self._db.tuples(query_text("open_runs"), {"partitions": list(partitions)})
        return tuple(BillingRun.model_validate_json(row[0]) for row in rows)

    def run_usage(self, asked: Question) -> tuple[UsageRow, ...]:
        """Usage of a meter in a frame, for each customer whose run at the tick bills its span."""
        return self._usage.run_usage(asked)

    def run_transactions(self, asked: Question) -> tuple[UsageRow, ...]:
        """Every event that a meter can use, for each customer whose run at the tick bills the span."""
        return self._usage.run_transactions(asked)

    def insert_period_usage(self, rows: Sequence[Sequence[object]]) -> None:
        """Freezes usage under its close ids; columns as `PERIOD_USAGE_COLUMNS`."""
        self._db.insert("period_usage", PERIOD_USAGE_COLUMNS, rows)

    def insert_closes(self, closes: Sequence[PeriodClosed]) -> None:
        """Projects records of billing.periods."""
        columns = ("close_id", "customer", "tick", "revision", "usage_rows", "events", "fingerprint", "record")
        self._db.insert("closes", columns, [
            (c.close_id, c.customer, c.tick.number, c.revision, c.usage_rows, c.events, c.fingerprint,
             c.model_dump_json())
            for c in closes
        ])  # fmt: skip

    def audited_tick(self) -> int:
        """Number of the last tick whose vector was audited; 0 before the first."""
        return int(self._db.tuples("SELECT max(tick) FROM audits")[0][0])

    def missing(self, tick: Tick) -> str:
        """What of a tick's vector is not covered by the ledger or not audited yet, in words; empty if nothing."""
        if uncovered := self.uncovered(tick):
            return uncovered
        if tick.number > self.audited_tick():
            return f"tick {tick.number} waits for the audit of copies"
        return ""

    def uncovered(self, tick: Tick) -> str:
        """What of a tick's vector is not covered by the ledger, in words; empty if nothing."""
        for topic in (USAGE, ATTRIBUTIONS):
            coverage = self.coverage(topic)
            for partition, end in enumerate(tick.vector.of(topic)):
                if (stored := coverage.get(partition, 0)) < end:
                    return f"{topic}/{partition} is stored to {stored}, tick {tick.number} needs {end}"
        if (carried_out := self.erased_to()) < tick.vector.end(ERASURES, 0):
            return (
                f"{ERASURES}/0 is carried out to {carried_out}, tick {tick.number} needs {tick.vector.end(ERASURES, 0)}"
            )
        return ""

    def erased_to(self) -> int:
        """The offset of billing.erasures behind the last erasure that was carried out."""
        return int(self._db.tuples("SELECT if(count() = 0, 0, max(k_offset) + 1) FROM erasures")[0][0])

    def park(self, run: BillingRun, reason: str, detail: str) -> None:
        """Sets a run aside with a reason; the others close on time. One that was released is parked again."""
        known = self._db.tuples(
            "SELECT max(version) FROM parked_runs WHERE customer = {customer:String} AND tick = {tick:UInt64}",
            {"customer": run.customer, "tick": run.tick.number},
        )
        self._db.insert(
            "parked_runs", ("customer", "tick", "revision", "reason", "detail", "version"),
            [(run.customer, run.tick.number, run.revision, reason, detail, known[0][0] + 1)],
        )  # fmt: skip

    def release(self, customer: str, detail: str) -> None:
        """Lets the parked runs of a customer be looked at again."""
        rows = self._db.tuples(
            "SELECT customer, tick, revision, reason, version + 1 FROM parked_runs FINAL "
            "WHERE customer = {customer:String} AND NOT released",
            {"customer": customer},
        )
        self._db.insert(
            "parked_runs", ("customer", "tick", "revision", "reason", "detail", "version", "released"),
            [(*row[:4], detail, row[4], True) for row in rows],
        )  # fmt: skip

    def coverage(self, topic: str) -> dict[int, int]:
        """Partition -> contiguous `next_offset` that the ledger has reached for a topic."""
        return dict(self._db.tuples(query_text("coverage"), {"topic": topic}))


SUBSCRIPTION_COLUMNS = (
    "customer", "subscription", "plan", "plan_version", "status", "time_zone", "currency", "starts_at", "ends_at",
    "billed_through", "k_offset",
)  # fmt: skip
PERIOD_USAGE_COLUMNS = (
    "close_id", "customer", "subscription", "meter", "meter_version", "period_start", "period_end", "grp", "events",
    "invalid", "value", "fingerprint", "shape", "window_start", "window_end", "first_at", "k_offset", "k_partition",
)  # fmt: skip


def _tick(row: tuple[Any, ...]) -> Tick:
    number, time, clock, vector = row
    return Tick.model_validate({"number": number, "time": time, "clock": clock, "vector": json.loads(vector)})
