"""What was stored, compared with itself: totals against raw events, counts against the ledger."""

from __future__ import annotations

from string import Template

from agents.store.connection import Connection, query_text
from pipeline.meter_sql import meter_sql, quoted
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
