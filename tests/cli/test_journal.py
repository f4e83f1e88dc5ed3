"""The journal: every book has an account, a chart is checked, both forms hold the same and add up to zero."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from agents.cli.failures import NotFound, Refused
from agents.cli.journal import CHART, chart_of, rows_of, unbalanced, write
from agents.store.ledger_looks import Entry
from schemas.posting import Book

AT = datetime(2027, 2, 1, tzinfo=UTC)


def entry(book: str, amount: str, transaction: str = "t") -> Entry:
    return Entry(AT, transaction, "acme", "EUR", book, Decimal(amount), "invoiced", "d", "")


SALE = [entry("receivable", "24.00"), entry("revenue", "-20.00"), entry("tax", "-4.00")]


def test_every_book_has_an_account_of_its_own() -> None:
    assert set(get_args(Book)) <= CHART.keys()
    assert len(set(CHART.values())) == len(CHART)


def test_csv_and_json_lines_hold_the_same_journal(tmp_path: Path) -> None:
    files = tmp_path / "journal.csv", tmp_path / "journal.jsonl"
    assert [write(file, rows_of(SALE, CHART), as_lines=file.suffix == ".jsonl") for file in files] == [3, 3]
    with files[0].open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert rows == [json.loads(line) for line in files[1].read_text().splitlines()]
    assert [(row["account"], row["debit"], row["credit"]) for row in rows] == [
        ("1200", "24", ""), ("4000", "", "20"), ("2200", "", "4"),
    ]  # fmt: skip


def test_a_transaction_that_does_not_add_up_is_named() -> None:
    assert unbalanced(SALE) == []
    assert unbalanced([*SALE, entry("cash", "0.01", "other")]) == ["transaction other: 0.01 left"]


def test_a_chart_names_only_books_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "chart.toml"
    for text in ('tax = "3800"\n', "[accounts]\ntax = 3800\n"):
        file.write_text(text)
        assert chart_of(file)["tax"] == "3800"
        assert chart_of(file)["cash"] == CHART["cash"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [('sales = "1"', "sales: no such book; there are cash, "), ("tax = true", 'tax: must be the number of an account'),
     ("tax = ", "is not TOML"), ('accounts = "x"', "accounts: must be a table")],
)  # fmt: skip
def test_a_faulty_chart_is_refused_with_the_book(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "chart.toml"
    file.write_text(text)
    with pytest.raises(Refused, match=fault):
        chart_of(file)


def test_a_chart_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        chart_of(tmp_path / "none.toml")
