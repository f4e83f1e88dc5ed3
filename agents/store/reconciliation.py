"""What was stored, compared with itself: totals against raw events, counts against the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from string import Template

from agents.store.connection import Connection, Work, query_text
from pipeline.meters.day_sql import columns_sql, rows_sql, types_of
from pipeline.meters.meter_sql import meter_sql, quoted
from pipeline.meters.sealing import PANE_S
from pipeline.proof.reconciliation import RowCounts
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
            work=Work("gate", ((entry.name, entry.version),)),
        )
        rows += self._corrected(fragments, parameters)
        return {customer: _said(entry, f"{panes} panes", *sums) for customer, panes, *sums in rows}

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

    def differing_days(self, tick: Tick, entry: MeterEntry, days: Mapping[date, int]) -> dict[str, str]:
        """Customers for whom sealed days differ from raw events as of the vectors they were computed under, and how.

        `days` are days with the ticks of their seals, as a close takes them.
        """
        group, columns = columns_sql([entry])
        counted = Template(query_text("counted_events")).substitute(types=types_of([entry]), subjects="1")
        sql = Template(query_text("day_differences")).substitute(
            rows=rows_sql([entry]), group=group, columns=columns, counted_events=counted,
            attributions_as_of=query_text("attributions_as_of"),
        )  # fmt: skip
        found = {}
        for (sealed, vector), some in self._by_seal(entry, days).items():
            for customer, count, *sums in self._db.tuples(sql, {
                "meter": entry.name, "version": entry.version, "sealed": sealed, "usage": list(vector), "days": some,
                "starts": _midnight(some[0]), "ends": _midnight(some[-1] + timedelta(days=1)),
                "attributions": tick.vector.end(ATTRIBUTIONS, 0),
            }, work=Work("gate", ((entry.name, entry.version),))):  # fmt: skip
                found[customer] = _said(entry, f"{count} days", *sums)
        return found

    def _by_seal(self, entry: MeterEntry, days: Mapping[date, int]) -> dict[tuple[int, tuple[int, ...]], list[date]]:
        """Tick and vector of a seal -> the days that were computed under it, in order."""
        if not days:
            return {}
        vectors = dict(self._db.tuples(
            "SELECT tick, any(vector) FROM day_seals WHERE meter = {meter:String} AND meter_version = {version:String} "
            "AND tick IN {ticks:Array(UInt64)} GROUP BY tick",
            {"meter": entry.name, "version": entry.version, "ticks": sorted(set(days.values()))},
        ))  # fmt: skip
        found: dict[tuple[int, tuple[int, ...]], list[date]] = {}
        for day, sealed in sorted(days.items()):
            found.setdefault((sealed, tuple(vectors[sealed])), []).append(day)
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


def _said(entry: MeterEntry, what: str, raw_events: int, events: int, raw_value: Decimal, value: Decimal) -> str:
    return (
        f"meter {entry.name}: {what} differ, {raw_events} events raw, {events} in totals, {raw_value} against {value}"
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _start(pane: int) -> datetime:
    return datetime.fromtimestamp(pane * PANE_S, UTC)
