"""`tally ledger` and `tally statement`: the books, and what a customer owes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.store.ledger_looks import Entry

CHART = {
    "receivable": "1200", "cash": "1000", "disputed": "1010", "prepaid_credits": "2100", "customer_balance": "2110",
    "unapplied": "2120", "tax": "2200", "revenue": "4000", "bad_debt": "6000",
}  # fmt: skip
"""The default chart of accounts of an export: book -> number."""


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command("ledger", rich_help_panel=MONEY, epilog="Example: tally ledger acme --check")(ledger)
    app.command("statement", rich_help_panel=MONEY, epilog="Example: tally statement acme")(statement)


def ledger(
    customer: Annotated[str, typer.Argument(help="Only this customer.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Only check the books; exit code 5 if they do not add up.")] = (
        False
    ),
    export: Annotated[Path | None, typer.Option("--export", help="Write the journal as CSV to this file.")] = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", help="TOML: book = account number, where yours differ.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the trial balance: what stands on each account, per currency; every transaction adds up to zero.

    Checked as well: what customers owe in the books is what their invoices say is open.
    """
    from agents.cli.failures import ProofFailed
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.ledger_looks import LedgerLooks

    screen, looks = Screen(json_only=as_json), LedgerLooks(Connection(load()))
    if export is not None:
        rows = looks.journal(customer)
        _write(export, rows, _chart(chart))
        screen.say(f"{len(rows):,} postings written to {export}")
        return
    faults = looks.faults(customer)
    balances = looks.trial_balance(customer)
    if as_json:
        screen.document({
            "adds_up": not faults, "faults": faults,
            "balances": [{"currency": c, "book": b, "debit": _debit(a), "credit": _debit(-a)} for c, b, a in balances],
        })  # fmt: skip
    elif not check:
        screen.table("trial balance", ("currency", "account", ">debit", ">credit"), [
            (currency, book, _debit(amount), _debit(-amount)) for currency, book, amount in balances
        ])  # fmt: skip
    if faults:
        raise ProofFailed("the books do not add up:\n  " + "\n  ".join(faults))
    screen.say("Every transaction adds up to zero, and the books say what the invoices say.")


def _debit(amount: Decimal) -> str:
    return f"{amount:,f}".rstrip("0").rstrip(".") if amount > 0 else ""


def _chart(file: Path | None) -> dict[str, str]:
    import tomllib

    from agents.cli.failures import NotFound, Refused

    if file is None:
        return CHART
    if not file.is_file():
        raise NotFound(f"{file}: no such file")
    own = tomllib.loads(file.read_text(encoding="utf-8"))
    unknown = sorted(own.keys() - CHART.keys())
    if unknown:
        raise Refused(f"{file}: {unknown[0]}: no such book; there are {', '.join(CHART)}")
    return CHART | {book: str(number) for book, number in own.items()}


def _write(file: Path, rows: list[Entry], chart: dict[str, str]) -> None:
    import csv

    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("date", "transaction", "customer", "currency", "account", "book", "debit", "credit", "cause",
                         "document", "text"))  # fmt: skip
        for row in rows:
            debit, credit = max(row.amount, Decimal(0)), max(-row.amount, Decimal(0))
            writer.writerow((row.at.date().isoformat(), row.transaction, row.customer, row.currency, chart[row.book],
                             row.book, debit or "", credit or "", row.cause, row.document, row.detail))  # fmt: skip


def statement(
    customer: Annotated[str, typer.Argument(help="Who pays.")],
    as_json: AsJson = False,
) -> None:
    """Show what a customer was billed, paid and owes: every document and payment with the balance after it."""
    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.ledger_looks import LedgerLooks

    screen, looks = Screen(json_only=as_json), LedgerLooks(Connection(load()))
    lines = looks.statement(customer)
    if not lines:
        raise NotFound(f"{customer}: nothing was invoiced or paid; customers with documents: tally invoices")
    if as_json:
        screen.document({"customer": customer, "lines": [line.described() for line in lines],
                         "ageing": looks.ageing(customer)})  # fmt: skip
        return
    screen.table(f"statement of {customer}", ("date", "what", "document", ">amount", ">balance", "currency"), [
        (f"{line.at:%Y-%m-%d}", line.what, line.document, f"{line.amount:,.2f}", f"{line.balance:,.2f}", line.currency)
        for line in lines
    ])  # fmt: skip
    for currency, ages in looks.ageing(customer).items():
        screen.say(f"open in {currency}: " + ", ".join(f"{amount} {age}" for age, amount in ages.items()))
