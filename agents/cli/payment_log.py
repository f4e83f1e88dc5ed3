"""`tally payment show`: what was tried to collect an invoice, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from schemas.receivable import Receivable

COLUMNS = ("what", "when", "state", ">amount", "detail")


def show(
    of: Annotated[
        str, typer.Argument(metavar="INVOICE|PAYMENT", help="A number, the beginning of an id, or a payment's id.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show what an invoice still brings: attempts, refunds, disputes, money kept apart, until when dunning rests."""
    from agents.cli.refunds import meant
    from agents.cli.screen import Screen
    from agents.settings import load
    from pipeline.collection.dunning import next_step_at
    from pipeline.collection.refunds import refundable
    from schemas.quantity import plain
    from schemas.receivable import Apart

    screen, found = Screen(json_only=as_json), meant(load(), of)
    held = found.held
    if as_json:
        screen.document({"customer": found.customer, "document": found.document, **held.model_dump(mode="json")})
        return
    if isinstance(held, Apart):
        screen.say(f"{found.name} of {found.customer}: {plain(held.amount)} {held.currency} that no document takes")
        screen.table("refunds", COLUMNS, [_refund(each) for each in held.refunds])
        return
    there, at = refundable(held, found.balance), next_step_at(held)
    screen.say(f"{held.number} of {found.customer} is {held.state}: {plain(held.open)} of {plain(held.owed)} "
               f"{held.currency} is open; {plain(there.total)} can be sent back")  # fmt: skip
    screen.table("what was tried, and what came of it", COLUMNS, list(_rows(held)))
    screen.say(f"next step of dunning: {at:%Y-%m-%d %H:%M} UTC" if at else "dunning has nothing to do")


def _rows(held: Receivable) -> Iterator[tuple[str, str, str, str, str]]:
    from schemas.quantity import plain

    for one in held.attempts:
        yield f"attempt {one.number}", f"{one.requested_at:%Y-%m-%d %H:%M}", one.state, "", one.detail
    yield from (_refund(each) for each in held.refunds)
    for dispute in held.disputes:
        yield f"dispute {dispute.id}", "", dispute.state, plain(dispute.amount), ""
    for apart in held.apart:
        yield f"payment {apart.payment}", "", "unapplied", f"{plain(apart.amount)} {apart.currency}", ""
        yield from (_refund(each) for each in apart.refunds)
    if held.held_until is not None:
        yield "hold", f"{held.held_until:%Y-%m-%d %H:%M}", "until then", "", ""


def _refund(one: object) -> tuple[str, str, str, str, str]:
    from schemas.quantity import plain
    from schemas.receivable import Refund

    assert isinstance(one, Refund)
    return "refund", f"{one.requested_at:%Y-%m-%d %H:%M}", one.state, plain(one.amount), one.detail
