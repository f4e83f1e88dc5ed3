"""Conservation: every offset of a partition ends in exactly one place. Source: design.md §2.5.

What the log says (its end), what the ledger says (counts of a prefix) and what the rows say are three accounts of the
same records; here they are added up against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Records below `covered`, as the ledger counts them; copies are among the accepted."""

    covered: int = 0
    accepted: int = 0
    corrections: int = 0
    dead_letters: int = 0
    controls: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows below the covered offset. Copies in one partition are one row; `late` and the like label counted events."""

    events: int = 0
    duplicates: int = 0
    """Later copies of a row in another place: retracted, equal content."""
    conflicts: int = 0
    """The same, other content."""
    corrected: int = 0
    """Taken out by a producer's correction; a replacement counts with the correction that brought it."""
    late: int = 0
    unattributed: int = 0
    unmetered: int = 0
    corrections: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class PartitionAccount:
    """Where the records of one partition ended, or of several together."""

    name: str
    produced: int
    """Offsets that the log has given out so far; those past their retention included."""
    ledger: LedgerCounts
    rows: RowCounts

    @property
    def counted(self) -> int:
        """Events that count."""
        return self.rows.events - self.rows.duplicates - self.rows.conflicts - self.rows.corrected

    @property
    def duplicates(self) -> int:
        """Further copies of an event: those that collapsed into its row, and those that were retracted."""
        return self.ledger.accepted - self.rows.events + self.rows.duplicates

    @property
    def pending(self) -> int:
        """Offsets that are not stored yet."""
        return self.produced - self.ledger.covered

    @property
    def ended(self) -> int:
        """All outcomes together: what must be equal to what was produced."""
        rows = self.rows
        taken_out = rows.conflicts + rows.corrected + rows.corrections + rows.dead_letters
        return self.counted + self.duplicates + taken_out + self.ledger.controls + self.pending


def differences(account: PartitionAccount) -> Iterator[str]:
    """What does not add up in a partition, in words; nothing if every record ended in one place."""
    ledger, rows = account.ledger, account.rows
    for what, expected, found in (
        ("offsets produced and outcomes", account.produced, account.ended),
        ("offsets covered and records in the ledger", ledger.covered, _in_ledger(ledger)),
        ("corrections in the ledger and rows", ledger.corrections, rows.corrections),
        ("dead letters in the ledger and rows", ledger.dead_letters, rows.dead_letters),
        ("missing ranges in the ledger", 0, ledger.gaps),
    ):
        if expected != found:
            yield f"{account.name}: {what}: {expected:,} and {found:,}"
    if rows.events > ledger.accepted:
        yield f"{account.name}: {rows.events:,} rows of events, but only {ledger.accepted:,} were accepted"
    if account.pending < 0:
        yield f"{account.name}: {ledger.covered:,} is stored but the log ends at {account.produced:,}"


def _in_ledger(ledger: LedgerCounts) -> int:
    return ledger.accepted + ledger.corrections + ledger.dead_letters + ledger.controls


def total(accounts: Sequence[PartitionAccount]) -> PartitionAccount:
    """All partitions together."""
    return PartitionAccount(
        "total",
        sum(account.produced for account in accounts),
        LedgerCounts(*(sum(getattr(a.ledger, f.name) for a in accounts) for f in fields(LedgerCounts))),
        RowCounts(*(sum(getattr(a.rows, f.name) for a in accounts) for f in fields(RowCounts))),
    )
