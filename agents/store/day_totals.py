"""Whole days: which are to be computed, what they add up to, and which a close may take instead of raw events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from string import Template

from agents.store.connection import Connection, Work, query_text
from pipeline.meters.day_sql import catalogue_hash, columns_sql, rows_sql, together, types_of
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


@dataclass(frozen=True, slots=True)
class Looked:
    """Days that are sealed, subjects that changed hands within a day, and what was known of the rest."""

    days: tuple[tuple[str, str, date, int], ...]
    splits: tuple[tuple[str, date], ...]
    audited: tuple[int, ...]
    opened: tuple[tuple[date, int, int], ...]
    attributed_to: int

    def without(self, days: Collection[date]) -> Looked:
        """What is left when something came for some days."""
        return replace(self, days=tuple(each for each in self.days if each[2] not in days))


class DayTotalsStore:
    """Reads and writes days; every write may be repeated."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def summarise(self, coverage: Sequence[int]) -> None:
        """Notes which days the ledger names beyond what was noted, then how far that goes."""
        self._db.execute(query_text("summarise_days"), {"seen": self._seen()})
        self.note({}, coverage)

    def note(self, named: Mapping[tuple[date, int], int], coverage: Sequence[int]) -> None:
        """Notes how far days are named, and how far that goes: one insert, so that the one is not without the other."""
        self._db.insert("touched_days", ("day", "k_partition", "next_offset"), [
            *((day, partition, end) for (day, partition), end in named.items()),
            *((CURSOR, partition, end) for partition, end in enumerate(coverage)),
        ])  # fmt: skip

    def _seen(self) -> list[int]:
        rows = self._db.tuples(
            "SELECT groupArrayInsertAt(0, 4096)(next_offset, k_partition) FROM touched_days FINAL "
            "WHERE day = '1970-01-01'"
        )
        return [int(end) for end in rows[0][0]]

    def look(self) -> Looked:
        """Which days are sealed, and what that takes into account beside the ledger, which was read before."""
        ((audited, opened, attributed_to),) = self._db.tuples(query_text("days_known"))
        ((days, splits),) = self._db.tuples(query_text("days_sealed"))
        return Looked(tuple(days), tuple(splits), tuple(audited), tuple(opened), attributed_to)

    def tell(self, found: Looked, entries: Sequence[MeterEntry], coverage: Sequence[int], tick: int) -> None:
        """Tells readers which days are sealed, as far as the ledger goes to `coverage`."""
        versions = Counter(day for name, version, day, _ in found.days if (name, version) in _versions(entries))
        whole = [day for day, count in versions.items() if count == len(entries)]
        columns = ("catalogue", "days", "whole", "splits", "vector", "audited", "opened", "attributed_to", "ver")
        self._db.insert("noted_days", columns, [
            (catalogue_hash(entries), found.days, whole, found.splits, list(coverage), found.audited, found.opened,
             found.attributed_to, tick)
        ])  # fmt: skip

    def open_corrected(self, before: Sequence[int], coverage: Sequence[int]) -> tuple[date, ...]:
        """Opens the days that corrections in `[before, coverage)` change; which those are."""
        days = self.corrected_days(before, coverage)
        self._db.insert("opened_days", ("day", "because", "known", "vector", "erased_to"), [
            (day, "correction", sum(coverage), list(coverage), 0) for day in days
        ])  # fmt: skip
        return days

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
            self._db.execute(
                self._text(some), bound, work=Work("seal", tuple((entry.name, entry.version) for entry in some))
            )
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


def _versions(entries: Iterable[MeterEntry]) -> frozenset[Version]:
    return frozenset((entry.name, entry.version) for entry in entries)
