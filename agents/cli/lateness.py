"""`tally lateness`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen

LABELS = ("on time", "late", "too late", "beyond the horizon")
AT_MOST = 1000


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import LOOK

    app.command("lateness", rich_help_panel=LOOK, epilog="Example: tally lateness acme --each 'too late'")(lateness)


def lateness(
    customer: Annotated[str, typer.Argument(help="Who pays; all customers if left out.")] = "",
    each: Annotated[str, typer.Option("--each", help=f"List the events of one label: {', '.join(LABELS)}.")] = "",
    at_most: Annotated[int, typer.Option("--limit", min=1, help="With --each: events at most.")] = AT_MOST,
    as_json: AsJson = False,
) -> None:
    """Show how late usage came, per customer: by the position of each event against the vectors of ticks and closes.

    On time: before its five minutes were sealed. Late: after that, its period still open. Too late: after the close, so
    settled by a later run. Beyond the horizon: kept and listed, not billed.
    """
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.completeness import CompletenessStore
    from agents.store.connection import Connection

    if each not in ("", *LABELS):
        raise typer.BadParameter(f"{each!r} is none of {', '.join(LABELS)}", param_hint="--each")
    screen, connection = Screen(json_only=as_json), Connection(load())
    try:
        store = CompletenessStore(connection)
        rows = store.late_events(customer, each, at_most=at_most) if each else store.lateness(customer)
    finally:
        connection.close()
    if as_json:
        screen.document(rows)
    elif not rows:
        screen.say("No usage." if not each else f"No usage came {each}.")
    elif each:
        _list(screen, each, rows)
    else:
        _count(screen, rows)


def _count(screen: Screen, rows: list[dict[str, Any]]) -> None:
    counted: dict[str, dict[str, int]] = {}
    for row in rows:
        counted.setdefault(row["customer"], {})[row["lateness"]] = row["events"]
    shown = [(who, *(f"{found.get(label, 0):,}" for label in LABELS)) for who, found in sorted(counted.items())]
    screen.table(
        f"as of {rows[0]['as_of']:%Y-%m-%d %H:%M} UTC", ("customer", *(f">{label}" for label in LABELS)), shown
    )
    screen.say("Next: tally lateness CUSTOMER --each 'too late'")


def _list(screen: Screen, label: str, rows: list[dict[str, Any]]) -> None:
    columns = ("customer", "event time", "arrived", "type", "subject", "source", "id", ">position")
    screen.table(label, columns, [
        (r["customer"], f"{r['ts']:%Y-%m-%d %H:%M:%S}", f"{r['appended_at']:%Y-%m-%d %H:%M:%S}", r["type"],
         r["subject"], r["source"], r["id"], f"{r['k_partition']}/{r['k_offset']}")
        for r in rows
    ])  # fmt: skip
