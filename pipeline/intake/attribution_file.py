"""Attributions from a CSV file: subject, customer, from; all faults together, each with its line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLUMNS = ("subject", "customer", "from")


@dataclass(frozen=True, slots=True)
class Owner:
    """A line: whose a subject is, and from when as written; empty where the line does not say."""

    subject: str
    customer: str
    effective_from: str
    line: int


def read_owners(text: str) -> tuple[tuple[Owner, ...], tuple[str, ...]]:
    """The lines of a file with a header, and what is wrong with it. Only `subject` must be a column."""
    rows = csv.DictReader(text.removeprefix("\ufeff").splitlines(keepends=True), strict=True)
    try:
        header = tuple(name.strip() for name in rows.fieldnames or ())
        if faults := _header_faults(header):
            return (), faults
        rows.fieldnames = list(header)
        return _owners([(rows.line_num, row) for row in rows])
    except csv.Error as error:
        return (), (f"line {rows.reader.line_num}: {error}",)


def _header_faults(header: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in header if name not in COLUMNS]
    faults = [f"line 1: unknown column {name!r}; the columns are {', '.join(COLUMNS)}" for name in unknown]
    if "subject" not in header:
        faults.append(f"line 1: there must be a column subject; the columns are {', '.join(COLUMNS)}")
    faults += [f"line 1: column {name!r} is there twice" for name in COLUMNS if header.count(name) > 1]
    return tuple(faults)


def _owners(rows: Sequence[tuple[int, Mapping[str | None, object]]]) -> tuple[tuple[Owner, ...], tuple[str, ...]]:
    owners, faults = [], []
    for line, row in rows:
        subject, customer, effective_from = (str(row.get(name) or "").strip() for name in COLUMNS)
        if None in row:
            faults.append(f"line {line}: has more values than the header has columns")
        elif not subject:
            faults.append(f"line {line}: subject: is missing")
        else:
            owners.append(Owner(subject, customer, effective_from, line))
    return tuple(owners), tuple(faults)
