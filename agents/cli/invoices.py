"""`tally invoices` and `tally invoice`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import WAIT_S, Actor, AsJson, NoWait, RequestId, Timeout

if TYPE_CHECKING:
    from agents.cli.footing import Footing
    from agents.settings import Settings
    from agents.store.looks import LookStore, StoredInvoice, StoredNote
    from schemas.invoice import Invoice


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import LOOK

    app.command("invoices", rich_help_panel=LOOK, epilog="Example: tally invoices --customer acme")(invoices)
    app.command(
        "invoice",
        rich_help_panel=LOOK,
        epilog="Example: tally invoice INV-000001; tally invoice void INV-000001 --reason 'wrong address'",
    )(invoice)


def invoices(
    customer: Annotated[str, typer.Option("--customer", help="Only of this customer.")] = "",
    status: Annotated[
        str, typer.Option("--status", help="Only with this status: draft, open, paid, past_due, voided, ….")
    ] = "",
    held: Annotated[bool, typer.Option("--held", help="Only drafts that wait for a person, with the reasons.")] = False,
    as_json: AsJson = False,
) -> None:
    """List invoices and credit notes in order of their numbers, drafts last.

    A draft in its grace is rated anew at each full hour; its invoice, under a number and an id of its own, replaces it.
    """
    from agents.cli.exit_codes import OK
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.drafts import DraftStore
    from agents.store.looks import LookStore

    connection = Connection(load())
    looks = LookStore(connection)
    rows = [row for row in looks.invoices(customer, status) if row["held"] or not held]
    drafts = DraftStore(connection).listed(customer) if status in ("", "draft") and not held else []
    rows += [_as_draft(row) for row in drafts]
    if not rows and customer:
        _known_customer(looks, customer)
    connection.close()
    screen = Screen(json_only=as_json)
    if as_json:
        screen.document([{name: _plain(value) for name, value in row.items()} for row in rows])
        raise typer.Exit(OK)
    columns = ("number", "customer", "period", "status", ">total", ">open", "currency", "issued", "id")
    screen.table("invoices", columns, [
        (row["number"] or "–", row["customer"], f"{row['period_start']:%Y-%m-%d} to {row['period_end']:%Y-%m-%d}",
         "held" if row["held"] else _status(row), _total(row), _money(row["open_amount"]), row["currency"],
         f"{row['issued_at']:%Y-%m-%d %H:%M}", str(row["document_id"])[:8])
        for row in rows
    ])  # fmt: skip
    for row in rows:
        for reason in row["held"]:
            screen.say(f"{str(row['document_id'])[:8]} of {row['customer']} waits: {reason}")
    if any(row["held"] for row in rows):
        screen.say("Next: tally invoice release ID --reason WHY, or tally invoice reject ID --reason WHY")
    screen.say(_as_of(rows))


def _as_draft(row: dict[str, Any]) -> dict[str, Any]:
    """A draft in its grace as a row of v_invoices, with when its invoice is due to be made."""
    nothing = {"number": "", "kind": "invoice", "status": "draft", "held": [], "open_amount": 0, "due_at": None}
    return nothing | row | {"issued_at": row["due"], "grace_until": row["due"], "invoice_tick": row["draft_tick"]}


def _status(row: dict[str, Any]) -> str:
    return f"draft until {row['grace_until']:%m-%d %H:%M}" if "grace_until" in row else str(row["status"])


def _total(row: dict[str, Any]) -> str:
    """A credit note gives back what it shows."""
    return f"{'-' if row['kind'] == 'credit_note' else ''}{_money(row['total'])}"


def _plain(value: object) -> object:
    from decimal import Decimal

    from schemas.quantity import plain

    return plain(value) if isinstance(value, Decimal) else value


def _money(amount: object) -> str:
    from decimal import Decimal

    from schemas.quantity import plain

    value = Decimal(plain(Decimal(str(amount))))
    exponent = value.as_tuple().exponent
    return f"{value:,.2f}" if isinstance(exponent, int) and exponent > -2 else f"{value:,f}"


def _as_of(rows: list[dict[str, object]]) -> str:
    if not rows:
        return "No invoices. Next: tally status says what is due and what it waits for"
    return (
        f"{len(rows):,} as of tick {rows[0]['tick']}, {rows[0]['as_of']:%Y-%m-%d %H:%M} UTC. Next: tally invoice NUMBER"
    )


def _known_customer(looks: LookStore, customer: str) -> None:
    """Raises NotFound, with names like it, for a customer nobody has heard of."""
    from agents.cli.failures import NotFound
    from agents.cli.names import near

    known = looks.customers()
    if customer not in known:
        raise NotFound(f"no customer {customer!r}{near(customer, known)}")


def invoice(
    name: Annotated[
        str,
        typer.Argument(
            help="A number, the beginning of an id, or a customer: its latest invoice. None: the latest. Or what is to "
            "become of one: release, reject, void, reissue, uncollectible, followed by the document."
        ),
    ] = "",
    document: Annotated[str, typer.Argument(help="After an action: its number, or the beginning of its id.")] = "",
    replay: Annotated[bool, typer.Option("--replay/--no-replay", help="Compute it again from raw events.")] = True,
    actor: Actor = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; an action needs one, and it is kept.")] = "",
    request_id: RequestId = "",
    no_wait: NoWait = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Show one invoice: lines with their tiers, what was not billed, and the proof; or decide about one.

    The footer says to which offsets the usage is complete and whether a replay, made now, gives identical bytes; if
    not, the exit code is 5. `release` and `reject` decide about a held draft; `void` books a credit note for all of an
    unpaid invoice, `reissue` puts another one in its place; `uncollectible` gives up an open one.
    """
    import asyncio

    from agents.cli.documents import ACTIONS, act
    from agents.settings import load

    if name in ACTIONS and document:
        given = {"actor": actor, "reason": reason, "request_id": request_id, "as_json": as_json}
        asyncio.run(act(load(), name, document, timeout=None if no_wait else timeout, **given))  # type: ignore[arg-type]
        return
    if document:
        raise typer.BadParameter(f"{name!r} is no action; one of {', '.join(ACTIONS)}", param_hint="NAME")
    asyncio.run(_invoice(load(), name, replayed=replay, as_json=as_json))


