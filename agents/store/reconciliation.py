"""What was stored, compared with itself: totals against raw events, counts against the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from string import Template

from agents.store.connection import Connection, query_text
from pipeline.meter_sql import meter_sql, quoted
from pipeline.reconciliation import RowCounts
from schemas.catalogue_entry import MeterEntry
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, Tick


class ReconciliationStore:
    """Reads that must come out equal."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def differing_customers(self, tick: Tick, entry: MeterEntry, span: Period) -> dict[str, str]:
        """Customers for whom sealed panes of a span differ from raw events as of the panes' own vectors, and how."""
        parts = meter_sql(entry.meter)
        sql = Template(query_text("pane_differences")).substitute(
            types=", ".join(quoted(kind) for kind in entry.meter.event_types),
            group=parts.group, valid=parts.valid, value=parts.value, where=parts.where,
            attributions_as_of=query_text("attributions_as_of"),
        )  # fmt: skip
        rows = self._db.tuples(sql, {
            "meter": entry.name, "version": entry.version, "starts": span.start, "ends": span.end,
            "attributions": tick.vector.end(ATTRIBUTIONS, 0),
        })  # fmt: skip
        return {
            customer: f"meter {entry.name}: {panes} panes differ, {raw_events} events raw, {total_events} in totals, "
            f"{raw_value} against {total_value}"
            for customer, panes, raw_events, total_events, raw_value, total_value in rows
        }

    def row_counts(self, topic: str, covered: Sequence[int], metered_types: Collection[str]) -> dict[int, RowCounts]:
        """Partition -> what became of its rows below the covered offsets."""
        rows = self._db.tuples(
            query_text("row_counts"), {"topic": topic, "covered": list(covered), "metered": sorted(metered_types)}
        )
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

    def sealed(self, entry: MeterEntry) -> tuple[int, Period | None]:
        """How many panes of a meter version are sealed, and the span from the first to the last of them."""
        rows = self._db.tuples(
            "SELECT uniqExact(pane), toDateTime64(min(pane), 3, 'UTC'), toDateTime64(max(pane), 3, 'UTC') + "
            "INTERVAL 5 MINUTE FROM seals WHERE meter = {meter:String} AND meter_version = {version:String}",
            {"meter": entry.name, "version": entry.version},
        )
        panes, start, end = rows[0]
        return int(panes), Period(start=start, end=end) if panes else None
