"""Sealed totals: which panes are dirty, and the statements that seal them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from string import Template
from typing import NamedTuple

from agents.store.billing import BillingStore
from agents.store.connection import Connection, Work, query_text
from agents.store.following import Following
from agents.topics import USAGE_EVENTS
from pipeline.meters.day_sql import catalogue_hash, together, types_of
from pipeline.meters.meter_sql import MeterSql, fields_of, fields_sql, meter_sql, quoted
from pipeline.meters.scaled import DECIMALS
from pipeline.meters.sealing import PANE_S, beyond_sql
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
        self.following = Following(connection, billing)

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
        self, entries: Sequence[MeterEntry], panes: Sequence[int], coverage: Sequence[int], audited: int, *,
        work: str = "seal", first: bool = False, plain: bool = False,
    ) -> None:  # fmt: skip
        """Writes the totals of panes of some meters as of `coverage`, then the seals that say so.

        `first` panes were never sealed: no group can have vanished from them, and none is looked for. `plain` says that
        nothing below the coverage was corrected or retracted.

        `coverage` and `audited`, the last audited tick, are read before: of two seals the one that knew of more audits
        wins, then the one that covered more; what the winner did not cover, the ledger still names.
        """
        version = audited * AUDIT_UNIT + sum(coverage)
        bound = {"usage": list(coverage), "ver": version, "starts": _start(panes[0]), "ends": _start(panes[-1] + 1)}
        for some in together(entries):
            text = _seal_sql(some, panes, first=first, plain=plain)
            self._db.execute(text, bound, work=Work(work, tuple((entry.name, entry.version) for entry in some)))
        self._db.insert("seals", ("meter", "meter_version", "pane", "ver", "vector"), [
            (entry.name, entry.version, _start(pane), version, list(coverage)) for entry in entries for pane in panes
        ])  # fmt: skip

    def groups(self) -> dict[tuple[str, str], int]:
        """(meter, version) -> the most groups that a customer has in a period that is not billed."""
        found = self._db.tuples("SELECT meter, meter_version, max(groups) FROM v_meter_groups GROUP BY ALL")
        return {(meter, version): int(groups) for meter, version, groups in found}

    def replace_metered_events(self, entries: Sequence[MeterEntry], partitions: int) -> None:
        """Makes the views over events what the catalogue's meters count.

        `metered_events` is the open tail, read once for all meters, `measured_events` everything; `metered_types` are
        the event types that some meter counts, `meter_kinds` says how each version combines values. Of the ledger's
        first `partitions` only what follows the sealer's vector is read.
        """
        if not entries:
            return
        self._replace_open_tail(entries, partitions)
        branches = [
            Template(query_text("measured_events_branch")).substitute(
                meter=quoted(entry.name), valid=parts.valid, where=parts.where
            )
            for entry in entries
            for parts in (meter_sql(entry.meter),)
        ]
        self._db.execute("CREATE OR REPLACE VIEW measured_events AS\n" + "\nUNION ALL\n".join(branches))
        types = sorted({quoted(kind) for entry in entries for kind in entry.meter.event_types})
        kinds = ", ".join(
            f"({quoted(entry.name)}, {quoted(entry.version)}, {quoted(entry.meter.aggregation)})" for entry in entries
        )
        self._db.execute(
            "CREATE OR REPLACE VIEW meter_kinds AS SELECT row.1 AS meter, row.2 AS meter_version, "
            f"row.3 AS aggregation FROM (SELECT arrayJoin([{kinds}]) AS row)"
        )
        self._db.execute(f"CREATE OR REPLACE VIEW metered_types AS SELECT arrayJoin([{', '.join(types)}]) AS type")

    def _replace_open_tail(self, entries: Sequence[MeterEntry], partitions: int) -> None:
        names = tuple(dict.fromkeys(name for entry in entries for name in fields_of(entry.meter)))
        parts = [meter_sql(entry.meter, names, "fields") for entry in entries]
        columns = [f"{_columns(part, number)}, {part.group} AS grp_{number}" for number, part in enumerate(parts)]
        rows = [
            f"tuple({quoted(entry.name)}, {quoted(entry.version)}, counts_{number}, grp_{number}, number_{number})"
            for number, entry in enumerate(entries)
        ]
        for view, vector in (("open_panes", "tail.1"), ("day_state", "noted.2")):
            beyond = beyond_sql([f"{vector}[{each + 1}]" for each in range(partitions)])
            text = Template(query_text(view)).substitute(catalogue=catalogue_hash(entries), beyond=beyond)
            self._db.execute(text)
        self._db.execute(Template(query_text("metered_events")).substitute(
            rows=", ".join(rows), columns=", ".join(columns), fields=fields_sql(names), types=types_of(entries)
        ))  # fmt: skip

    def note_tail(
        self, entries: Sequence[MeterEntry], panes: Iterable[int], vector: Sequence[int], audited: int
    ) -> None:
        """Says that every pane but these holds, for each of the meters, all that the ledger names below the vector."""
        self._db.insert("open_tails", ("catalogue", "panes", "vector", "audited", "ver"), [
            (catalogue_hash(entries), sorted(panes), list(vector), audited, sum(vector))
        ])  # fmt: skip

    def sealed_beyond(self, audited: int) -> list[tuple[str, str, int, Sequence[int]]]:
        """(meter, version, pane, vector) of seals that knew of a later audit."""
        return list(self._db.tuples(query_text("sealed_beyond"), {"ver": (audited + 1) * AUDIT_UNIT}))

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


def _seal_sql(entries: Sequence[MeterEntry], panes: Sequence[int], *, first: bool, plain: bool) -> str:
    names = tuple(dict.fromkeys(name for entry in entries for name in fields_of(entry.meter)))
    parts = [meter_sql(entry.meter, names, "fields") for entry in entries]
    listed = ", ".join(str(pane) for pane in panes)
    counted = Template(query_text("plain_events" if plain else "counted_events")).substitute(
        types=types_of(entries), subjects="1"
    )
    sums = Template(query_text("pane_sums")).substitute(
        fields=fields_sql(names), group=parts[0].group, total=decimal_sql("row.5"), panes=listed,
        counted_events=counted, columns=", ".join(_columns(part, number) for number, part in enumerate(parts)),
        rows=", ".join(_sums(entry, number) for number, entry in enumerate(entries)),
        counts=" OR ".join(f"counts_{number}" for number in range(len(entries))),
    )  # fmt: skip
    if not first:
        versions = ", ".join(f"({quoted(entry.name)}, {quoted(entry.version)})" for entry in entries)
        sums = Template(query_text("vanished_groups")).substitute(pane_sums=sums, panes=listed, versions=versions)
    return Template(query_text("seal_panes")).substitute(pane_sums=sums)


def _columns(part: MeterSql, number: int) -> str:
    return f"toUInt8({part.where}) AS counts_{number}, {part.number} AS number_{number}"


def _sums(entry: MeterEntry, number: int) -> str:
    value = sum_sql(f"ifNull(number_{number}, toDecimal128(0, {DECIMALS}))", f"counts_{number}")
    invalid = f"countIf(counts_{number} AND isNull(number_{number}))"
    return f"tuple({quoted(entry.name)}, {quoted(entry.version)}, countIf(counts_{number}), {invalid}, {value})"


def _start(pane: int) -> datetime:
    return datetime.fromtimestamp(pane * PANE_S, UTC)
