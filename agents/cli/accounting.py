"""The accounts of the logs, by partition: log, ledger and rows side by side; for `tally reconcile` and the demo."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agents.catalogue import CatalogueLog
from agents.ledger import Ledger, LedgerRow
from agents.store.reconciliation import ReconciliationStore
from agents.topics import USAGE_EVENTS
from pipeline.meters.vectors import padded
from pipeline.proof.reconciliation import LedgerCounts, PartitionAccount, RowCounts


@dataclass(frozen=True, slots=True)
class Extent:
    """The part of usage.events that is accounted for, by partition; `covered` of it is stored."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    covered: tuple[int, ...]
    ledger: Mapping[int, LedgerRow] | None
    """The ledger's ends, where the extent is the whole log."""


def whole_log(ends: Sequence[int], ledger: Ledger) -> Extent:
    """Everything; `ends` are the log's next offsets, read before the ledger is."""
    rows = ledger.ends(USAGE_EVENTS, range(len(ends)))
    covered = tuple(rows[partition].next_offset for partition in range(len(ends)))
    # What was stored after the ends were read had been produced.
    return Extent((0,) * len(ends), tuple(map(max, ends, covered)), covered, rows)


def part_of_log(starts: Sequence[int], ends: Sequence[int], ledger: Ledger) -> Extent:
    """From one vector to another."""
    coverage = ledger.coverage(USAGE_EVENTS)
    begins = tuple(padded(starts, len(ends)))
    stored = (min(end, coverage.get(partition, 0)) for partition, end in enumerate(ends))
    return Extent(begins, tuple(ends), tuple(map(max, begins, stored)), None)


async def metered_types(catalogue: CatalogueLog) -> frozenset[str]:
    """Event types that some meter of the catalogue counts."""
    found = await catalogue.newest()
    return frozenset(kind for entry in found.meters.values() for kind in entry.meter.event_types)


def partition_accounts(
    extent: Extent, reconciliation: ReconciliationStore, metered: Collection[str]
) -> tuple[PartitionAccount, ...]:
    """One account per partition; positions without rows must have been settled as far as the extent is covered."""
    gaps = reconciliation.ledger_gaps()
    rows = reconciliation.row_counts(USAGE_EVENTS, extent.starts, extent.covered, metered)
    return tuple(
        PartitionAccount(
            name=f"{USAGE_EVENTS}/{p}",
            start=extent.starts[p],
            end=extent.ends[p],
            covered=extent.covered[p],
            rows=rows.get(p, RowCounts()),
            ledger=None if extent.ledger is None else _in_ledger(extent.ledger[p], gaps.get((USAGE_EVENTS, p), 0)),
        )
        for p in range(len(extent.ends))
    )


def _in_ledger(row: LedgerRow, gaps: int) -> LedgerCounts:
    return LedgerCounts(row.events, row.corrections, row.dead_letters, row.controls, gaps)
