"""`tally gaps`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agents.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("gaps", rich_help_panel=PROVE, epilog="Example: tally gaps --source /gateway/eu-1 --waiting")(gaps)


def gaps(
    source: Annotated[str, typer.Option("--source", help="Only this producer.")] = "",
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Also gaps of the last ten minutes, which may still close.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show numbers that producers gave out (`sequence`) and that never arrived; exit code 1 if there are any.

    A gap opens ten minutes of broker time after a later number arrived; a late arrival closes it, a restart is none.
    """
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.completeness import CompletenessStore
    from agents.store.connection import Connection

    screen, connection = Screen(json_only=as_json), Connection(load())
    try:
        store = CompletenessStore(connection)
        rows, numbered = store.gaps(source, waiting=waiting), store.numbered(source)
    finally:
        connection.close()
    if as_json:
        sources = [{"source": name, "runs": runs, "numbers": numbers} for name, runs, numbers in numbered]
        screen.document({"gaps": rows, "sources": sources})
    elif not numbered:
        screen.say("No producer numbers its events: `sequence` in schemas/USAGE_EVENTS.md says how.")
    else:
        if rows:
            columns = ("source", "epoch or run", ">missing", ">from", ">to", "state", "event times around it")
            screen.table("never arrived", columns, [_row(row) for row in rows])
        for name, runs, numbers in numbered:
            lost = sum(row["missing"] for row in rows if row["source"] == name)
            screen.say(f"{name}: {numbers:,} numbers arrived in {runs:,} runs, {lost:,} are missing")
    raise typer.Exit(any(row["state"] == "open" for row in rows))


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    before = f"{row['before_gap']:%Y-%m-%d %H:%M:%S}" if row["before_gap"] else "the start"
    return (
        row["source"], row["epoch"] or f"run {row['run']}", f"{row['missing']:,}", f"{row['first_missing']:,}",
        f"{row['last_missing']:,}", row["state"], f"{before} to {row['after_gap']:%Y-%m-%d %H:%M:%S}",
    )  # fmt: skip