async def _invoice(settings: Settings, name: str, *, replayed: bool, as_json: bool) -> None:
    from agents.cli.failures import ProofFailed
    from agents.cli.footing import footing
    from agents.cli.invoice_table import show_invoice
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.store.looks import StoredNote

    screen = Screen(json_only=as_json)
    if (draft := _draft(settings, name)) is not None:
        show_invoice(screen, draft)
        screen.say("A draft: it is rated anew at each full hour until the end of grace. Next: tally invoices")
        if as_json:
            screen.document({"invoice": draft.model_dump(mode="json")})
        return
    async with reading(settings) as readers:
        stored = the_invoice_or_note(readers.looks, name)
        if isinstance(stored, StoredNote):
            from agents.cli.explain_note import show_note

            await show_note(readers, screen, stored, as_json=as_json)
            return
        found = await footing(readers, stored, replayed=replayed)
    if as_json:
        screen.document(_document(found))
    else:
        from agents.cli.footing import footer_lines, left_out_lines
        from agents.cli.invoice_table import COLUMNS, line_rows, title, total_rows

        invoice = found.invoice
        screen.table(title(invoice), COLUMNS, [*line_rows(invoice), *total_rows(invoice)])
        screen.say("Not billed")
        for line in left_out_lines(found):
            screen.say(f"  {line}")
        screen.say("\nProof")
        for line in footer_lines(found):
            screen.say(f"  {line}")
    if found.differences():
        raise ProofFailed("a replay gives something else:\n  " + "\n  ".join(found.differences()))


def _draft(settings: Settings, name: str) -> Invoice | None:
    """The draft in its grace that the beginning of an id names."""
    from agents.store.connection import Connection
    from agents.store.drafts import DraftStore

    connection = Connection(settings)
    try:
        return DraftStore(connection).named(name)
    finally:
        connection.close()


def the_document(looks: LookStore, name: str) -> dict[str, Any]:
    """The row of the one document that a number or the beginning of an id stands for. Raises NotFound, Refused."""
    from agents.cli.failures import NotFound, Refused
    from agents.cli.names import near

    found = looks.find_documents(name)
    if not found:
        raise NotFound(f"no document {name!r}, by number or id{near(name, looks.invoice_names())}")
    if len(found) > 1:
        raise Refused(f"{name} is the beginning of {len(found)} ids: {', '.join(str(r['document_id']) for r in found)}")
    return found[0]


def the_invoice(looks: LookStore, name: str) -> StoredInvoice:
    """The one document that a name stands for. Raises NotFound, with names like it, and Refused if it is ambiguous."""
    from agents.cli.failures import NotFound, Refused
    from agents.cli.names import near

    found = looks.find_invoice(name)
    if len(found) > 1:
        ids = ", ".join(stored.invoice.id for stored in found[:5])
        raise Refused(f"{name} is the beginning of {len(found)} ids: {ids}")
    if not found and not name:
        raise NotFound("there is no invoice yet; `tally status` says what is due and what it waits for")
    if not found:
        raise NotFound(f"no document {name!r}, by number, id or customer{near(name, looks.invoice_names())}")
    return found[0]


def the_invoice_or_note(looks: LookStore, name: str) -> StoredInvoice | StoredNote:
    """The one document that a name stands for: a credit note by its number or id, else an invoice. Raises as above."""
    from agents.cli.failures import Refused

    notes = looks.find_notes(name) if name else ()
    if not notes:
        return the_invoice(looks, name)
    if len(notes) > 1 or looks.find_documents(name)[1:]:
        raise Refused(f"{name} is the beginning of several ids: {', '.join(found.note.id for found in notes[:5])}, …")
    return notes[0]


def _document(found: Footing) -> dict[str, object]:
    return {
        "invoice": found.invoice.model_dump(mode="json"),
        "sha256": found.sha256,
        "not_billed": {
            "events": [
                {"type": left.type, "events": left.events, "after_the_close": left.beyond,
                 "not_counted": left.uncounted, "metered": left.type in found.metered_types}
                for left in found.not_billed
            ],
            "invalid": found.invalid,
            "unattributed": {"events": found.unattributed_events, "subjects": found.unattributed_subjects},
        },
        "unsealed_panes": found.unsealed_panes,
        "replay": None if found.verdicts is None else {
            "identical": not found.differences(), "differences": list(found.differences())
        },
    }  # fmt: skip
