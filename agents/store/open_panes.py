"""Which panes do not hold everything that is stored, followed in memory: what has come since is read, no more.

`refresh` reads seals first, then the ledger: a pane that is not open has totals of everything below `vector`, and of
nothing else that the ledger named by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.store.connection import Connection
from agents.topics import USAGE_EVENTS
from pipeline.meters.sealing import PANE_S
from pipeline.meters.vectors import covers, padded
from schemas.catalogue_entry import MeterEntry

SEALS = """
SELECT intDiv(toUnixTimestamp(pane), 300), argMax(vector, ver), max(ver) AS newest FROM seals
WHERE meter = {meter:String} AND meter_version = {version:String} AND ver > {after:UInt64} GROUP BY pane
"""
ROWS = """
SELECT k_partition, first_offset, next_offset, panes FROM ledger
WHERE topic = {topic:String} AND next_offset > {seen:Array(UInt64)}[k_partition + 1]
ORDER BY k_partition, first_offset, next_offset
"""


@dataclass(slots=True)
class _Sealed:
    """Seals of a meter version, and its panes that are open."""

    after: int = 0
    vectors: dict[int, Sequence[int]] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)
    """Since it was looked at last."""


class OpenPanes:
    """The stored vector, and the open panes of each meter version."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self._db = connection
        self.vector: tuple[int, ...] = (0,) * partitions
        self._ends = [0] * partitions
        """The farthest row that was read, which may lie beyond a gap."""
        self._ahead: list[tuple[int, int, int]] = []
        self._touched: dict[int, list[int]] = {}
        self._begun: set[int] = set()
        self._sealed: dict[tuple[str, str], _Sealed] = {}

    def refresh(self, entries: Sequence[MeterEntry], corrected: Sequence[int] = ()) -> None:
        """Reads what was sealed and stored since the last time."""
        for entry in entries:
            self._read_seals(entry)
        self._read_ledger()
        for pane in corrected:
            self._touch(pane, list(self.vector))
        for entry in entries:
            self._look(self._sealed[entry.name, entry.version])

    def of(self, entry: MeterEntry) -> frozenset[int]:
        """The open panes of a meter version (unix time / 300)."""
        return frozenset(self._sealed[entry.name, entry.version].open)

    def _read_seals(self, entry: MeterEntry) -> None:
        key = (entry.name, entry.version)
        if key not in self._sealed:
            self._sealed[key] = _Sealed(touched=set(self._touched))
        sealed = self._sealed[key]
        parameters = {"meter": entry.name, "version": entry.version, "after": sealed.after}
        for pane, vector, version in self._db.tuples(SEALS, parameters):
            sealed.vectors[pane] = tuple(vector)
            sealed.after = max(sealed.after, version)
            if pane in sealed.open and covers(vector, self._touched.get(pane, ())):
                sealed.open.discard(pane)

    def _read_ledger(self) -> None:
        rows = self._db.tuples(ROWS, {"topic": USAGE_EVENTS, "seen": self._ends})
        for partition, first, following, panes in rows:
            if partition >= len(self._ends):
                grown = partition + 1 - len(self._ends)
                self._ends += [0] * grown
                self.vector += (0,) * grown
            self._ends[partition] = max(self._ends[partition], following)
            self._ahead.append((partition, first, following))
            ends = [0] * len(self._ends)
            ends[partition] = following
            for pane in panes:
                self._touch(pane, ends)
        self._advance()

    def _advance(self) -> None:
        """The contiguous part of what was read."""
        vector, ahead = list(self.vector), []
        for partition, first, following in sorted(self._ahead):
            if first <= vector[partition] or partition not in self._begun:  # an adopted log begins later
                self._begun.add(partition)
                vector[partition] = max(vector[partition], following)
            else:
                ahead.append((partition, first, following))
        self.vector, self._ahead = tuple(vector), ahead

    def _touch(self, pane: int, ends: Sequence[int]) -> None:
        before = self._touched.get(pane, ())
        width = max(len(before), len(ends))
        self._touched[pane] = list(map(max, padded(before, width), padded(ends, width)))
        for sealed in self._sealed.values():
            sealed.touched.add(pane)

    def _look(self, sealed: _Sealed) -> None:
        """What was touched beyond the seal is open."""
        for pane in sealed.touched:
            if not covers(sealed.vectors.get(pane, ()), self._touched[pane]):
                sealed.open.add(pane)
        sealed.touched.clear()


def spans(panes: frozenset[int]) -> list[tuple[int, int]]:
    """Runs of panes as [start, end) in milliseconds."""
    found: list[tuple[int, int]] = []
    for pane in sorted(panes):
        start, end = pane * PANE_S * 1000, (pane + 1) * PANE_S * 1000
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
