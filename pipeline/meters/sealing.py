"""Which five-minute panes to seal: those that ended by a covered tick and were touched since they were last sealed.

Source: design.md §5, "Totals". A pane is dirty while the ledger names it beyond the vector it was sealed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

PANE_S = 300
AT_ONCE = 5_000
"""Events that are read again without asking whether it is worth it."""


PANES_PER_DAY = 86_400 // PANE_S
Named = tuple[date, int]


class LedgerRange(NamedTuple):
    """A range of one partition that is stored, and the panes that its events touch."""

    partition: int
    first_offset: int
    next_offset: int
    panes: Sequence[int]


def followed(covered: Sequence[int], ranges: Iterable[LedgerRange]) -> tuple[list[int], set[int]]:
    """A coverage with the ranges that follow it without a gap, and the panes of these; ranges are in order.

    Where nothing is stored of a partition, its first range begins it: a log may have been retired from its start.
    """
    ends, touched = list(covered), set[int]()
    for partition, first_offset, next_offset, panes in ranges:
        ends += [0] * (partition + 1 - len(ends))
        if first_offset <= ends[partition] or not ends[partition]:
            ends[partition] = max(ends[partition], next_offset)
            touched.update(panes)
    return ends, touched


def beyond_sql(ends: Sequence[str]) -> str:
    """A condition on ledger rows beyond the ends of partitions; each partition is named, so that the key finds them."""
    named = [f"(k_partition = {partition} AND next_offset > {end})" for partition, end in enumerate(ends)]
    return f"({' OR '.join([*named, f'k_partition >= {len(ends)}'])})"


def named_days(before: Mapping[Named, int], ranges: Iterable[LedgerRange]) -> dict[Named, int]:
    """UTC day and partition -> how far the ledger names it, with some ranges more."""
    found = dict(before)
    for partition, _, next_offset, panes in ranges:
        for day in {date(1970, 1, 1) + timedelta(days=pane // PANES_PER_DAY) for pane in panes}:
            found[day, partition] = max(next_offset, found.get((day, partition), 0))
    return found


def ended_panes(panes: Sequence[int], tick_time: datetime) -> tuple[int, ...]:
    """The panes (unix time ÷ 300) that ended at or before a tick, ascending."""
    limit = int(tick_time.timestamp()) // PANE_S
    return tuple(sorted(pane for pane in panes if pane < limit))


def chunks(panes: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Runs of at most `size` panes: a statement has a length limit."""
    for start in range(0, len(panes), size):
        yield panes[start : start + size]


@dataclass(slots=True)
class Pending:
    """What waits to be sealed for a version of a meter; after a restart it is found anew, from ledger and seals.

    Late events touch panes again and again, and to seal those each time costs more than all else: they are sealed again
    once as many events are new as those panes hold, so that an event is read twice for its totals, on average. Readers
    add what came beyond a seal, so that nothing is missing meanwhile.
    """

    stored: int = 0
    """How many records were stored at the last look."""
    first: set[int] = field(default_factory=set)
    """Never sealed."""
    late: set[int] = field(default_factory=set)
    """Sealed, and touched since: they wait until it is worth it."""
    again: set[int] = field(default_factory=set)
    """To be sealed again now: a correction or a retraction changed what was sealed, or enough events are new."""
    sealed: int = 0
    """How many panes were sealed so far."""
    mended_at: int = 0
    """How many records were stored when late events were last made part of their panes."""
    is_known: bool = False
    """Whether a pane of `first` has no totals yet: one that died between totals and seal may have left some."""

    def add(self, touched: Mapping[int, bool], coverage: list[int], corrected: Iterable[int]) -> None:
        """Notes what a look found; `coverage` is what panes are sealed as of now."""
        self.first.update(pane for pane, is_sealed in touched.items() if not is_sealed)
        self.late.update(pane for pane, is_sealed in touched.items() if is_sealed)
        self.again.update(corrected)
        self.stored = sum(coverage)

    def mend(self) -> None:
        """Late events are made part of their panes, if that is worth it by now."""
        held = len(self.late) * self.stored // max(1, self.sealed + len(self.first))
        if self.late and held <= AT_ONCE + self.stored - self.mended_at:
            self.again |= self.late
            self.late, self.mended_at = set(), self.stored

    def waiting(self) -> set[int]:
        """The panes that do not hold all that was stored at the last look."""
        return self.first | self.late | self.again

    def done(self, panes: Iterable[int]) -> None:
        """These were sealed as of what is stored now."""
        self.sealed += len(self.first.intersection(panes))
        for waiting in (self.first, self.late, self.again):
            waiting.difference_update(panes)
