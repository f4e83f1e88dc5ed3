"""`tally alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli.options import AsJson

AT_MOST = 50


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import LOOK

    app.command("alerts", rich_help_panel=LOOK, epilog="Example: tally alerts acme --kind usage_threshold")(alerts)


def alerts(
    customer: Annotated[str, typer.Argument(help="Whom they concern; everybody if left out.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Only these: usage_threshold, silence, anomaly, …")] = "",
    at_most: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = AT_MOST,
    as_json: AsJson = False,
) -> None:
    """List what was published on billing.alerts, the newest first: alerts by the rules of the catalogue, and notices.

    With --json each comes with its evidence: the rule, the figure, the threshold, and the position of the log that the
    figure holds at.
    """
    import json

    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.alerts import AlertStore
    from agents.store.connection import Connection

    screen, connection = Screen(json_only=as_json), Connection(load())
    try:
        rows = AlertStore(connection).listed(customer, kind, at_most)
    finally:
        connection.close()
    if as_json:
        screen.document([{**row, "evidence": json.loads(str(row["evidence"]))} for row in rows])
    elif not rows:
        screen.say("No alerts. Rules are tables [[alerts]] of the catalogue: tally catalogue check")
    else:
        shown = [(f"{row['at']:%Y-%m-%d %H:%M}", row["kind"], row["customer"], row["text"]) for row in rows]
        screen.table(
            f"as of {rows[0]['as_of']:%Y-%m-%d %H:%M} UTC", ("billing time", "kind", "customer", "what"), shown
        )
