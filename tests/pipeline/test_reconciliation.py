"""Conservation: log, ledger and rows are three accounts of the same records, and any disagreement is named."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reconciliation import LedgerCounts, PartitionAccount, RowCounts, differences, total

# 100 offsets: 90 accepted (4 of them copies in place), 3 corrections, 5 dead letters, 2 controls.
LEDGER = LedgerCounts(covered=100, accepted=90, corrections=3, dead_letters=5, controls=2)
ROWS = RowCounts(events=86, duplicates=2, conflicts=1, corrected=3, late=7, corrections=3, dead_letters=5)
ACCOUNT = PartitionAccount("usage.events/0", 100, LEDGER, ROWS)


def said(account: PartitionAccount) -> list[str]:
    return list(differences(account))


def test_every_record_ends_in_exactly_one_place() -> None:
    assert (ACCOUNT.counted, ACCOUNT.duplicates, ACCOUNT.pending) == (80, 6, 0)
    assert ACCOUNT.counted + ACCOUNT.duplicates + 1 + 3 + 3 + 5 + 2 == ACCOUNT.ended == 100
    assert said(ACCOUNT) == []


def test_what_is_not_stored_yet_is_an_outcome_and_no_difference() -> None:
    ahead = replace(ACCOUNT, produced=140)
    assert (ahead.pending, ahead.ended, said(ahead)) == (40, 140, [])


def test_a_dead_letter_that_is_not_in_the_table_is_named() -> None:
    assert said(replace(ACCOUNT, rows=replace(ROWS, dead_letters=4))) == [
        "usage.events/0: offsets produced and outcomes: 100 and 99",
        "usage.events/0: dead letters in the ledger and rows: 5 and 4",
    ]


def test_a_ledger_whose_counts_are_not_its_offsets_is_named() -> None:
    assert said(replace(ACCOUNT, ledger=replace(LEDGER, controls=1))) == [
        "usage.events/0: offsets produced and outcomes: 100 and 99",
        "usage.events/0: offsets covered and records in the ledger: 100 and 99",
    ]


def test_a_missing_range_more_rows_than_were_accepted_and_a_log_that_shrank_are_named() -> None:
    assert said(replace(ACCOUNT, ledger=replace(LEDGER, gaps=1))) == [
        "usage.events/0: missing ranges in the ledger: 0 and 1"
    ]
    assert said(replace(ACCOUNT, rows=replace(ROWS, events=91))) == [
        "usage.events/0: 91 rows of events, but only 90 were accepted"
    ]
    assert said(replace(ACCOUNT, produced=99)) == ["usage.events/0: 100 is stored but the log ends at 99"]


counts = st.integers(0, 1000)


@st.composite
def accounts(draw: st.DrawFn) -> PartitionAccount:
    """A partition in which every record ended in one place."""
    distinct, copies, corrections, dead, controls, pending = (draw(counts) for _ in range(6))
    duplicates = draw(st.integers(0, distinct))
    conflicts = draw(st.integers(0, distinct - duplicates))
    corrected = draw(st.integers(0, distinct - duplicates - conflicts))
    accepted = distinct + copies
    covered = accepted + corrections + dead + controls
    return PartitionAccount(
        "p",
        covered + pending,
        LedgerCounts(covered, accepted, corrections, dead, controls),
        RowCounts(distinct, duplicates, conflicts, corrected, corrections=corrections, dead_letters=dead),
    )


@given(st.lists(accounts(), min_size=1, max_size=5))
def test_partitions_that_add_up_add_up_together(several: list[PartitionAccount]) -> None:
    together = total(several)
    assert [said(each) for each in (*several, together)] == [[] for _ in range(len(several) + 1)]
    assert together.counted == sum(each.counted for each in several)
    assert together.produced == together.ended


@given(accounts(), st.sampled_from(["accepted", "corrections", "dead_letters", "controls"]), st.integers(1, 9))
def test_one_record_too_many_in_the_ledger_never_goes_unnoticed(found: PartitionAccount, what: str, more: int) -> None:
    ledger = replace(found.ledger, **{what: getattr(found.ledger, what) + more})
    assert said(replace(found, ledger=ledger))
