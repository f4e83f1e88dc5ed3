"""The accounts of usage.events, by partition: log, ledger and rows side by side; for `tally reconcile` and the demo."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agents.catalogue import CatalogueLog
from agents.ledger import Ledger
from agents.store.reconciliation import ReconciliationStore
from agents.topics import USAGE_EVENTS
from pipeline.reconciliation import LedgerCounts, PartitionAccount, RowCounts


async def metered_types(catalogue: CatalogueLog) -> frozenset[str]:
    """Event types that some meter of the catalogue counts."""
    found = await catalogue.newest()
    return frozenset(kind for entry in found.meters.values() for kind in entry.meter.event_types)


def partition_accounts(
    ends: Sequence[int], ledger: Ledger, reconciliation: ReconciliationStore, metered: Collection[str]
) -> tuple[PartitionAccount, ...]:
    """One account per partition; `ends` are the log's next offsets, read before the tables are."""
    partitions = range(len(ends))
    gaps = reconciliation.ledger_gaps()
    counts = [
        LedgerCounts(
            row.next_offset, row.events, row.corrections, row.dead_letters, row.controls,
            gaps.get((USAGE_EVENTS, partition), 0),
        )
        for partition, row in sorted(ledger.ends(USAGE_EVENTS, partitions).items())
    ]  # fmt: skip
    rows = reconciliation.row_counts(USAGE_EVENTS, [count.covered for count in counts], metered)
    return tuple(
        # What was stored after the ends were read had been produced.
        PartitionAccount(f"{USAGE_EVENTS}/{p}", max(ends[p], counts[p].covered), counts[p], rows.get(p, RowCounts()))
        for p in partitions
    )
