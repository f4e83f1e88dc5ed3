"""`tally ledger` and `tally statement`: the books, and what a customer owes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agents.cli.open_usage import OpenUsage, open_usage
from agents.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.cli.screen import Screen

OnlyCustomer = Annotated[str, typer.Option("--customer", help="Only this customer.")]
Unadjusted = Annotated[
    bool, typer.Option("--unadjusted", help="Postings alone: revenue as it was invoiced, not as it is earned.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    books = typer.Typer(
        help="The books: balances, whether they add up, the trial balance of a date, the journal as a file.",
        epilog="Example: tally ledger --check",
        invoke_without_command=True,
    )
    books.callback()(ledger)
    books.command("trial-balance", epilog="Example: tally ledger trial-balance --at 2027-01-01")(trial_balance)
    books.command("export", epilog="Example: tally ledger export journal.csv --chart chart.toml")(export)
    app.add_typer(books, name="ledger", rich_help_panel=MONEY)
    app.command("statement", rich_help_panel=MONEY, epilog="Example: tally statement acme")(statement)


def ledger(
    context: typer.Context,
    customer: OnlyCustomer = "",
    check: Annotated[bool, typer.Option("--check", help="Only check the books; exit code 5 if they do not add up.")] = (
        False
    ),
    as_json: AsJson = False,
) -> None:
    """Show what stands on each account now, per currency; every transaction adds up to zero.

    Checked as well: what customers owe in the books is what their invoices say is open, and the revenue of every
    document is spread over days completely.
    """
    from agents.cli.failures import ProofFailed
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.ledger_looks import LedgerLooks

    if context.invoked_subcommand is not None:
        return
    screen, looks = Screen(json_only=as_json), LedgerLooks(Connection(load()))
    faults = looks.faults(customer)
    balances = looks.trial_balance(customer)
    if as_json:
        screen.document({"adds_up": not faults, "faults": faults, "balances": _described(balances)})
    elif not check:
        _show(screen, "balances", balances)
    if faults:
        raise ProofFailed("the books do not add up:\n  " + "\n  ".join(faults))
    screen.say("Every transaction adds up to zero, and the books say what the documents say.")


def trial_balance(
    at: Annotated[str, typer.Option("--at", help="Before this day (UTC); default: now, by the last tick.")] = "",
    customer: OnlyCustomer = "",
    unadjusted: Unadjusted = False,
    with_open: OpenUsage = False,
    as_json: AsJson = False,
) -> None:
    """Show the balance of every account before a day: revenue as earned, with what is deferred and what is unbilled."""
    from agents.cli.days import day_of
    from agents.cli.failures import ProofFailed
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.revenue_looks import RevenueLooks

    if unadjusted and with_open:
        raise typer.BadParameter("open usage is an adjustment: leave out --unadjusted", param_hint="--open-usage")
    screen, connection = Screen(json_only=as_json), Connection(load())
    day = day_of(at, "--at", connection)
    estimate = open_usage(day, customer) if with_open else {}
    balances = RevenueLooks(connection).trial_balance(day, customer, adjusted=not unadjusted, open_usage=estimate)
    if as_json:
        screen.document({"before": day.isoformat(), "balances": _described(balances)})
    else:
        _show(screen, f"trial balance before {day}", balances)
    for currency in {currency for currency, _, _ in balances}:
        if left := sum((amount for code, _, amount in balances if code == currency), Decimal(0)):
            raise ProofFailed(f"the trial balance in {currency} does not add up to zero: {left} is left")


def export(
    file: Annotated[Path, typer.Argument(help="Where the journal goes.")],
    chart: Annotated[
        Path | None, typer.Option("--chart", help='TOML: book = "account number", where yours differ.')
    ] = None,
    form: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="Default: by the name of the file, else csv.")
    ] = None,
    customer: OnlyCustomer = "",
    unadjusted: Unadjusted = False,
) -> None:
    """Write the journal: every posting, and what closes each month that has ended; it adds up to zero."""
    from agents.cli.failures import ProofFailed
    from agents.cli.journal import chart_of, rows_of, unbalanced, write
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.ledger_looks import LedgerLooks
    from agents.store.revenue_looks import RevenueLooks

    accounts, connection = chart_of(chart), Connection(load())
    entries = LedgerLooks(connection).journal(customer)
    if not unadjusted:
        entries = sorted([*entries, *RevenueLooks(connection).recognitions(customer)], key=lambda entry: entry.at)
    if faults := unbalanced(entries):
        raise ProofFailed("the books do not add up:\n  " + "\n  ".join(faults))
    as_lines = form == "jsonl" or (form is None and file.suffix == ".jsonl")
    count = write(file, rows_of(entries, accounts), as_lines=as_lines)
    Screen().say(f"{count:,} postings written to {file}; they add up to zero")


def _described(balances: Sequence[tuple[str, str, Decimal]]) -> list[dict[str, str]]:
    return [{"currency": c, "book": b, "debit": _debit(a), "credit": _debit(-a)} for c, b, a in balances]


def _show(screen: Screen, title: str, balances: Sequence[tuple[str, str, Decimal]]) -> None:
    screen.table(title, ("currency", "account", ">debit", ">credit"), [
        (currency, book, _debit(amount), _debit(-amount)) for currency, book, amount in balances
    ])  # fmt: skip


def _debit(amount: Decimal) -> str:
    from schemas.quantity import plain

    return plain(amount) if amount > 0 else ""


def statement(
    customer: Annotated[str, typer.Argument(help="Who pays.")],
    as_json: AsJson = False,
) -> None:
    """Show what a customer was billed, paid and owes: every document and payment with the balance after it.

    Below it the prepaid credits that are left; what became of them: tally credits history.
    """
    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.credit_looks import CreditLooks
    from agents.store.ledger_looks import LedgerLooks

    connection = Connection(load())
    screen, looks, wallet = Screen(json_only=as_json), LedgerLooks(connection), CreditLooks(connection).of(customer)
    lines = looks.statement(customer)
    if not lines and not wallet.entries:
        raise NotFound(f"{customer}: nothing was invoiced or paid; customers with documents: tally invoices")
    if as_json:
        screen.document({"customer": customer, "lines": [line.described() for line in lines],
                         "ageing": looks.ageing(customer), "credits": wallet.described()})  # fmt: skip
        return
    screen.table(f"statement of {customer}", ("date", "what", "document", ">amount", ">balance", "currency"), [
        (f"{line.at:%Y-%m-%d}", line.what, line.document, f"{line.amount:,.2f}", f"{line.balance:,.2f}", line.currency)
        for line in lines
    ])  # fmt: skip
    for currency, ages in looks.ageing(customer).items():
        screen.say(f"open in {currency}: " + ", ".join(f"{amount} {age}" for age, amount in ages.items()))
    for currency, usable in wallet.balances().items():
        screen.say(f"prepaid credits in {currency}: {usable} can be used; tally credits list {customer}")
