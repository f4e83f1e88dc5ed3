"""`tally audit`: every command, who asked, why, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import PROVE

    app.command("audit", rich_help_panel=PROVE, epilog="Example: tally audit --customer acme --refused")(audit)


def audit(
    customer: Annotated[str, typer.Option("--customer", help="Only of this customer.")] = "",
    command: Annotated[str, typer.Option("--command", help="Only of this kind, such as set_override.")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    accepted: Annotated[bool, typer.Option("--accepted", help="Only what was accepted.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List commands with actor, reason, request id and outcome, the newest first."""
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.customers import CustomerStore

    _known_command(command)
    connection = Connection(load())
    wanted = [True] if accepted and not refused else [False] if refused and not accepted else [True, False]
    rows = CustomerStore(connection).commands(customer, command, accepted=wanted, at_most=limit)
    connection.close()
    screen = Screen(json_only=as_json)
    if as_json:
        screen.document([{**row, "accepted": bool(row["accepted"]), "time": _time(row)} for row in rows])
        return
    screen.table("commands", ("billing time", "customer", "command", "outcome", "by", "why", "request id", "place"), [
        (f"{row['time']:%Y-%m-%d %H:%M}" if row["tick"] else "–", row["customer"], row["command"],
         "accepted" if row["accepted"] else f"refused: {row['detail']}", row["actor"], row["reason"],
         row["request_id"], f"{row['partition']}/{row['offset']}")
        for row in rows
    ])  # fmt: skip
    more = f"; the newest {limit:,}, more with --limit" if len(rows) == limit else ""
    screen.say(f"{len(rows):,} commands{more}." if rows else "No commands. Next: tally subscribe CUSTOMER PLAN")


def _time(row: dict[str, object]) -> object:
    return row["time"] if row["tick"] else None


def _known_command(name: str) -> None:
    if not name:
        return
    from pipeline.catalogue.fault_texts import nearest
    from schemas.command import NAMES

    if name not in NAMES:
        hint = nearest(name, NAMES) or f"; there are {', '.join(NAMES)}"
        raise typer.BadParameter(f"there is no command {name!r}{hint}", param_hint="--command")
