"""What came after closes: which customers and hours it touches, and which closed periods are looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from string import Template

from agents.store.connection import Connection, query_text
from pipeline.closing.late_usage import POSITIONS_KEPT, Touch
from schemas.customer_state import BillingRun, PeriodClosed
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, USAGE, Tick, Vector

HOUR = timedelta(hours=1)


class LateUsageStore:
    """Reads below vectors; one write, idempotent by its key."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def tick(self, number: int) -> tuple[datetime, Vector]:
        """Time and vector of a stored tick."""
        rows = self._db.tuples("SELECT time, vector FROM ticks FINAL WHERE number = {n:UInt64}", {"n": number})
        return rows[0][0], Vector.model_validate_json(rows[0][1])

    def closed_to(self, tick: int, time: datetime, customers: Sequence[str]) -> datetime | None:
        """Where the last span ends that runs up to a tick closed for any of the customers."""
        rows = self._db.tuples(
            "SELECT count(), max(ends) FROM (SELECT arrayJoin(services).3 AS ends FROM billing_runs "
            "WHERE tick <= {tick:UInt64} AND customer IN {customers:Array(String)}) "
            "WHERE ends <= {time:DateTime64(3, 'UTC')}",
            {"tick": tick, "time": time, "customers": list(customers)},
        )
        return rows[0][1] if rows[0][0] else None

    def touches(self, tick: Tick, since: Vector, span: Period, customers: Sequence[str]) -> dict[str, list[Touch]]:
        """Customer -> hours of a span that records below the tick's vector and beyond an earlier one change."""
        now = Template("(SELECT subject, effective_from, argMax(customer, k_offset) AS customer FROM attributions "
                       "WHERE k_offset < $end GROUP BY subject, effective_from)")  # fmt: skip
        text = Template(query_text("late_touches")).substitute(
            now=now.substitute(end="{attributions:UInt64}"), then=now.substitute(end="{attributions_from:UInt64}")
        )
        rows = self._db.tuples(text, {
            "usage": list(tick.vector.of(USAGE)), "usage_from": list(since.of(USAGE)),
            "attributions": tick.vector.end(ATTRIBUTIONS, 0), "attributions_from": since.end(ATTRIBUTIONS, 0),
            "after": span.start, "before": span.end, "customers": list(customers), "kept": POSITIONS_KEPT,
        })  # fmt: skip
        found: dict[str, list[Touch]] = {}
        for customer, hour, records, positions in rows:
            touch = Touch(customer, Period(hour, hour + HOUR), int(records), tuple(positions))
            found.setdefault(customer, []).append(touch)
        return found

    def closes_before(self, tick: int, customers: Sequence[str]) -> dict[str, list[PeriodClosed]]:
        """Customer -> its closes of earlier ticks, in order."""
        rows = self._db.tuples(
            "SELECT customer, record FROM closes FINAL WHERE customer IN {customers:Array(String)} "
            "AND tick < {tick:UInt64} ORDER BY customer, tick, revision",
            {"customers": list(customers), "tick": tick},
        )
        found: dict[str, list[PeriodClosed]] = {}
        for customer, record in rows:
            found.setdefault(customer, []).append(PeriodClosed.model_validate_json(record))
        return found

    def insert(self, runs: Sequence[BillingRun]) -> None:
        """Stores which closed periods runs look at again; before their usage is read."""
        rows = []
        for run in runs:
            late = [due for due in run.periods if due.late is not None]
            if late:
                services = [(due.subscription, due.service.start, due.service.end) for due in late]
                rows.append((run.customer, run.tick.number, run.revision, services,
                             sorted({due.time_zone for due in late}), [due.late.policy for due in late if due.late],
                             sum(due.late.records for due in late if due.late)))  # fmt: skip
        self._db.insert(
            "late_periods", ("customer", "tick", "revision", "services", "zones", "policies", "records"), rows
        )
