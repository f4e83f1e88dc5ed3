"""`tally evidence` and `tally verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.proving import Gathered, GatheredNote
    from agents.cli.reading import Reading
    from agents.cli.screen import Screen
    from agents.settings import Settings
    from agents.store.looks import StoredInvoice, StoredNote


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import PROVE

    app.command("evidence", rich_help_panel=PROVE, epilog="Example: tally evidence INV-000001 --out inv.evidence.json")(
        evidence
    )
    app.command("verify", rich_help_panel=PROVE, epilog="Example: tally verify inv.evidence.json --key public.key")(
        verify
    )


def evidence(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT", help="An invoice or a credit note: a number, the beginning of an id; or a customer."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The file; default: NUMBER.evidence.json here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the proof of a document to a signed file: document, close, rate cards, and every raw event behind it.

    Of a credit note also the invoice that it corrects, the notes of it before, and what was billed before. The same
    log gives the same bytes. Above 100,000 events they go to a companion file beside it.
    """
    import asyncio

    from agents.settings import load

    asyncio.run(_evidence(load(), name, out, as_json=as_json))


async def _evidence(settings: Settings, name: str, out: Path | None, *, as_json: bool) -> None:
    from agents.cli.invoices import the_invoice_or_note
    from agents.cli.keys import key_file
    from agents.cli.proving import written
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.signing import load_key
    from agents.store.looks import StoredNote

    key = load_key(key_file(settings.signing_key))
    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        stored = the_invoice_or_note(readers.looks, name)
        shown = stored.note if isinstance(stored, StoredNote) else stored.invoice
        file = out or Path(f"{shown.number or shown.id}.evidence.json")
        with screen.wait(f"evidence of {shown.number or 'draft'}", None, "events") as wait:
            found = await _gathered(readers, stored)
            wait.to(len(found.events))
        files = written(found, key, file)
    if as_json:
        screen.document({"files": [str(each) for each in files], "events": len(found.events)})
    else:
        screen.say("\n".join(str(each) for each in files))
        screen.say(f"Next: tally verify {file} --key $(tally keys show)")


async def _gathered(readers: Reading, stored: StoredInvoice | StoredNote) -> Gathered | GatheredNote:
    from agents.cli.proving import gathered, gathered_note
    from agents.store.looks import StoredNote

    return await (gathered_note(readers, stored) if isinstance(stored, StoredNote) else gathered(readers, stored))


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Evidence, as `tally evidence` wrote it.")],
    key: Annotated[str, typer.Option("--key", help="The public key: 64 hex digits, or a file that holds them.")],
    as_json: AsJson = False,
) -> None:
    """Check evidence offline: the signature, every byte, the quantities from the events, the amounts from them.

    Of a credit note also that it takes back no more than its run gave back and the invoice had left, with discount and
    tax by cumulative rounding. Needs no service. Exit code 5 if anything was altered, dropped or added, with what.
    """
    from agents.cli.failures import ProofFailed
    from agents.cli.proving import verified
    from agents.cli.screen import Screen
    from agents.signing import read_public_key

    found = verified(file, read_public_key(key))
    screen = Screen(json_only=as_json)
    if as_json:
        screen.document({"verified": not found.faults, "faults": list(found.faults), **found.facts})
    if found.faults:
        raise ProofFailed(f"{file} does not hold:\n  " + "\n  ".join(found.faults))
    if not as_json:
        _show(screen, found.facts)


def _show(screen: Screen, facts: dict[str, Any]) -> None:
    screen.say(
        f"{facts['document']} of {facts['customer']}: {facts['total']} {facts['currency']}, computed again from "
        f"{facts['events']:,} events"
    )
    if facts.get("corrects"):
        after = f", after {', '.join(facts['after'])}" if facts["after"] else ""
        screen.say(f"corrects {facts['corrects']}{after}: as billed, with sha256 {facts['corrects_sha256']}")
    screen.table("", ("partition", ">events", ">first offset", ">last offset", ">complete to"), facts["partitions"])
    screen.say("The signature is by this key, and every byte is as it was signed.")
