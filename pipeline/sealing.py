"""Which five-minute panes to seal: those that ended by a covered tick and were touched since they were last sealed.

Source: design.md §5, "Totals". A pane is dirty while the ledger names it beyond the vector it was sealed at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

PANE_S = 300


def covers(coverage: Mapping[int, int], vector: Sequence[int]) -> bool:
    """Whether everything below a vector is stored."""
    return all(coverage.get(partition, 0) >= end for partition, end in enumerate(vector))


def vector_of(coverage: Mapping[int, int], partitions: int) -> list[int]:
    """Coverage as a vector: an entry for every partition, 0 for one of which nothing is stored."""
    width = max([partitions, *(partition + 1 for partition in coverage)])
    return [coverage.get(partition, 0) for partition in range(width)]


def ended_panes(panes: Sequence[int], tick_time: datetime) -> tuple[int, ...]:
    """The panes (unix time ÷ 300) that ended at or before a tick, ascending."""
    limit = int(tick_time.timestamp()) // PANE_S
    return tuple(sorted(pane for pane in panes if pane < limit))


def chunks(panes: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Runs of at most `size` panes: a statement has a length limit."""
    for start in range(0, len(panes), size):
        yield panes[start : start + size]
