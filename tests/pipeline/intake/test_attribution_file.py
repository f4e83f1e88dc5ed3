"""A CSV of attributions: a header, a subject per line, and every fault with its line."""

from __future__ import annotations

import pytest

from pipeline.intake.attribution_file import Owner, read_owners


def test_columns_may_come_in_any_order_and_only_subject_must_be_there() -> None:
    text = "customer, from ,subject\nacme,2026-10-01,k1\n, ,k2\n"
    assert read_owners(text) == ((Owner("k1", "acme", "2026-10-01", 2), Owner("k2", "", "", 3)), ())
    assert read_owners("subject\nk1\n") == ((Owner("k1", "", "", 2),), ())


def test_quotes_commas_and_a_byte_order_mark_are_read_as_spreadsheets_write_them() -> None:
    assert read_owners('\ufeffsubject,customer\r\n"a,b","c ""d"""\r\n')[0] == (Owner("a,b", 'c "d"', "", 2),)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["line 1: there must be a column subject; the columns are subject, customer, from"]),
        ("k1,acme\n", ["line 1: unknown column 'k1'", "line 1: unknown column 'acme'", "line 1: there must be"]),
        ("subject,subject\na,b\n", ["line 1: column 'subject' is there twice"]),
        ("subject,customer\n,acme\nk1,acme,x\nk2,acme\n", ["line 2: subject: is missing", "line 3: has more values"]),
        ('subject\n"k1\n', ["line 2: unexpected end of data"]),
    ],
)
def test_every_fault_is_told_with_its_line(text: str, faults: list[str]) -> None:
    found = read_owners(text)[1]
    assert [fault[: len(wanted)] for fault, wanted in zip(found, faults, strict=True)] == faults
