"""Conservation: log, ledger and rows are three accounts of the same records, and any disagreement is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.proof.reconciliation import LedgerCounts, PartitionAccount, RowCounts, differences, total

# 100 offsets: 90 accepted (4 of them copies in place, one a conflict), 3 corrections, 5 dead letters, 2 controls.
LEDGER = LedgerCounts(accepted=90, corrections=3, dead_letters=5, controls=2)
ROWS = RowCounts(
    events=86, duplicates=2, conflicts=1, corrected=3, late=7, corrections=3, dead_letters=5, copies=3,
    conflicting_copies=1, controls=2, positions=98,
)  # fmt: skip
ACCOUNT = PartitionAccount("usage.events/0", 0, 100, 100, ROWS, LEDGER)


def said(account: PartitionAccount) -> list[str]:
    return list(differences(account))


def test_every_record_ends_in_exactly_one_place() -> None:
    assert (ACCOUNT.counted, ACCOUNT.duplicates, ACCOUNT.conflicts, ACCOUNT.pending) == (80, 5, 2, 0)
    assert ACCOUNT.counted + ACCOUNT.duplicates + ACCOUNT.conflicts + 3 + 3 + 5 + 2 == ACCOUNT.ended == 100
    assert said(ACCOUNT) == []


def test_what_is_not_stored_yet_is_an_outcome_and_no_difference() -> None:
    ahead = replace(ACCOUNT, end=140)
    assert (ahead.pending, ahead.ended, said(ahead)) == (40, 140, [])


def test_a_part_of_a_log_adds_up_without_the_ledger_whose_counts_are_of_prefixes() -> None:
    part = replace(ACCOUNT, start=1000, end=1100, covered=1100, ledger=None)
    assert (part.produced, said(part)) == (100, [])


@pytest.mark.parametrize("row", ["events", "copies", "corrections", "dead_letters"])
def test_a_row_that_is_missing_and_a_row_too_many_are_named(row: str) -> None:
    lost = replace(ROWS, **{row: getattr(ROWS, row) - 1}, positions=97)
    assert said(replace(ACCOUNT, rows=lost))[0] == "usage.events/0: offsets produced and outcomes: 100 and 99"
    at_a_position_of_another = replace(ROWS, **{row: getattr(ROWS, row) + 1})
    assert said(replace(ACCOUNT, rows=at_a_position_of_another))[:2] == [
        "usage.events/0: offsets produced and outcomes: 100 and 101",
        "usage.events/0: positions and rows at them: 98 and 99",
    ]


def test_a_row_that_moved_to_the_position_of_another_is_named_though_the_sum_is_right() -> None:
    assert said(replace(ACCOUNT, rows=replace(ROWS, positions=97))) == [
        "usage.events/0: positions and rows at them: 97 and 98"
    ]


def test_a_dead_letter_that_is_not_in_the_table_is_named() -> None:
    assert said(replace(ACCOUNT, rows=replace(ROWS, dead_letters=4, positions=97))) == [
        "usage.events/0: offsets produced and outcomes: 100 and 99",
        "usage.events/0: dead letters in the ledger and rows: 5 and 4",
    ]


def test_a_ledger_whose_counts_are_not_its_offsets_or_not_the_rows_is_named() -> None:
    assert said(replace(ACCOUNT, ledger=replace(LEDGER, controls=1))) == [
        "usage.events/0: offsets covered and records in the ledger: 100 and 99",
        "usage.events/0: empty offsets in the ledger and in the log: 1 and 2",
    ]
    assert said(replace(ACCOUNT, ledger=replace(LEDGER, accepted=91, controls=1))) == [
        "usage.events/0: accepted records in the ledger and rows: 91 and 90",
        "usage.events/0: empty offsets in the ledger and in the log: 1 and 2",
    ]


def test_what_the_log_no_longer_holds_is_an_outcome_of_its_own() -> None:
    expired = replace(ROWS, copies=1, controls=1, expired=3, positions=96)
    assert said(replace(ACCOUNT, rows=expired)) == []


def test_a_missing_range_and_a_log_that_shrank_are_named() -> None:
    assert said(replace(ACCOUNT, ledger=replace(LEDGER, gaps=1))) == [
        "usage.events/0: missing ranges in the ledger: 0 and 1"
    ]
    assert said(replace(ACCOUNT, end=99)) == ["usage.events/0: 100 is stored but the log ends at 99"]


counts = st.integers(0, 1000)


@st.composite
def accounts(draw: st.DrawFn) -> PartitionAccount:
    """A partition in which every record ended in one place."""
    distinct, copies, conflicting, corrections, dead, controls, pending = (draw(counts) for _ in range(7))
    duplicates = draw(st.integers(0, distinct))
    conflicts = draw(st.integers(0, distinct - duplicates))
    corrected = draw(st.integers(0, distinct - duplicates - conflicts))
    accepted = distinct + copies + conflicting
    rows = accepted + corrections + dead
    return PartitionAccount(
        "p",
        0,
        rows + controls + pending,
        rows + controls,
        RowCounts(distinct, duplicates, conflicts, corrected, corrections=corrections, dead_letters=dead, copies=copies,
                  conflicting_copies=conflicting, controls=controls, positions=rows),
        LedgerCounts(accepted, corrections, dead, controls),
    )  # fmt: skip


@given(st.lists(accounts(), min_size=1, max_size=5))
def test_partitions_that_add_up_add_up_together(several: list[PartitionAccount]) -> None:
    together = total(several)
    assert [said(each) for each in (*several, together)] == [[] for _ in range(len(several) + 1)]
    assert together.counted == sum(each.counted for each in several)
    assert together.produced == together.ended


@given(accounts(), st.sampled_from(["accepted", "corrections", "dead_letters", "controls"]), st.integers(1, 9))
def test_one_record_too_many_in_the_ledger_never_goes_unnoticed(found: PartitionAccount, what: str, more: int) -> None:
    assert found.ledger is not None
    ledger = replace(found.ledger, **{what: getattr(found.ledger, what) + more})
    assert said(replace(found, ledger=ledger))
