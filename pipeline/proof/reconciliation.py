"""Conservation: every offset of a partition ends in exactly one place. Source: design.md §2.5.

What the log says (its ends), what the rows say and what the ledger says are three accounts of the same records; here
they are added up against each other. The sum is one of stored rows: counters only have to agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Records below the covered offset, as the ledger counts them; copies are among the accepted."""

    accepted: int = 0
    corrections: int = 0
    dead_letters: int = 0
    controls: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of a range of offsets, by what became of the records; `late` and the like label counted events."""

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
    copies: int = 0
    """Copies in their own partition, which collapsed into the first: equal content."""
    conflicting_copies: int = 0
    """The same, other content."""
    controls: int = 0
    """Offsets at which the log has no record: transaction markers, aborted and compacted records."""
    expired: int = 0
    """Offsets that were beyond the log's retention when they were looked at: what stood there is not known."""
    positions: int = 0
    """Different offsets that have a row: as many as there are rows, unless one stands in two."""


@dataclass(frozen=True, slots=True)
class PartitionAccount:
    """Where the records of a range of a partition ended, or of several together."""

    name: str
    start: int
    end: int
    """Offset behind the last record of the range; those past their retention are in it."""
    covered: int
    """How far the range is stored; from `start` to `end`."""
    rows: RowCounts
    ledger: LedgerCounts | None = None
    """Only of a range that begins with the log: its counts are of prefixes."""

    @property
    def produced(self) -> int:
        """Offsets that the log has given out in the range."""
        return self.end - self.start

    @property
    def counted(self) -> int:
        """Events that count."""
        return self.rows.events - self.rows.duplicates - self.rows.conflicts - self.rows.corrected

    @property
    def duplicates(self) -> int:
        """Further copies of an event, wherever they stood, with equal content."""
        return self.rows.duplicates + self.rows.copies

    @property
    def conflicts(self) -> int:
        """Further copies of an event, wherever they stood, with other content."""
        return self.rows.conflicts + self.rows.conflicting_copies

    @property
    def empty(self) -> int:
        """Offsets without a record, as far as the log can still say."""
        return self.rows.controls + self.rows.expired

    @property
    def pending(self) -> int:
        """Offsets that are not stored yet."""
        return self.end - self.covered

    @property
    def ended(self) -> int:
        """All outcomes together: what must be equal to what was produced."""
        rows = self.rows
        taken_out = self.duplicates + self.conflicts + rows.corrected
        return self.counted + taken_out + rows.corrections + rows.dead_letters + self.empty + self.pending


def differences(account: PartitionAccount) -> Iterator[str]:
    """What does not add up in a partition, in words; nothing if every record ended in one place."""
    rows = account.rows
    stored = rows.events + rows.copies + rows.conflicting_copies + rows.corrections + rows.dead_letters
    found = [
        ("offsets produced and outcomes", account.produced, account.ended),
        ("positions and rows at them", rows.positions, stored),
    ]
    if (ledger := account.ledger) is not None:
        in_ledger = ledger.accepted + ledger.corrections + ledger.dead_letters + ledger.controls
        found += [
            ("offsets covered and records in the ledger", account.covered - account.start, in_ledger),
            ("corrections in the ledger and rows", ledger.corrections, rows.corrections),
            ("dead letters in the ledger and rows", ledger.dead_letters, rows.dead_letters),
            ("missing ranges in the ledger", 0, ledger.gaps),
        ]
        if not rows.expired:
            accepted = rows.events + rows.copies + rows.conflicting_copies
            found.append(("accepted records in the ledger and rows", ledger.accepted, accepted))
            found.append(("empty offsets in the ledger and in the log", ledger.controls, rows.controls))
    for what, expected, actual in found:
        if expected != actual:
            yield f"{account.name}: {what}: {expected:,} and {actual:,}"
    if account.pending < 0:
        yield f"{account.name}: {account.covered:,} is stored but the log ends at {account.end:,}"


def total(accounts: Sequence[PartitionAccount]) -> PartitionAccount:
    """All partitions together."""
    ledgers = [account.ledger for account in accounts if account.ledger is not None]
    rows = [account.rows for account in accounts]
    return PartitionAccount(
        "total",
        sum(account.start for account in accounts),
        sum(account.end for account in accounts),
        sum(account.covered for account in accounts),
        RowCounts(*(sum(getattr(each, f.name) for each in rows) for f in fields(RowCounts))),
        LedgerCounts(*(sum(getattr(each, f.name) for each in ledgers) for f in fields(LedgerCounts)))
        if len(ledgers) == len(accounts)
        else None,
    )
