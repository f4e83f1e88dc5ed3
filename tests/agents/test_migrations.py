"""Migrations: files are numbered, applied once, never edited, and a run that was killed goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agents.store.migrations import (
    Applied,
    HistoryEdited,
    Migration,
    MigrationInvalid,
    available,
    pending,
    split,
)

FIRST = Migration(1, "usage", "CREATE TABLE a (x UInt8); CREATE TABLE b (x UInt8)")
SECOND = Migration(2, "views", "CREATE VIEW v AS SELECT 1")


def applied(migration: Migration, statement: int, *, done: bool = True) -> Applied:
    return Applied(migration.number, statement, migration.name, migration.checksum, done)


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", ()),
        ("-- only; a comment\n/* and; another */ ;", ()),
        ("SELECT 1", ("SELECT 1",)),
        ("SELECT 1;", ("SELECT 1",)),
        ("SELECT 1; SELECT 2", ("SELECT 1", "SELECT 2")),
        ("SELECT ';' ; SELECT 2", ("SELECT ';'", "SELECT 2")),
        ("SELECT 'it''s; ' ; SELECT 2", ("SELECT 'it''s; '", "SELECT 2")),
        (r"SELECT 'a\';' ; SELECT 2", (r"SELECT 'a\';'", "SELECT 2")),
        ('SELECT 1 AS "a;b" ; SELECT 2', ('SELECT 1 AS "a;b"', "SELECT 2")),
        ("SELECT 1 AS `a;b` ; SELECT 2", ("SELECT 1 AS `a;b`", "SELECT 2")),
        ("SELECT $x$ ; ' $x$ ; SELECT 2", ("SELECT $x$ ; ' $x$", "SELECT 2")),
        ("SELECT 1 -- it's; fine\n; SELECT 2", ("SELECT 1 -- it's; fine", "SELECT 2")),
        ("/* it's; */ SELECT 1; -- end;", ("/* it's; */ SELECT 1",)),
    ],
)
def test_a_semicolon_ends_a_statement_only_outside_comments_and_quotes(sql: str, statements: tuple[str, ...]) -> None:
    assert split(sql) == statements


@pytest.mark.parametrize("sql", ["SELECT 'open", 'SELECT "open', "SELECT `open", "SELECT 1 /* open"])
def test_text_without_an_end_is_refused_instead_of_split_wrongly(sql: str) -> None:
    with pytest.raises(ValueError, match="without an end"):
        split(sql)


def test_a_new_database_needs_every_statement_of_every_file_in_order() -> None:
    steps = pending([FIRST, SECOND], [])
    assert [(step.migration.number, step.statement, step.resumed) for step in steps] == [
        (1, 1, False),
        (1, 2, False),
        (2, 1, False),
    ]


def test_an_applied_statement_is_not_run_again_and_a_begun_one_is_resumed() -> None:
    steps = pending([FIRST, SECOND], [applied(FIRST, 1), applied(FIRST, 2, done=False)])
    assert [(step.migration.number, step.statement, step.resumed) for step in steps] == [(1, 2, True), (2, 1, False)]


def test_one_changed_character_in_an_applied_file_is_refused_with_its_name_and_both_checksums() -> None:
    edited = replace(FIRST, sql=FIRST.sql + " ")
    with pytest.raises(HistoryEdited, match=f"0001_usage.sql.*{FIRST.checksum[:12]}.*{edited.checksum[:12]}"):
        pending([edited, SECOND], [applied(FIRST, 1)])


def test_an_applied_file_that_was_renamed_or_removed_is_refused() -> None:
    with pytest.raises(HistoryEdited, match=r"0001_usage.sql.*now named 0001_other.sql"):
        pending([replace(FIRST, name="other")], [applied(FIRST, 1)])
    with pytest.raises(HistoryEdited, match=r"0002_views.sql was applied.*not among the files"):
        pending([FIRST], [applied(FIRST, 1), applied(FIRST, 2), applied(SECOND, 1)])


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (("0002_b.sql",), "expected number 0001"),
        (("0001_a.sql", "0003_c.sql"), "expected number 0002"),
        (("0001_a.sql", "0001_b.sql"), "expected number 0002"),
        (("1_a.sql",), "NNNN_what_it_does.sql"),
    ],
)
def test_migration_numbers_have_no_gaps_and_no_copies(tmp_path: Path, names: tuple[str, ...], complaint: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationInvalid, match=complaint):
        available(tmp_path)


@pytest.mark.parametrize("migration", available(), ids=lambda migration: migration.file)
def test_every_file_that_ships_is_numbered_and_holds_statements(migration: Migration) -> None:
    assert migration.statements
