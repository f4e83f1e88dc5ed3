"""`tally cost`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("cost", rich_help_panel=OPERATE, epilog="Example: tally cost --meter tokens_out")(cost)


def cost(
    meter: Annotated[str, typer.Option("--meter", help="Only this meter.")] = "",
    customer: Annotated[str, typer.Option("--customer", help="Only this customer.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what metering costs: rows and bytes read, query CPU, per meter and customer.

    Measured by ClickHouse, query by query: seals, backfills, closes and their gates. A query of a meter reads for all
    customers at once; a customer's part is by events.
    """
    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.metering_costs import CostStore

    screen, connection = Screen(json_only=as_json), Connection(load())
    try:
        store = CostStore(connection)
        logged = store.collect(fresh=True)
        rows = [row for row in store.costs() if meter in ("", row["meter"]) and customer in ("", row["customer"])]
        work = [row for row in store.by_work() if meter in ("", row["meter"])]
    finally:
        connection.close()
    if as_json:
        screen.document({"logged": logged, "costs": rows, "work": work})
        return
    if not logged:
        screen.say("The server keeps no log of queries (query_log in its configuration): new costs are not known.")
    if not rows:
        raise NotFound("no cost is known yet: nothing was sealed or closed, or there is no such meter or customer")
    _costs(screen, rows, work)


def _costs(screen: Screen, rows: list[dict[str, Any]], work: list[dict[str, Any]]) -> None:
    columns = ("meter", "customer", ">events", ">queries", ">rows read", ">bytes read", ">CPU ms", ">CPU ns/event")
    measured_to = max(row["measured_to"] for row in rows)
    screen.table(f"cost of metering, measured to {measured_to:%Y-%m-%d %H:%M:%S} UTC", columns, [
        (
            row["meter"], row["customer"] or "–", f"{row['events']:,}", f"{row['queries']:,}", f"{row['read_rows']:,}",
            f"{row['read_bytes']:,}", f"{row['cpu_us'] // 1000:,}",
            f"{row['cpu_us'] * 1000 // row['events']:,}" if row["events"] else "",
        )
        for row in rows
    ])  # fmt: skip
    screen.table("by work", ("meter", "work", ">queries", ">rows read", ">bytes read", ">CPU ms"), [
        (
            row["meter"], row["work"], f"{row['queries']:,}", f"{row['rows']:,}", f"{row['bytes']:,}",
            f"{row['cpu'] // 1000:,}",
        )
        for row in work
    ])  # fmt: skip
