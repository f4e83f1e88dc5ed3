"""`tally rebuild`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.settings import Settings

PATIENCE_S = 120.0


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("rebuild", rich_help_panel=PROVE, epilog="Example: tally rebuild --into tally_again --drop")(rebuild)


def rebuild(
    into: Annotated[str, typer.Option("--into", help="The database to compute; it must not be there yet.")],
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="It is there: a restored backup, which goes on from its own ledger.")
    ] = False,
    drop_after: Annotated[bool, typer.Option("--drop", help="Drop it again after the comparison.")] = False,
    patience: Annotated[
        float, typer.Option("--patience", min=1, help="Seconds without progress to wait.")
    ] = PATIENCE_S,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Compute a database again from the logs, with all outputs off, and compare it with the present one.

    Real workers do it, beside those that run: nothing is published, no time is made. The verdict is by table: rows and
    a 128-bit fingerprint of their content. Exit code 5 if a table differs. To use the new database, set TALLY_DATABASE.
    """
    import asyncio

    from agents.settings import load

    asyncio.run(_rebuild(load(), into, catch_up, drop_after, patience, dry_run=dry_run, as_json=as_json))


async def _rebuild(
    settings: Settings, into: str, catch_up: bool, drop_after: bool, patience: float, *, dry_run: bool, as_json: bool
) -> None:
    import asyncio

    from agents.cli.failures import ProofFailed, Refused
    from agents.cli.rebuilding import differing, drop, ends_of, prepare, rebuilt, target_of
    from agents.cli.screen import Screen
    from agents.logs import Logs

    screen = Screen(json_only=as_json)
    if into == settings.database or not into.isidentifier():
        raise Refused(f"--into {into}: must be the name of another database, of letters, digits and _")
    target = target_of(settings, into)
    async with Logs(settings) as logs:
        ends = await ends_of(logs, from_zero=not catch_up)
        total = sum(map(sum, ends.values()))
        if dry_run:
            screen.say(f"would compute {into} from {total:,} records of {len(ends)} logs, with outputs off")
            return
        await asyncio.to_thread(prepare, target, catch_up=catch_up)
        with screen.wait(f"rebuilding into {into}", total, "records") as wait:
            found = await rebuilt(settings, target, ends, told=wait.to, patience_s=patience)
    if as_json:
        screen.document({
            "database": into, "records": found.records, "seconds": round(found.seconds, 1), "equal": found.equal,
            "tables": [
                {"table": one.table, "rows": one.present.rows, "rebuilt_rows": one.rebuilt.rows, "equal": one.equal}
                for one in found.tables
            ],
        })  # fmt: skip
    else:
        screen.table(f"{into} against {settings.database}", ("table", ">rows", ">rebuilt", "fingerprint"), [
            (one.table, f"{one.present.rows:,}", f"{one.rebuilt.rows:,}", "the same" if one.equal else "DIFFERENT")
            for one in found.tables
        ])  # fmt: skip
    if drop_after:
        await asyncio.to_thread(drop, target)
    if not found.equal:
        raise ProofFailed("the rebuilt database differs:\n  " + "\n  ".join(differing(found.tables)))
    screen.say(f"{found.records:,} records in {found.seconds:.1f} s: every table has the same fingerprint.")
