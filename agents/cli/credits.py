"""`tally credits`: prepaid credits of customers, what became of them, sales of credits and automatic recharge."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.handing_in import submit
from agents.cli.options import WAIT_S, Actor, AsJson, Currency, Customer, Funding, NoWait, RequestId, Timeout, Why

if TYPE_CHECKING:
    from decimal import Decimal

    from agents.cli.screen import Screen
    from agents.store.credit_looks import WalletLook
    from pipeline.wallets.wallet import HeldGrant

Amount = Annotated[str, typer.Argument(help="How much.")]
Priority = Annotated[int | None, typer.Option(help="Lower is used first.", show_default=False)]
Only = Annotated[list[str] | None, typer.Option("--only", help="Only for these rate cards.")]
Taxed = Annotated[bool, typer.Option("--taxed", help="Tax is due on the sale; else on what the credits pay for.")]
Days = Annotated[
    int | None, typer.Option("--days", min=1, help="Usable so many days from when it is paid.", show_default=False)
]


class Treatment(StrEnum):
    """What credit does on an invoice."""

    PAYMENT = "payment"
    DISCOUNT = "discount"


class Revoking(StrEnum):
    """What becomes of the money that was paid for credit."""

    REFUNDED = "refunded"
    FORFEITED = "forfeited"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    group = typer.Typer(
        help="Prepaid credits: grants, sales, automatic recharge, what became of them.",
        epilog="Example: tally credits list acme",
        no_args_is_help=True,
    )
    group.command("list", epilog="Example: tally credits list acme")(list_credits)
    group.command("history", epilog="Example: tally credits history acme")(history)
    group.command("grant", epilog="Example: tally credits grant acme 25.00 --expires 2027-07-01 --reason 'an outage'")(
        grant
    )
    group.command(
        "revoke", epilog="Example: tally credits revoke acme REQUEST --money refunded --reason 'contract ended'"
    )(revoke)
    group.command("top-up", epilog="Example: tally credits top-up acme 100.00 --days 365 --reason 'order 7'")(top_up)
    group.command(
        "recharge",
        epilog="Example: tally credits recharge acme --below 20 --amount 50 --per-month 200 --reason 'order 8'",
    )(recharge)
    app.add_typer(group, name="credits", rich_help_panel=MONEY)


def list_credits(
    customer: Annotated[str, typer.Argument(help="Whose; all customers' balances if left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what can be used, and of each grant what became of it; every minor unit of a grant is in one column."""
    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.credit_looks import CreditLooks

    screen, looks = Screen(json_only=as_json), CreditLooks(Connection(load()))
    if not customer:
        _all(screen, looks.balances())
        return
    look = looks.of(customer)
    if not look.entries:
        raise NotFound(f"{customer} has no credits; next: tally credits grant, or tally credits top-up")
    if as_json:
        screen.document({"customer": customer, **look.described()})
        return
    _grants(screen, customer, look)
    for order in look.wallet.orders.values():
        if order.state != "paid":
            screen.say(f"bought, {order.state}: {order.terms.amount} {order.terms.currency}, {order.terms.id}")
    for code, rule in look.wallet.rules.items():
        screen.say(
            f"recharge: {rule.amount} {code} when below {rule.below}; {look.recharge(code) or 'with the next tick'}"
        )
    screen.say(f"usable on {look.at:%Y-%m-%d %H:%M} UTC: " + (
        ", ".join(f"{amount} {code}" for code, amount in look.balances().items()) or "nothing"
    ))  # fmt: skip


def _all(screen: Screen, rows: list[tuple[str, str, int, Decimal, Decimal]]) -> None:
    if screen.json_only:
        screen.document([
            {"customer": c, "currency": code, "grants": grants, "usable": _plain(usable), "left": _plain(left)}
            for c, code, grants, usable, left in rows
        ])  # fmt: skip
        return
    screen.table("credits", ("customer", ">grants with credit", ">usable", ">left", "currency"), [
        (c, str(grants), _plain(usable), _plain(left), code) for c, code, grants, usable, left in rows
    ])  # fmt: skip


def _plain(amount: Decimal) -> str:
    from schemas.quantity import plain

    return plain(amount)


def _grants(screen: Screen, customer: str, look: WalletLook) -> None:
    columns = (
        "grant",
        "state",
        ">granted",
        ">burnt",
        ">expired",
        ">revoked",
        ">left",
        "currency",
        "funding",
        "expires",
    )
    screen.table(f"credits of {customer}, in the order in which they are burnt", columns, [
        (held.terms.id, look.state(held.terms.id), str(held.granted), str(held.burnt), str(held.expired),
         str(held.revoked + held.withdrawn), str(held.left), held.terms.currency, held.terms.funding,
         f"{held.terms.expires_at:%Y-%m-%d %H:%M}" if held.terms.expires_at else "never")
        for held in _in_burn_order(look)
    ])  # fmt: skip


