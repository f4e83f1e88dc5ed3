"""`tally duplicates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.settings import Settings
    from agents.store.identities import SentAgain

AT_MOST = 1000


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("duplicates", rich_help_panel=PROVE, epilog="Example: tally duplicates --each --kind conflict")(
        duplicates
    )


def duplicates(
    each: Annotated[bool, typer.Option("--each", help="A row per record, with its position.")] = False,
    source: Annotated[str, typer.Option("--source", help="Only those of this producer.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="With --each: duplicate or conflict.")] = "",
    at_most: Annotated[int, typer.Option("--limit", min=1, help="With --each: rows at most.")] = AT_MOST,
    as_json: AsJson = False,
) -> None:
    """Show records that were sent again, by producer: equal or conflicting, and where they stood; never billed.

    Copies in their own partition are looked up in the log; those elsewhere are found by the audit before each close.
    """
    import asyncio

    from agents.settings import load

    if kind not in ("", "duplicate", "conflict"):
        raise typer.BadParameter(f"{kind!r} is neither duplicate nor conflict", param_hint="--kind")
    asyncio.run(_duplicates(load(), each=each, source=source, kind=kind, at_most=at_most, as_json=as_json))


async def _duplicates(settings: Settings, *, each: bool, source: str, kind: str, at_most: int, as_json: bool) -> None:
    from agents.cli.accounting import whole_log
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.positions import Positions
    from agents.topics import USAGE_EVENTS

    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        extent = whole_log(await readers.logs.end_offsets(USAGE_EVENTS), readers.ledger)
        with screen.wait("copies in their own partition", None, "positions") as wait:
            await Positions(readers.logs, readers.positions).settle(extent.starts, extent.covered, wait.to)
        if each:
            _list(screen, readers.identities.copies(source=source, kind=kind, at_most=at_most), as_json=as_json)
            return
        rows = readers.identities.duplicates(source)
        if as_json:
            screen.document(rows)
        elif rows:
            columns = ("source", "kind", "place", ">copies", "first event time", "last event time")
            screen.table("sent again", columns, [
                (r["source"], r["kind"], r["place"], f"{r['copies']:,}", f"{r['first_seen']:%Y-%m-%d %H:%M:%S}",
                 f"{r['last_seen']:%Y-%m-%d %H:%M:%S}")
                for r in rows
            ])  # fmt: skip
            screen.say("None of them is billed. Next: tally duplicates --each")
        else:
            screen.say("No record was sent again.")


def _list(screen: Screen, copies: list[SentAgain], *, as_json: bool) -> None:
    if as_json:
        screen.document([copy._asdict() for copy in copies])
        return
    columns = ("source", "id", "kind", "place", ">position", ">the first is at", "event time")
    screen.table("sent again", columns, [
        (c.source, c.id, c.kind, c.place, f"{c.partition}/{c.offset}", f"{c.first_partition}/{c.first_offset}",
         f"{c.ts:%Y-%m-%d %H:%M:%S}")
        for c in copies
    ])  # fmt: skip
