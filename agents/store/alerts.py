"""Alerts: what is watched and how it stood, what is to be told, and what was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from agents.store.connection import Connection, query_text
from pipeline.limits.alerting import WatchState
from pipeline.limits.anomaly import DAYS
from pipeline.limits.watching import Hours
from schemas.alert import Alert
from schemas.catalogue_entry import MeterEntry
from schemas.period import Period

Key = tuple[str, str]
"""A rule, and what it watches."""
HOUR = timedelta(hours=1)


class Told(NamedTuple):
    """A record of billing.alerts and where it stands."""

    alert: Alert
    published_ms: int
    partition: int
    offset: int


class AlertStore:
    """Reads and writes of alerts; each write may be repeated and changes nothing then."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def states(self) -> dict[Key, WatchState]:
        """How each watch stood when it was noted last."""
        rows = self._db.tuples("SELECT rule, what, crossings, is_beyond FROM alert_states FINAL")
        return {(rule, what): WatchState(crossings, is_beyond) for rule, what, crossings, is_beyond in rows}

    def note(self, states: Mapping[Key, WatchState]) -> None:
        """Notes how watches stand now."""
        self._db.insert("alert_states", ("rule", "what", "crossings", "is_beyond", "ver"), [
            (rule, what, state.crossings, state.is_beyond, state.crossings * 2 + (not state.is_beyond))
            for (rule, what), state in states.items()
        ])  # fmt: skip

    def to_tell(self, alerts: Sequence[Alert]) -> None:
        """Stores what waits to be published; the collector does that, each key once."""
        rows = [(alert.key, alert.customer, alert.model_dump_json()) for alert in alerts]
        self._db.insert("notices", ("key", "customer", "record"), rows)

    def insert_told(self, told: Iterable[Told]) -> None:
        """Projects records of billing.alerts."""
        columns = ("key", "kind", "customer", "at", "text", "evidence", "published_at", "k_partition", "k_offset",
                   "inv_offset")  # fmt: skip
        self._db.insert("alerts", columns, [
            (each.alert.key, each.alert.kind, each.alert.customer, each.alert.at, each.alert.text,
             each.alert.model_dump_json(include={"evidence"}).removeprefix('{"evidence":').removesuffix("}"),
             each.published_ms, each.partition, each.offset, (1 << 64) - 1 - each.offset)
            for each in told
        ])  # fmt: skip

    def hours(self, entry: MeterEntry, hour: Period) -> dict[str, Hours]:
        """Customer -> the same hour of the days before, and the largest hour of them, from sealed totals.

        A customer is compared with days since its first usage only.
        """
        rows = self._db.tuples(query_text("hours_before"), {
            "meter": entry.name, "version": entry.version, "hour": hour.start, "days": DAYS,
        })  # fmt: skip
        found = {}
        for customer, largest, days, same in rows:
            values = dict(same)
            first = min(int(days), DAYS)
            found[customer] = Hours(tuple(values.get(day, Decimal(0)) for day in range(first, 0, -1)), largest)
        return found

    def balances(self) -> dict[tuple[str, str], Decimal]:
        """What is usable of the credits of each customer, by customer and currency."""
        rows = self._db.tuples("SELECT customer, currency, sum(usable) FROM v_credits GROUP BY customer, currency")
        return {(customer, currency): left for customer, currency, left in rows}

    def sources(self, since: datetime) -> dict[str, datetime]:
        """Source -> event time of its last event, of events from a time on."""
        sql = "SELECT toString(source), max(ts) FROM events WHERE ts >= {since:DateTime64(3, 'UTC')} GROUP BY source"
        return dict(self._db.tuples(sql, {"since": since}))

    def listed(self, customer: str, kind: str, at_most: int) -> list[dict[str, object]]:
        """What was told, the newest first."""
        return self._db.rows(
            "SELECT key, kind, customer, at, text, evidence, published_at, tick, as_of, stored_to FROM v_alerts "
            "WHERE ({customer:String} = '' OR customer = {customer:String}) "
            "AND ({kind:String} = '' OR kind = {kind:String}) ORDER BY published_at DESC, key LIMIT {at_most:UInt32}",
            {"customer": customer, "kind": kind, "at_most": at_most},
        )