def _in_burn_order(look: WalletLook) -> list[HeldGrant]:
    from pipeline.rating.credits import burn_order

    order = burn_order(held.terms for held in look.wallet.grants.values())
    return [look.wallet.grants[terms.id] for terms in order]


def history(customer: Customer, as_json: AsJson = False) -> None:
    """Show everything that happened to a customer's credits, in the order of the log, with what was left after it."""
    from decimal import Decimal

    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.credit_looks import CreditLooks

    screen, look = Screen(json_only=as_json), CreditLooks(Connection(load())).of(customer)
    if not look.entries:
        raise NotFound(f"{customer} has no credits; next: tally credits grant, or tally credits top-up")
    if as_json:
        screen.document({"customer": customer, "entries": look.described()["entries"]})
        return
    left: dict[str, Decimal] = {}
    rows = []
    for entry in look.entries:
        left[entry.currency] = left.get(entry.currency, Decimal(0)) + entry.amount
        rows.append((f"{entry.at:%Y-%m-%d}", entry.kind.replace("_", " "), str(entry.amount or ""),
                     str(left[entry.currency]), entry.currency, entry.grant, entry.reason))  # fmt: skip
    screen.table(f"credits of {customer}", ("date", "what", ">amount", ">left", "currency", "grant", "why"), rows)


def grant(
    customer: Customer,
    amount: Amount,
    reason: Why,
    currency: Currency = "",
    funding: Annotated[
        Funding, typer.Option(help="Given, or bought: then the money has come outside of Tally.")
    ] = Funding.FREE,
    treatment: Annotated[
        Treatment | None,
        typer.Option(help="Pays totals with tax, or is drawn before tax; default: paid pays, free is a discount."),
    ] = None,
    starts: Annotated[str, typer.Option("--from", help="Not usable before; default: now.", show_default=False)] = "",
    expires: Annotated[str, typer.Option("--expires", help="Not usable from then on.", show_default=False)] = "",
    priority: Priority = None,
    only: Only = None,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Grant credit that later invoices draw from; the request id is the name of the grant."""
    from agents.cli.instants import instant

    given = {"customer": customer, "amount": amount, "currency": currency or None, "funding": str(funding),
             "treatment": None if treatment is None else str(treatment),
             "effective_at": instant(starts, "--from") if starts else None,
             "expires_at": instant(expires, "--expires") if expires else None, "priority": priority,
             "applies_to": tuple(only or ())}  # fmt: skip
    submit("grant_credit", f"{customer} has {amount} more credit", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def revoke(
    customer: Customer,
    name: Annotated[str, typer.Argument(metavar="GRANT", help="The name of the grant: tally credits list shows it.")],
    reason: Why,
    money: Annotated[
        Revoking | None, typer.Option("--money", help="Of a grant that was paid for: was the money sent back?")
    ] = None,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Take back what is left of a grant; what invoices have drawn stays drawn."""
    given = {"customer": customer, "grant": name, "revoking": None if money is None else str(money)}
    submit("revoke_credit", f"what is left of {name} is taken back", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def top_up(
    customer: Customer,
    amount: Amount,
    reason: Why,
    currency: Currency = "",
    taxed: Taxed = False,
    days: Days = None,
    priority: Priority = None,
    only: Only = None,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Sell credits: an invoice of its own at the next tick, due at once; usable once it is paid in full."""
    given = {"customer": customer, "amount": amount, "currency": currency or None, "taxed": taxed,
             "valid_days": days, "priority": priority, "applies_to": tuple(only or ())}  # fmt: skip
    submit("top_up", f"{customer} buys {amount}; usable once the invoice is paid", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def recharge(
    customer: Customer,
    reason: Why,
    below: Annotated[str, typer.Option("--below", help="Buy when less than this can be used.")] = "",
    amount: Annotated[str, typer.Option("--amount", help="Buy so much.")] = "",
    per_day: Annotated[str, typer.Option("--per-day", help="At most so much a day of the customer.")] = "",
    per_month: Annotated[str, typer.Option("--per-month", help="At most so much a calendar month.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Buy nothing any more.")] = False,
    currency: Currency = "",
    taxed: Taxed = False,
    days: Days = None,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Buy credits by itself whenever the balance is low. Looked at with every tick; the next sale waits until the one
    before is paid, and after one that nobody paid it rests until this is set anew."""
    if off == bool(below or amount):
        raise typer.BadParameter("give --below and --amount, or --off")
    given = {"customer": customer, "currency": currency or None, "below": below or None, "amount": amount or None,
             "per_day": per_day or None, "per_month": per_month or None, "taxed": taxed,
             "valid_days": days}  # fmt: skip
    said = f"{customer} buys nothing by itself any more" if off else f"{customer} buys {amount} when below {below}"
    submit("set_recharge", said, given, actor=actor, reason=reason, request_id=request_id,
           timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip
