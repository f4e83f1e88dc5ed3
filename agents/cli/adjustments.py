"""`tally override`, `tally line` and `tally credit`: what no plan says, recorded with who and why; never SQL."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.handing_in import submit
from agents.cli.options import (
    WAIT_S,
    Actor,
    AsJson,
    Currency,
    Customer,
    Funding,
    NoWait,
    RequestId,
    SubscriptionId,
    Timeout,
    Why,
)

if TYPE_CHECKING:
    from datetime import datetime


class Waive(StrEnum):
    """What is given away."""

    ALL = "all"
    UNPRICED = "unpriced"


OfSubscription = Annotated[
    str, typer.Option("--subscription", help="Whose plan it is taxed like; default: the only one.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY

    app.command(
        "override", rich_help_panel=MONEY,
        epilog="Example: tally override acme acme-team egress --waive unpriced --reason 'new region, agreed'",
    )(override)  # fmt: skip
    app.command(
        "line", rich_help_panel=MONEY, epilog="Example: tally line acme 'migration' 150.00 --alone --reason 'offer 7'"
    )(line)
    app.command("credit", rich_help_panel=MONEY, epilog="Example: tally credit acme 25.00 --reason 'an outage in May'")(
        credit
    )
    app.command("coupon", rich_help_panel=MONEY, epilog="Example: tally coupon acme spring --times 3 --reason welcome")(
        coupon
    )


def override(
    customer: Customer,
    subscription: SubscriptionId,
    card: Annotated[str, typer.Argument(help="The rate card.")],
    reason: Why,
    price: Annotated[
        str, typer.Option("--price", help="""As TOML, such as 'model = "per_unit"; unit_price = "0.04"'.""")
    ] = "",
    waive: Annotated[Waive | None, typer.Option("--waive", help="Give away all, or only what has no price.")] = None,
    end: Annotated[bool, typer.Option("--end", help="The plan's price again.")] = False,
    since: Annotated[
        str,
        typer.Option(
            "--from",
            help="From when on; default: of the held period without a price, else of the running one.",
            show_default=False,
        ),
    ] = "",
    until: Annotated[str, typer.Option("--until", help="Until when.", show_default=False)] = "",
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Give one subscription a price of its own for a rate card, or waive it, from a time on.

    The way out for usage without a price: a waiver, or a price, effective-dated and recorded. A draft that is held for
    that usage is rated anew by the next tick. An earlier --from rates anew what was billed; a later one is scheduled.
    """
    import asyncio

    from agents.cli.held_anew import held_drafts, rate_anew
    from agents.settings import load

    if (price != "") + (waive is not None) + end != 1:
        raise typer.BadParameter("give one of --price, --waive and --end")
    own: dict[str, Any] | None = None
    if not end:
        own = {"price": price_of(price)} if price else {"waived": str(waive)}
    drafts = [] if end else held_drafts(load(), customer, subscription, card)
    begins = _instant(since, "--from") or (drafts[0].starts if drafts else None)
    given = {"customer": customer, "subscription": subscription, "card": card, "override": own,
             "effective_from": begins, "until": _instant(until, "--until")}  # fmt: skip
    submit("set_override", f"{card} of {subscription} has its own terms", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip
    covered = [draft for draft in drafts if begins is not None and begins <= draft.starts]
    if covered:
        asyncio.run(rate_anew(load(), customer, covered, actor=actor, reason=reason, timeout=timeout))
        if not as_json:
            typer.echo(f"{len(covered)} held draft{'s' * (len(covered) > 1)} will be rated anew by the next tick.")


def line(
    customer: Customer,
    name: Annotated[str, typer.Argument(help="What it says on the invoice.")],
    amount: Annotated[str, typer.Argument(help="Before tax; negative (after --) is goodwill, as a credit note.")],
    reason: Why,
    subscription: OfSubscription = "",
    currency: Currency = "",
    tax_rate: Annotated[
        list[str] | None, typer.Option(help="Of the plan's taxes; default: the plan's own.", show_default=False)
    ] = None,
    untaxed: Annotated[bool, typer.Option("--untaxed", help="Without tax.")] = False,
    alone: Annotated[bool, typer.Option("--alone", help="At the next tick, on an invoice of its own.")] = False,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Add a line that no plan has: to the next invoice due, or on one of its own."""
    given = {"customer": customer, "name": name, "amount": amount, "currency": currency or None, "alone": alone,
             "subscription": subscription or None,
             "tax_rates": () if untaxed else tuple(tax_rate) if tax_rate else None}  # fmt: skip
    where = "an invoice of its own" if alone else "the next invoice"
    submit("add_line", f"{name}, {amount}, goes on {where} of {customer}", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def credit(
    customer: Customer,
    amount: Annotated[str, typer.Argument(help="How much.")],
    reason: Why,
    currency: Currency = "",
    funding: Annotated[Funding, typer.Option(help="Given, or bought.")] = Funding.FREE,
    expires: Annotated[str, typer.Option("--expires", help="Not usable from then on.", show_default=False)] = "",
    priority: Annotated[int | None, typer.Option(help="Lower is used first.", show_default=False)] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only for these rate cards.")] = None,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Grant credit that later invoices draw from."""
    given = {"customer": customer, "amount": amount, "currency": currency or None, "funding": str(funding),
             "expires_at": _instant(expires, "--expires"), "priority": priority,
             "applies_to": tuple(only or ())}  # fmt: skip
    submit("grant_credit", f"{customer} has {amount} more credit", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def coupon(
    customer: Customer,
    name: Annotated[str, typer.Argument(help="A coupon of the catalogue; its newest version.")],
    reason: Why,
    until: Annotated[str, typer.Option("--until", help="From then on no more.", show_default=False)] = "",
    times: Annotated[
        int | None, typer.Option("--times", min=1, help="Off so many billing runs.", show_default=False)
    ] = None,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Redeem a coupon: its discount is taken off the customer's invoices from the next billing run on."""
    given = {"customer": customer, "coupon": name, "until": _instant(until, "--until"), "times": times}
    submit("redeem_coupon", f"{customer} has redeemed {name}", given, actor=actor, reason=reason,
           request_id=request_id, timeout=None if no_wait else timeout, as_json=as_json)  # fmt: skip


def price_of(text: str) -> dict[str, Any]:
    """A price as TOML: lines, or parts between semicolons, or an inline table. Raises BadParameter."""
    import tomllib
    from decimal import Decimal

    written = text if "\n" in text else text.replace(";", "\n")
    try:
        if text.strip().startswith("{"):
            found: dict[str, Any] = tomllib.loads(f"price = {text}", parse_float=Decimal)["price"]
            return found
        return tomllib.loads(written, parse_float=Decimal)
    except tomllib.TOMLDecodeError as fault:
        raise typer.BadParameter(f"{text!r} is no TOML: {fault}", param_hint="--price") from None


def _instant(text: str, option: str) -> datetime | None:
    from agents.cli.instants import instant

    return instant(text, option) if text else None
