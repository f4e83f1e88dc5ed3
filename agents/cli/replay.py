"""`tally replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.replaying import Verdict
    from agents.settings import Settings
    from agents.store.looks import LookStore


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("replay", rich_help_panel=PROVE, epilog="Example: tally replay --check --all")(replay)


def replay(
    names: Annotated[list[str] | None, typer.Argument(help="Numbers, ids or customers; none: the latest.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every close and every document.")] = False,
    period: Annotated[
        str, typer.Option("--period", help="Closes of periods that begin in 2026-10, 2026-10-31 or START/END (UTC).")
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Say only the result, and what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute closes again from raw events at their vectors, and invoices from their closes; compare the bytes.

    Nothing is stored or published. Exit code 5 if anything differs, with what.
    """
    import asyncio

    from agents.settings import load

    asyncio.run(_replay(load(), names or [], period, everything=everything, check=check, as_json=as_json))


async def _replay(
    settings: Settings, names: list[str], period: str, *, everything: bool, check: bool, as_json: bool
) -> None:
    from agents.cli.failures import ProofFailed, Refused
    from agents.cli.instants import span_of
    from agents.cli.reading import reading
    from agents.cli.replaying import Replayer
    from agents.cli.screen import Screen

    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
        span = span_of(period, "--period") if period else None
        if span is not None and names:
            raise Refused("--period and names exclude each other: name documents, or the periods that they bill")
        if everything or span is not None:
            verdicts = await replayer.replay(None, span)
        else:
            verdicts = await replayer.replay([_close_of(readers.looks, name) for name in names or [""]])
    different = [verdict for verdict in verdicts if not verdict.identical]
    if as_json:
        screen.document({"identical": not different, "verdicts": [_described(verdict) for verdict in verdicts]})
    elif not check:
        columns = ("what", "name", "customer", ">tick", "replay")
        screen.table("replay", columns, [
            (v.kind, v.name, v.customer, v.tick, "identical bytes" if v.identical else f"{len(v.differences)} differ")
            for v in verdicts
        ])  # fmt: skip
    if different:
        raise ProofFailed(f"{len(different)} of {len(verdicts)} differ from their replay:\n  " + "\n  ".join(
            f"{v.kind} {v.name} ({v.customer}): {said}" for v in different for said in v.differences
        ))  # fmt: skip
    closes = sum(verdict.kind == "close" for verdict in verdicts)
    for note in sorted({verdict.note for verdict in verdicts if verdict.note}):
        screen.say(f"{sum(verdict.note == note for verdict in verdicts):,} closes: {note}")
    screen.say(f"{closes:,} closes and {len(verdicts) - closes:,} documents computed again: identical bytes.")


def _close_of(looks: LookStore, name: str) -> str:
    """The close of the document that a name means; a credit note is named by its number or its id."""
    from agents.cli.invoices import the_invoice

    rows = looks.find_documents(name) if name else []
    if len(rows) == 1:
        return str(rows[0]["close_id"])
    return the_invoice(looks, name).invoice.basis.close_id


def _described(verdict: Verdict) -> dict[str, object]:
    return {
        "kind": verdict.kind,
        "name": verdict.name,
        "customer": verdict.customer,
        "tick": verdict.tick,
        "identical": verdict.identical,
        "differences": list(verdict.differences),
        "note": verdict.note,
    }
