"""`tally revenue`, `tally mrr` and `tally tax`: what was earned, what recurs, what is owed to the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.open_usage import OpenUsage, open_usage
from agents.cli.options import AsJson

if TYPE_CHECKING:
    from decimal import Decimal

OnlyCustomer = Annotated[str, typer.Option("--customer", help="Only this customer.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command("revenue", rich_help_panel=MONEY, epilog="Example: tally revenue --at 2027-01-01")(revenue)
    app.command("mrr", rich_help_panel=MONEY, epilog="Example: tally mrr --customer acme")(mrr)
    app.command("tax", rich_help_panel=MONEY, epilog="Example: tally tax 2027-01")(tax)


def revenue(
    at: Annotated[str, typer.Option("--at", help="Before this day (UTC); default: now, by the last tick.")] = "",
    by_month: Annotated[bool, typer.Option("--by-month", help="Every month, and what is deferred to later ones.")] = (
        False
    ),
    with_open: OpenUsage = False,
    customer: OnlyCustomer = "",
    as_json: AsJson = False,
) -> None:
    """Show revenue before a day: recognised and deferred are together what was invoiced, net, to the minor unit.

    A fee in advance is earned evenly over the local days of its service. Unbilled is what later documents bill of
    earlier service; unused credits are paid for and not drawn; breakage is of credits that expired. Open usage is what
    no final document bills yet: usage and fees in arrears of periods that run or wait for their close, and drafts.
    """
    from agents.cli.days import day_of
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.revenue_looks import RevenueLooks

    screen, connection = Screen(json_only=as_json), Connection(load())
    looks = RevenueLooks(connection)
    amounts = ("invoiced", "recognised", "deferred", "unbilled")
    if by_month and with_open:
        raise typer.BadParameter("a month that has not ended is asked for with --at", param_hint="--open-usage")
    if by_month:
        of_month = ("currency", "month", "invoiced", "recognised", "earned", "deferred", "unbilled")
        rows = [{name: row[name] for name in of_month} for row in looks.months(customer)]
        _answer(screen, as_json, "revenue by month", of_month, rows)
        return
    day = day_of(at, "--at", connection)
    columns: tuple[str, ...] = ("currency", *amounts, "unused_credits", "breakage")
    found = [{name: getattr(now, name) for name in columns} for now in looks.at(day, customer)]
    if with_open:
        columns, found = _with_open(columns, found, open_usage(day, customer))
    _answer(screen, as_json, f"revenue before {day}", columns, found)


def _with_open(
    columns: tuple[str, ...], found: list[dict[str, Any]], estimate: dict[str, Decimal]
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """The rows with what open periods come to, and rows of currencies in which nothing was invoiced yet."""
    from decimal import Decimal

    known = {str(row["currency"]): row for row in found}
    nothing = dict.fromkeys(columns, Decimal(0))
    rows = [
        {**nothing, **known.get(currency, {}), "currency": currency, "open_usage": estimate.get(currency, Decimal(0))}
        for currency in sorted({*known, *estimate})
    ]
    return (*columns, "open_usage"), rows


def mrr(customer: OnlyCustomer = "", as_json: AsJson = False) -> None:
    """Show monthly recurring revenue and how it changed, per month that has ended."""
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.revenue_looks import RevenueLooks

    columns = ("currency", "month", "opened", "gained", "regained", "expanded", "contracted", "churned", "closed",
               "customers", "customers_lost")  # fmt: skip
    rows = RevenueLooks(Connection(load())).recurring(customer)
    _answer(Screen(json_only=as_json), as_json, "monthly recurring revenue", columns, rows)


def tax(
    span: Annotated[str, typer.Argument(help="Of documents issued in a month 2027-01, a day, or START/END.")],
    customer: OnlyCustomer = "",
    as_json: AsJson = False,
) -> None:
    """Show taxes of a span by country of the buyer, rate and exemption; credit notes take theirs off."""
    from agents.cli.instants import span_of
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.revenue_looks import RevenueLooks

    issued = span_of(span, "SPAN")
    columns = ("currency", "country", "percentage", "exemption", "base", "taxed", "documents")
    rows = RevenueLooks(Connection(load())).taxes(issued.start, issued.end, customer)
    _answer(Screen(json_only=as_json), as_json, f"taxes of {span}", columns, rows)


def _answer(screen: Any, as_json: bool, title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if as_json:
        screen.document([{name: _cell(row[name]) for name in columns} for row in rows])
        return
    left = ("currency", "month", "country", "exemption")
    headings = [name.replace("_", " ") if name in left else ">" + name.replace("_", " ") for name in columns]
    screen.table(title, headings, [tuple(_cell(row[name]) for name in columns) for row in rows])


def _cell(value: Decimal | object) -> str | int:
    from decimal import Decimal

    from schemas.quantity import plain

    if isinstance(value, Decimal):
        return plain(value)
    return value if isinstance(value, int) else str(value)
