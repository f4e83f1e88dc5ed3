"""Sealed totals: which panes are dirty, and the statements that seal them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from string import Template
from typing import NamedTuple

from agents.store.billing import BillingStore
from agents.store.connection import Connection, Work, query_text
from agents.topics import USAGE_EVENTS
from pipeline.meters.meter_sql import meter_sql, quoted
from pipeline.meters.sealing import PANE_S, LedgerRange
from pipeline.meters.usage_sql import decimal_sql, sum_sql
from pipeline.meters.vectors import padded
from schemas.catalogue_entry import MeterEntry, PlanEntry
from schemas.tick import Tick

AUDIT_UNIT = 1 << 40
SECOND = timedelta(seconds=1)


class Known(NamedTuple):
    """The last tick that was audited, and how many corrections and retractions there are."""

    audited: int
    corrections: int
    retractions: int

    @property
    def is_plain(self) -> bool:
        """Whether every stored event counts that is no copy within its partition."""
        return not self.corrections and not self.retractions


class TotalsStore:
    """What the sealer asks of ClickHouse."""

    def __init__(self, connection: Connection, billing: BillingStore) -> None:
        self._db, self._billing = connection, billing

    def last_tick(self) -> Tick | None:
        """The newest tick."""
        return self._billing.last_tick()

    def coverage(self) -> Mapping[int, int]:
        """Partition -> contiguous `next_offset` of usage.events."""
        return self._billing.coverage(USAGE_EVENTS)

    def touched_panes(self, entry: MeterEntry) -> dict[int, bool]:
        """Pane -> whether it was sealed before, of what the ledger names beyond the pane's seal."""
        asked = {"meter": entry.name, "version": entry.version, "topic": USAGE_EVENTS}
        return {pane: bool(is_sealed) for pane, is_sealed in self._db.tuples(query_text("touched_panes"), asked)}

    def sealed_panes(self, entry: MeterEntry) -> int:
        """How many panes of a meter version are sealed."""
        rows = self._db.tuples(
            "SELECT uniqExact(pane) FROM seals WHERE meter = {meter:String} AND meter_version = {version:String}",
            {"meter": entry.name, "version": entry.version},
        )
        return int(rows[0][0])

    def corrected_panes(self, before: Sequence[int], coverage: Sequence[int]) -> tuple[int, ...]:
        """Panes whose totals change by the corrections in `[before, coverage)`; sealed or not, of any meter."""
        bound = {"before": padded(before, len(coverage)), "usage": list(coverage)}
        rows = self._db.tuples(query_text("corrected_panes"), bound)
        return tuple(row[0] for row in rows)

    def erased_to(self) -> int:
        """The offset of billing.erasures behind the last erasure that was carried out."""
        return self._billing.erased_to()

    def audited_tick(self) -> int:
        """Number of the last tick whose vector was audited; 0 before the first."""
        return self._billing.audited_tick()

    def ledger_beyond(self, covered: Sequence[int]) -> list[LedgerRange]:
        """Ranges of usage.events that are stored beyond a coverage, with the panes that they touch; in order."""
        ends = [f"(k_partition = {partition} AND next_offset > {end})" for partition, end in enumerate(covered)]
        beyond = " OR ".join([*ends, f"k_partition >= {len(covered)}"])
        sql = Template(query_text("ledger_beyond")).substitute(beyond=beyond)
        return [LedgerRange(*row) for row in self._db.tuples(sql, {"topic": USAGE_EVENTS})]

    def sealed_among(self, panes: Collection[int]) -> set[tuple[str, str, int]]:
        """(meter, version, pane) of those that are sealed."""
        if not panes:
            return set()
        asked = {"panes": list(panes), "starts": _start(min(panes)), "ends": _start(max(panes))}
        return {(row[0], row[1], row[2]) for row in self._db.tuples(query_text("sealed_among"), asked)}

    def known(self) -> Known:
        """What was audited, and whether anything was corrected or retracted; asked after the coverage it goes with."""
        rows = self._db.tuples(
            "SELECT (SELECT max(tick) FROM audits), (SELECT count() FROM corrections), "
            "(SELECT count() FROM retractions)"
        )
        return Known(*(int(count or 0) for count in rows[0]))

    def seal(
        self, entry: MeterEntry, panes: Sequence[int], coverage: Sequence[int], audited: int, *, work: str = "seal",
        first: bool = False, plain: bool = False,
    ) -> None:  # fmt: skip
        """Writes the totals of panes as of `coverage`, then the seals that say so.

        `first` panes were never sealed: no group can have vanished from them, and none is looked for. `plain` says that
        nothing below the coverage was corrected or retracted.

        `coverage` and `audited`, the last audited tick, are read before: of two seals the one that knew of more audits
        wins, then the one that covered more; what the winner did not cover, the ledger still names.
        """
        version = audited * AUDIT_UNIT + sum(coverage)
        self._db.execute(_seal_sql(entry, panes, first=first, plain=plain), {
            "meter": entry.name, "version": entry.version, "usage": list(coverage), "ver": version,
            "starts": _start(panes[0]), "ends": _start(panes[-1] + 1),
        }, work=Work(work, entry.name, entry.version))  # fmt: skip
        self._db.insert("seals", ("meter", "meter_version", "pane", "ver", "vector"), [
            (entry.name, entry.version, _start(pane), version, list(coverage)) for pane in panes
        ])  # fmt: skip

    def groups(self) -> dict[tuple[str, str], int]:
        """(meter, version) -> the most groups that a customer has in a period that is not billed."""
        found = self._db.tuples("SELECT meter, meter_version, max(groups) FROM v_meter_groups GROUP BY ALL")
        return {(meter, version): int(groups) for meter, version, groups in found}

    def replace_metered_events(self, entries: Sequence[MeterEntry]) -> None:
        """Makes the views over events what the catalogue's meters count, one branch per meter version.

        `metered_events` is the open tail, `measured_events` everything; `metered_types` are the event types that some
        meter counts, `meter_kinds` says how each version combines values.
        """
        if not entries:
            return
        for view in ("metered_events", "measured_events"):
            branches = [
                Template(query_text(f"{view}_branch")).substitute(
                    meter=quoted(entry.name), version=quoted(entry.version), group=parts.group, valid=parts.valid,
                    value=parts.value, where=parts.where,
                )
                for entry in entries
                for parts in (meter_sql(entry.meter),)
            ]  # fmt: skip
            self._db.execute(f"CREATE OR REPLACE VIEW {view} AS\n" + "\nUNION ALL\n".join(branches))
        types = sorted({quoted(kind) for entry in entries for kind in entry.meter.event_types})
        kinds = ", ".join(
            f"({quoted(entry.name)}, {quoted(entry.version)}, {quoted(entry.meter.aggregation)})" for entry in entries
        )
        self._db.execute(
            "CREATE OR REPLACE VIEW meter_kinds AS SELECT row.1 AS meter, row.2 AS meter_version, "
            f"row.3 AS aggregation FROM (SELECT arrayJoin([{kinds}]) AS row)"
        )
        self._db.execute(f"CREATE OR REPLACE VIEW metered_types AS SELECT arrayJoin([{', '.join(types)}]) AS type")

    def replace_late_horizons(self, plans: Sequence[PlanEntry]) -> None:
        """Makes the view `late_horizons` what the catalogue's plans say."""
        rows = [
            f"({quoted(plan.name)}, {quoted(plan.version)}, {plan.plan.late_usage.horizon // SECOND})" for plan in plans
        ]
        if rows:
            self._db.execute(
                "CREATE OR REPLACE VIEW late_horizons AS SELECT row.1 AS plan, row.2 AS plan_version, "
                f"toUInt64(row.3) AS horizon_s FROM (SELECT arrayJoin([{', '.join(rows)}]) AS row)"
            )


def _seal_sql(entry: MeterEntry, panes: Sequence[int], *, first: bool, plain: bool) -> str:
    parts = meter_sql(entry.meter)
    listed = ", ".join(str(pane) for pane in panes)
    types = ", ".join(quoted(kind) for kind in entry.meter.event_types)
    counted = Template(query_text("plain_events" if plain else "counted_events")).substitute(types=types, subjects="1")
    sums = Template(query_text("pane_sums")).substitute(
        group=parts.group, valid=parts.valid, value=parts.value, total=decimal_sql(sum_sql("value")), where=parts.where,
        panes=listed, counted_events=counted,
    )  # fmt: skip
    if not first:
        sums = Template(query_text("vanished_groups")).substitute(pane_sums=sums, panes=listed)
    return Template(query_text("seal_panes")).substitute(pane_sums=sums)


def _start(pane: int) -> datetime:
    return datetime.fromtimestamp(pane * PANE_S, UTC)
