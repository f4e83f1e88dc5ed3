"""`tally payment`: money that came past the payment service, and what a person decides about collecting an invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import WAIT_S, Actor, AsJson, NoWait, RequestId, Timeout, Why

if TYPE_CHECKING:
    from agents.settings import Settings

Invoice = Annotated[str, typer.Argument(help="The number of the invoice, or the beginning of its id.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import MONEY
    from agents.cli.payment_log import show
    from agents.cli.refunds import refund

    group = typer.Typer(
        help="Payments past the payment service, collecting by hand, and sending back.",
        epilog='Example: tally payment record INV-000001 145.20 --reference "bank 77" --reason "transfer"',
        no_args_is_help=True,
    )
    group.command("show", epilog="Example: tally payment show INV-000001")(show)
    group.command("record", epilog='Example: tally payment record INV-000001 145.20 --reason "transfer"')(record)
    group.command("retry", epilog='Example: tally payment retry INV-000001 --reason "new card"')(retry)
    group.command("refund", epilog='Example: tally payment refund INV-000001 45.20 --reason "paid twice" --dry-run')(
        refund
    )
    group.command("hold", epilog='Example: tally payment hold INV-000001 2027-03-01 --reason "promised"')(hold)
    app.add_typer(group, name="payment", rich_help_panel=MONEY)


def record(
    invoice: Invoice,
    amount: Annotated[str, typer.Argument(help="What came, in the currency of the invoice.")],
    reason: Why,
    reference: Annotated[str, typer.Option("--reference", help="Of the bank; the same one is booked once.")] = "",
    currency: Annotated[str, typer.Option("--currency", help="If it came in another one: it is kept apart.")] = "",
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Record money that came without a request, such as a bank transfer; what is more is kept for the next invoice."""
    paid = positive_amount(amount)
    _hand_in(
        invoice, "payment", f"{amount} recorded for {{name}}", reason, actor, request_id,
        None if no_wait else timeout, as_json, paid=paid, reference=reference, currency=currency,
    )  # fmt: skip


def retry(
    invoice: Invoice, reason: Why, actor: Actor = "", request_id: RequestId = "", no_wait: NoWait = False,
    timeout: Timeout = WAIT_S, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Ask the payment service once more, now; refused while the outcome of an attempt is unknown."""
    _hand_in(invoice, "collect", "another payment of {name} is requested", reason, actor, request_id,
             None if no_wait else timeout, as_json)  # fmt: skip


def hold(
    invoice: Invoice,
    until: Annotated[str, typer.Argument(help="Until when dunning rests: a date or an instant; earlier ends a hold.")],
    reason: Why,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Let dunning rest: a payment was promised. What would fall into that time comes after it; nothing is skipped."""
    from agents.cli.instants import instant

    at = instant(until, "UNTIL")
    _hand_in(invoice, "hold", f"dunning of {{name}} rests until {at:%Y-%m-%d %H:%M} UTC", reason, actor, request_id,
             None if no_wait else timeout, as_json, until=at)  # fmt: skip


def positive_amount(text: str) -> Decimal:
    """An amount that a person gave. Raises BadParameter for what is none, or not greater than 0."""
    from schemas.quantity import not_negative

    try:
        amount = not_negative(text, "AMOUNT")
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    if not amount:
        raise typer.BadParameter("AMOUNT: must be greater than 0")
    return amount


def _hand_in(
    invoice: str, action: str, said: str, reason: str, actor: str, request_id: str, timeout: float | None,
    as_json: bool, **told: Any,
) -> None:  # fmt: skip
    import asyncio

    from agents.settings import load

    asyncio.run(_act(load(), invoice, action, said, reason, actor, request_id, timeout, as_json, told))


async def _act(
    settings: Settings, invoice: str, action: str, said: str, reason: str, actor: str, request_id: str,
    timeout: float | None, as_json: bool, told: dict[str, Any],
) -> None:  # fmt: skip
    from agents.cli.failures import Refused
    from agents.cli.handing_in import drawn, hand_in
    from agents.cli.invoices import the_document
    from agents.cli.options import login_name
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.store.connection import Connection
    from agents.store.looks import LookStore
    from schemas.command import ActOnDocument

    if not reason.strip():
        raise Refused(f"--reason: must say why: it is kept with the record of every {action}")
    connection = Connection(settings)
    document = the_document(LookStore(connection), invoice)
    connection.close()
    request = request_id or drawn()
    command = ActOnDocument.model_validate({
        "request_id": request, "actor": actor or login_name(), "reason": reason, "customer": document["customer"],
        "action": action, "document_id": str(document["document_id"]), "until": told.get("until"),
        "result": _result(told, document, request, reason) if "paid" in told else None,
    })  # fmt: skip
    name = document["number"] or str(document["document_id"])[:8]
    async with Logs(settings) as logs:
        await hand_in(logs, Screen(json_only=as_json), command, said.format(name=name), timeout=timeout)


def _result(told: dict[str, Any], document: dict[str, Any], request: str, reason: str) -> dict[str, Any]:
    return {
        "id": told["reference"] or request,
        "outcome": "succeeded",
        "document": str(document["document_id"]),
        "amount": told["paid"],
        "currency": told["currency"] or document["currency"],
        "detail": reason,
    }
