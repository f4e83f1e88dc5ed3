"""`tally payment refund`: money that came is asked to be sent back, or was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import WAIT_S, Actor, AsJson, DryRun, NoWait, RequestId, Timeout, Why

if TYPE_CHECKING:
    from decimal import Decimal

    from agents.cli.screen import Screen
    from agents.settings import Settings
    from agents.store.refund_looks import Payable


def refund(
    of: Annotated[
        str, typer.Argument(metavar="INVOICE|PAYMENT", help="A number, the beginning of an id, or a payment's id.")
    ],
    amount: Annotated[str, typer.Argument(help="What is sent back, in the currency in which it came.")],
    reason: Why,
    already_sent: Annotated[
        bool, typer.Option("--already-sent", help="It was sent back past the payment service: only book it.")
    ] = False,
    reference: Annotated[str, typer.Option("--reference", help="Of the bank, with --already-sent; booked once.")] = "",
    dry_run: DryRun = False,
    actor: Actor = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Ask the payment service to send money back: what was set aside or overpaid first, then what was paid.

    What was paid for an invoice that still counts is owed again; nobody is asked for it by itself. Never more than
    came and was not sent back; money that no document took is meant by the id of its payment.
    """
    import asyncio

    from agents.cli.failures import Refused
    from agents.cli.payments import positive_amount
    from agents.cli.screen import Screen
    from agents.settings import load

    if not reason.strip():
        raise Refused("--reason: must say why: it is kept with the record of every refund")
    settings, screen = load(), Screen(json_only=as_json)
    money, wanted = meant(settings, of), positive_amount(amount)
    if dry_run:
        told = _told(money, wanted, reason)
        screen.document(told)
        screen.say(f"Would send back {_said(told)}")
        return
    asked = _command(money, wanted, reason, actor, request_id, reference, already_sent=already_sent)
    verb = "is booked as sent back" if already_sent else "is asked to be sent back"
    said = f"{amount} {money.currency} of {money.name} {verb}"
    asyncio.run(_send(settings, screen, asked, said, None if no_wait else timeout))


async def _send(settings: Settings, screen: Screen, command: Any, said: str, timeout: float | None) -> None:
    from agents.cli.handing_in import hand_in
    from agents.logs import Logs

    async with Logs(settings) as logs:
        await hand_in(logs, screen, command, said, timeout=timeout)


def meant(settings: Settings, name: str) -> Payable:
    """The money that a name stands for. Raises NotFound, Refused."""
    from agents.cli.failures import NotFound, Refused
    from agents.cli.names import near
    from agents.store.connection import Connection
    from agents.store.looks import LookStore
    from agents.store.refund_looks import RefundLooks

    connection = Connection(settings)
    try:
        found = RefundLooks(connection).find(name)
        if not found:
            raise NotFound(f"no invoice and no payment {name!r}{near(name, LookStore(connection).invoice_names())}")
        if len(found) > 1:
            raise Refused(f"{name} stands for {len(found)}: {', '.join(each.document for each in found)}")
        return found[0]
    finally:
        connection.close()


def _told(money: Payable, amount: Decimal, reason: str) -> dict[str, Any]:
    """Where the money would come from. Raises Refused where the books would refuse it."""
    from agents.cli.failures import Refused
    from schemas.quantity import plain

    try:
        there = money.sent_back(amount, reason)
    except ValueError as fault:
        raise Refused(f"refused: {fault}") from None
    parts = {"set_aside": there.aside, "from_balance": there.balance, "owed_again": there.paid}
    return {
        "of": money.name, "customer": money.customer, "document": money.document, "payment": money.payment,
        "amount": plain(amount), "currency": money.currency, **{name: plain(part) for name, part in parts.items()},
    }  # fmt: skip


def _said(told: dict[str, Any]) -> str:
    parts = [
        f"{told[name]} {text}"
        for name, text in (
            ("set_aside", "was set aside for it"), ("from_balance", "of the customer's balance"),
            ("owed_again", "that was paid and is owed again; tally payment retry asks for it, nothing else does"),
        )
        if told[name] != "0"
    ]  # fmt: skip
    return f"{told['amount']} {told['currency']} of {told['of']}" + (f" ({', '.join(parts)})" if parts else "")


def _command(
    money: Payable, amount: Decimal, reason: str, actor: str, request_id: str, reference: str, *, already_sent: bool
) -> Any:  # fmt: skip
    from agents.cli.handing_in import drawn
    from agents.cli.options import login_name
    from schemas.command import ActOnDocument

    request = request_id or drawn()
    told: dict[str, Any] = {"action": "refund", "amount": amount, "payment": money.payment or None}
    if already_sent:
        result = {"id": reference or request, "outcome": "refunded", "document": money.document, "amount": amount,
                  "currency": money.currency, "detail": reason}  # fmt: skip
        told = {"action": "payment", "result": result}
    return ActOnDocument.model_validate({
        "request_id": request, "actor": actor or login_name(), "reason": reason, "customer": money.customer,
        "document_id": money.document, **told,
    })  # fmt: skip
