"""`tally leaks`."""

from __future__ import annotations

import typer

from agents.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("leaks", rich_help_panel=PROVE, epilog="Example: tally leaks --json")(leaks)


def leaks(as_json: AsJson = False) -> None:
    """Show usage that would be free unseen: count, first and last seen, source.

    Types that no meter counts, measures that a meter cannot use, subjects without a customer, customers without a
    subscription at that time, usage in a pause, dimensions that no price covers. Five minutes decide beside a boundary.
    """
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.completeness import CompletenessStore
    from agents.store.connection import Connection

    screen, connection = Screen(json_only=as_json), Connection(load())
    try:
        rows = CompletenessStore(connection).leaks()
    finally:
        connection.close()
    if as_json:
        screen.document(rows)
        return
    if not rows:
        screen.say("No leaks: every stored event is metered, measured, attributed and under a subscription.")
        return
    columns = ("leak", "what", "source", ">events", "first seen", "last seen")
    shown = [
        (r["leak"], r["what"], r["source"], f"{r['events']:,}", f"{r['first_seen']:%Y-%m-%d %H:%M}",
         f"{r['last_seen']:%Y-%m-%d %H:%M}")
        for r in rows
    ]  # fmt: skip
    screen.table(f"leaks, as of {rows[0]['as_of']:%Y-%m-%d %H:%M} UTC", columns, shown)
    screen.say("Next: meter the type, mend the producer, `tally attribute`, or `tally subscribe`")
