"""The journal as a file: postings under the account numbers of a chart, as CSV or as JSON lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.store.ledger_looks import Entry

CHART = {
    "cash": "1000", "disputed": "1010", "receivable": "1200", "unbilled_revenue": "1210", "prepaid_credits": "2100",
    "customer_balance": "2110", "unapplied": "2120", "tax": "2200", "deferred_revenue": "2300", "revenue": "4000",
    "breakage": "4900", "bad_debt": "6000", "promotions": "6100", "credits_on_order": "2090",
}  # fmt: skip
"""The default chart of accounts: book -> number. The two that only months close on are those of recognition."""
COLUMNS = ("date", "transaction", "customer", "currency", "account", "book", "debit", "credit", "cause", "document",
           "text")  # fmt: skip


def chart_of(file: Path | None) -> dict[str, str]:
    """The chart of accounts with what a file says otherwise: TOML, `book = "number"`, alone or under `[accounts]`.

    Raises NotFound and Refused, which name the file, the book and what would be right.
    """
    import tomllib

    from agents.cli.failures import NotFound, Refused

    if file is None:
        return CHART
    if not file.is_file():
        raise NotFound(f"{file}: no such file")
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise Refused(f"{file}: is not TOML: {fault}") from None
    own = read.get("accounts", read)
    if not isinstance(own, dict):
        raise Refused(f'{file}: accounts: must be a table, book = "number"')
    for book, number in own.items():
        if book not in CHART:
            raise Refused(f"{file}: {book}: no such book; there are {', '.join(CHART)}")
        if isinstance(number, bool) or not isinstance(number, str | int) or not str(number).strip():
            raise Refused(f'{file}: {book}: must be the number of an account, such as "{CHART[book]}"')
    return CHART | {book: str(number) for book, number in own.items()}


def rows_of(entries: Sequence[Entry], chart: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The postings with their accounts, as text; amounts are positive, on one of two sides."""
    for entry in entries:
        debit, credit = max(entry.amount, Decimal(0)), max(-entry.amount, Decimal(0))
        yield dict(zip(COLUMNS, (
            entry.at.date().isoformat(), entry.transaction, entry.customer, entry.currency, chart[entry.book],
            entry.book, _amount(debit), _amount(credit), entry.cause, entry.document, entry.detail,
        ), strict=True))  # fmt: skip


def _amount(value: Decimal) -> str:
    from schemas.quantity import plain

    return plain(value) if value else ""


def unbalanced(entries: Sequence[Entry]) -> list[str]:
    """Transactions whose postings do not add up to zero; none in books that are right."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        sums[entry.transaction] += entry.amount
    return [f"transaction {name}: {amount} left" for name, amount in sorted(sums.items()) if amount]


def write(file: Path, rows: Iterator[dict[str, str]], *, as_lines: bool) -> int:
    """Writes CSV with a header, or an object a line; how many postings."""
    import csv
    import json

    count = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS)
        if not as_lines:
            writer.writeheader()
        for row in rows:
            count += 1
            if as_lines:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                writer.writerow(row)
    return count
