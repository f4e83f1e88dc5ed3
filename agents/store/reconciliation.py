"""What was stored, compared with itself: totals against raw events, counts against the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from string import Template

from agents.store.connection import Connection, Work, query_text
from pipeline.meter_sql import meter_sql, quoted
from pipeline.reconciliation import RowCounts
from pipeline.sealing import PANE_S
from schemas.catalogue_entry import MeterEntry
from schemas.event_time import EARLIEST_MS, LATEST_MS, moment
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, USAGE, Tick

EARLIEST, LATEST = moment(EARLIEST_MS), moment(LATEST_MS)


class ReconciliationStore:
    """Reads that must come out equal."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def differing_customers(self, tick: Tick, entry: MeterEntry, span: Period) -> dict[str, str]:
        """Customers for whom sealed panes of a span differ from raw events as of the panes' own vectors, and how."""
        parts = meter_sql(entry.meter)
        types = ", ".join(quoted(kind) for kind in entry.meter.event_types)
        fragments = {
            "types": types, "group": parts.group, "valid": parts.valid, "value": parts.value, "where": parts.where,
            **{name: query_text(name) for name in ("attributions_as_of", "panes_in_audit", "panes_of_corrections")},
            "counted_events": Template(query_text("counted_events")).substitute(types=types, subjects="1"),
        }  # fmt: skip
        parameters: dict[str, object] = {
            "meter": entry.name, "version": entry.version, "starts": span.start, "ends": span.end,
            "attributions": tick.vector.end(ATTRIBUTIONS, 0),
        }  # fmt: skip
        rows = self._db.tuples(
            Template(query_text("pane_differences")).substitute(fragments),
            parameters,
            work=Work("gate", entry.name, entry.version),
        )
        rows += self._corrected(fragments, parameters)
        return {
            customer: f"meter {entry.name}: {panes} panes differ, {raw_events} events raw, {total_events} in totals, "
            f"{raw_value} against {total_value}"
            for customer, panes, raw_events, total_events, raw_value, total_value in rows
        }

    def _corrected(
        self, fragments: Mapping[str, str], parameters: Mapping[str, object]
    ) -> list[tuple[str, int, int, int, Decimal, Decimal]]:
        """The same of panes that a correction touches: all that were sealed at one vector in one query."""
        sql = Template(query_text("corrected_seals")).substitute(corrected_panes=fragments["panes_of_corrections"])
        found = []
        for vector, panes in self._db.tuples(sql, parameters):
            listed = ", ".join(map(str, panes))
            recount = Template(query_text("pane_recount")).substitute(fragments, panes=listed)
            span = {"starts": _start(panes[0]), "ends": _start(panes[-1] + 1)}
            found += self._db.tuples(recount, {**parameters, **span, "usage": list(vector)})
        return found

    def customers_with_lost_rows(self, tick: Tick, span: Period) -> dict[str, str]:
        """Customers of whom a row is missing in a span below the tick's vector, and which."""
        if not self._db.tuples("SELECT 1 FROM lost_rows LIMIT 1"):
            return {}
        sql = Template(query_text("customers_with_lost_rows")).substitute(
            lost_rows_now=query_text("lost_rows_now"), attributions_as_of=query_text("attributions_as_of")
        )
        rows = self._db.tuples(sql, {
            "to": list(tick.vector.of(USAGE)), "attributions": tick.vector.end(ATTRIBUTIONS, 0), "starts": span.start,
            "ends": span.end,
        })  # fmt: skip
        return {
            customer: f"{count} rows are missing, such as the {what} at {USAGE}/{partition}/{offset}"
            for customer, count, (what, partition, offset) in rows
        }

    def row_counts(
        self, topic: str, starts: Sequence[int], to: Sequence[int], metered_types: Collection[str]
    ) -> dict[int, RowCounts]:
        """Partition -> what became of its rows from one vector to another."""
        rows = self._db.tuples(query_text("row_counts"), {
            "topic": topic, "from": list(starts), "to": list(to), "metered": sorted(metered_types),
        })  # fmt: skip
        return {row[0]: RowCounts(*row[1:]) for row in rows}

    def dead_letters_by_reason(self, topic: str) -> dict[str, int]:
        """Refused records by reason."""
        return dict(
            self._db.tuples(
                "SELECT reason, count() FROM dead_letters FINAL WHERE topic = {topic:String} GROUP BY 1 ORDER BY 1",
                {"topic": topic},
            )
        )

    def ledger_gaps(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> ranges that no ledger row covers though a later one does; only where there are any."""
        return {(row[0], row[1]): row[2] for row in self._db.tuples(query_text("ledger_gaps"))}

    def sealed(self, entry: MeterEntry, period: Period | None = None) -> tuple[int, Period | None]:
        """How many panes of a meter version are sealed, in a period or ever, and the span from first to last."""
        within = period or Period(start=EARLIEST, end=LATEST)
        rows = self._db.tuples(
            "SELECT uniqExact(pane), toDateTime64(min(pane), 3, 'UTC'), toDateTime64(max(pane), 3, 'UTC') + "
            "INTERVAL 5 MINUTE FROM seals WHERE meter = {meter:String} AND meter_version = {version:String} "
            "AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')}",
            {"meter": entry.name, "version": entry.version, "starts": within.start, "ends": within.end},
        )
        panes, start, end = rows[0]
        return int(panes), Period(start=start, end=end) if panes else None


def _start(pane: int) -> datetime:
    return datetime.fromtimestamp(pane * PANE_S, UTC)
