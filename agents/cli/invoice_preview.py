"""`tally invoice-preview`: what an invoice would be, for people and for programs. Needs no service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from schemas.invoice_preview import PreviewedDocument

EXAMPLE = "Example: tally invoice-preview --jsonl deploy/examples/invoice-preview.jsonl"


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import MONEY

    app.command("invoice-preview", rich_help_panel=MONEY, epilog=EXAMPLE)(invoice_preview)


def invoice_preview(
    file: Annotated[Path | None, typer.Argument(help="A request; default: standard input.", show_default=False)] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A request per line in, an answer per line out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the invoice of charges with usage, discounts, taxes and credits. Needs no service, changes nothing.

    A charge is `{"rate_card": …, "usage": …}` with the fields of the catalogue, or `{"id": …, "amount": …}`; all of it
    is in schemas/json/invoice-preview.schema.json. With --jsonl a faulty request is answered by
    `{"faults": [{"path": …, "problem": …}]}` on its line, and the others go on.
    """
    import sys

    from agents.previews import answers, previewed

    if jsonl:
        with file.open(encoding="utf-8") if file else sys.stdin as lines:
            for told in answers(lines):
                sys.stdout.write(told + "\n")
                sys.stdout.flush()
        return
    from agents.cli.failures import Refused
    from agents.cli.screen import Screen
    from pipeline.documents.invoice_preview import PreviewRefused

    screen = Screen(json_only=as_json)
    try:
        found = previewed(file.read_bytes() if file else sys.stdin.buffer.read())
    except PreviewRefused as refused:
        faults = "\n  ".join(f"{path}: {problem}" if path else problem for path, problem in refused.faults)
        raise Refused(f"the request is faulty:\n  {faults}") from None
    if as_json:
        screen.document(found.model_dump(mode="json"))
        return
    for title, document in (("invoice", found.invoice), ("credit note", found.credit_note)):
        if document is not None:
            _show(screen, title, found.currency, document)
    if found.credit_note is not None:
        screen.say(f"set off {found.set_off.set_off:,f}: {found.set_off.due:,f} {found.currency} to pay")


def _show(screen: Screen, title: str, currency: str, document: PreviewedDocument) -> None:
    rows = [
        (line.charge, f"{line.amount:,f}", f"{-line.discount:,f}" if line.discount else "", f"{line.net:,f}",
         f"{line.tax:,f}" if line.taxes else "")
        for line in document.lines
    ]  # fmt: skip
    totals = document.totals
    rows.append(("net", "", "", f"{totals.net:,f}", ""))
    for group in totals.tax_by_rate:
        why = f", {group.exemption.replace('_', ' ')}" if group.exemption else ""
        rows.append(
            (f"tax {group.percentage.normalize():f} % of {group.taxable:,f}{why}", "", "", "", f"{group.tax:,f}")
        )
    rows.append(("total", "", "", f"{totals.total:,f} {currency}", ""))
    for use in document.credits:
        rows.append((f"credit {use.grant} ({use.treatment}), {use.left:,f} left", "", "", f"{-use.used:,f}", ""))
    if document.credits:
        rows.append(("amount due", "", "", f"{totals.amount_due:,f} {currency}", ""))
    screen.table(title, ("charge", ">amount", ">discount", ">net", ">tax"), rows)
