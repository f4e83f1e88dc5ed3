"""Whole days: which are to be computed, what they add up to, and which a close may take instead of raw events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from string import Template

from agents.store.connection import Connection, Work, query_text
from pipeline.meters.day_sql import columns_sql, rows_sql, together, types_of
from pipeline.meters.vectors import padded
from schemas.catalogue_entry import MeterEntry
from schemas.tick import USAGE, Tick

CURSOR = date(1970, 1, 1)
Version = tuple[str, str]
"""Name and version of a meter."""


@dataclass(frozen=True, slots=True)
class Seal:
    """How a day was last computed."""

    tick: int
    time: datetime
    is_current: bool
    """Whether nothing is known that it did not know."""


class DayTotalsStore:
    """Reads and writes days; every write may be repeated."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def summarise(self, coverage: Sequence[int]) -> None:
        """Notes which days the ledger names below `coverage`, then how far that goes."""
        self._db.execute(query_text("summarise_days"), {"seen": self._seen()})
        self._db.insert("touched_days", ("day", "k_partition", "next_offset"), [
            (CURSOR, partition, end) for partition, end in enumerate(coverage)
        ])  # fmt: skip

    def _seen(self) -> list[int]:
        rows = self._db.tuples(
            "SELECT groupArrayInsertAt(0, 4096)(next_offset, k_partition) FROM touched_days FINAL "
            "WHERE day = '1970-01-01'"
        )
        return [int(end) for end in rows[0][0]]

    def open_corrected(self, before: Sequence[int], coverage: Sequence[int]) -> None:
        """Opens the days that corrections in `[before, coverage)` change."""
        days = self.corrected_days(before, coverage)
        self._db.insert("opened_days", ("day", "because", "known", "vector", "erased_to"), [
            (day, "correction", sum(coverage), list(coverage), 0) for day in days
        ])  # fmt: skip

    def corrected_days(self, before: Sequence[int], coverage: Sequence[int]) -> tuple[date, ...]:
        """Days whose events change by the corrections in `[before, coverage)`."""
        bound = {"before": padded(before, len(coverage)), "usage": list(coverage)}
        within = ("k_offset >= {before:Array(UInt64)}[k_partition + 1] AND k_offset < {usage:Array(UInt64)}"
                  "[k_partition + 1]")  # fmt: skip
        if not self._db.tuples(f"SELECT 1 FROM corrections WHERE {within} LIMIT 1", bound):
            return ()
        return tuple(row[0] for row in self._db.tuples(query_text("corrected_days"), bound))

    def days(self) -> tuple[date, ...]:
        """Days that have events and are kept."""
        rows = self._db.tuples(
            "SELECT DISTINCT day FROM day_touches WHERE day >= (SELECT toDate(max(before)) FROM retirements) "
            "ORDER BY day"
        )
        return tuple(row[0] for row in rows)

    def seals(self) -> dict[Version, dict[date, Seal]]:
        """The newest seal of each day of each meter version."""
        rows = self._db.tuples(
            "SELECT meter, meter_version, day, max(tick) AS sealed, argMax(time, tick), "
            "(meter, meter_version, day, sealed) IN (SELECT meter, meter_version, day, tick FROM sealed_days) "
            "FROM day_seals GROUP BY meter, meter_version, day"
        )
        found: dict[Version, dict[date, Seal]] = {}
        for meter, version, day, tick, time, is_current in rows:
            found.setdefault((meter, version), {})[day] = Seal(tick, time, bool(is_current))
        return found

    def seal(self, entries: Iterable[MeterEntry], day: date, tick: Tick) -> None:
        """Computes a day of some meters under a tick's vector, then says so; meters of the same groups together."""
        starts = datetime(day.year, day.month, day.day, tzinfo=UTC)
        bound = {
            "starts": starts, "ends": starts + timedelta(days=1), "tick": tick.number,
            "usage": list(tick.vector.of(USAGE)),
        }  # fmt: skip
        for some in together(entries):
            retracted, erased_to = self._known(bound)
            self._db.execute(self._text(some), bound, work=Work("seal", some[0].name, some[0].version))
            self._db.insert("day_seals", ("meter", "meter_version", "day", "tick", "time", "vector", "retracted",
                                          "erased_to"), [
                (entry.name, entry.version, day, tick.number, tick.time, bound["usage"], retracted, erased_to)
                for entry in some
            ])  # fmt: skip

    def _text(self, entries: Sequence[MeterEntry]) -> str:
        group, columns = columns_sql(entries)
        counted = Template(query_text("counted_events")).substitute(types=types_of(entries), subjects="1")
        return Template(query_text("seal_day")).substitute(
            rows=rows_sql(entries), group=group, columns=columns, counted_events=counted
        )

    def _known(self, bound: Mapping[str, object]) -> tuple[int, int]:
        rows = self._db.tuples(
            "SELECT (SELECT count() FROM retractions FINAL WHERE toDate(ts) = toDate({starts:DateTime64(3, 'UTC')}) "
            "AND k_offset < {usage:Array(UInt64)}[k_partition + 1]), "
            "(SELECT if(count() = 0, 0, max(k_offset) + 1) FROM erasures)",
            bound,
        )
        return int(rows[0][0]), int(rows[0][1])

    def usable(self, tick: Tick) -> dict[Version, dict[date, int]]:
        """Meter version -> day -> tick of its newest seal, of days that are under the tick what they were then."""
        usage = list(tick.vector.of(USAGE))
        rows = self._db.tuples(query_text("usable_days"), {"tick": tick.number, "usage": usage})
        if not rows:
            return {}
        lowest = [min(ends) for ends in zip(*(padded(row[4], len(usage)) for row in rows), strict=True)]
        changed = set(self.corrected_days(lowest, usage))
        found: dict[Version, dict[date, int]] = {}
        for meter, version, day, sealed, _ in rows:
            if day not in changed:
                found.setdefault((meter, version), {})[day] = sealed
        return found
