"""`tally entitlements`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.settings import Settings
    from pipeline.limits.reservations import Holdings
    from schemas.entitlement import EntitlementAnswer


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import LOOK

    app.command("entitlements", rich_help_panel=LOOK, epilog="Example: tally entitlements acme --json")(entitlements)


def entitlements(
    customer: Annotated[str, typer.Argument(help="Who pays.")],
    meter: Annotated[str, typer.Option("--meter", help="Only this meter.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what a customer's plans include, what of it is used and reserved, and what is left.

    The same figures as GET /v1/customers/CUSTOMER/entitlements/METER of tally serve: read from what is stored now, with
    the position of the log that they hold at.
    """
    import asyncio

    from agents.cli.screen import Screen
    from agents.settings import load

    screen = Screen(json_only=as_json)
    found = asyncio.run(_read(load(), customer))
    shown = [each for each in found if meter in ("", each.meter)]
    if as_json:
        screen.document([each.model_dump(mode="json") for each in shown])
    elif not shown:
        screen.say(f"No running subscription of {customer} has an entitlement{f' to {meter}' if meter else ''}.")
    else:
        _show(screen, shown)


async def _read(settings: Settings, customer: str) -> list[EntitlementAnswer]:
    """Every entitlement of a customer, by subscription and meter. Raises NotFound."""
    import asyncio

    from agents.catalogue import CatalogueLog
    from agents.cli.failures import NotFound
    from agents.entitlements import answer, standings
    from agents.logs import Logs
    from agents.store.balances import BalanceStore
    from agents.store.billing import BillingStore
    from agents.store.connection import Connection
    from agents.topics import CATALOGUE, USAGE_EVENTS

    connection = Connection(settings)
    billing = BillingStore(connection)
    async with Logs(settings) as logs:
        tick = await asyncio.to_thread(billing.last_tick)
        states = await asyncio.to_thread(billing.states, [customer])
        if tick is None or customer not in states:
            raise NotFound(f"no customer {customer!r} has a subscription: tally customers")
        catalogue = await CatalogueLog(logs).as_of(tick.vector.end(CATALOGUE, 0))
        store = BalanceStore(connection, partitions=await logs.partitions(USAGE_EVENTS))
        found, _ = await asyncio.to_thread(standings, store, [states[customer].state], catalogue, tick)
        held, place = await _reserved(logs, customer)
    connection.close()
    return [
        answer(standing, held[meter].reserved if meter in held else standing.used * 0, place)
        for (_, meter), standing in sorted(found.items())
    ]


async def _reserved(logs: Logs, customer: str) -> tuple[dict[str, Holdings], tuple[int, int]]:
    """What a customer has reserved, by meter, and how far the log was read."""
    from agents.topics import RESERVATIONS
    from pipeline.limits.reservations import Holdings
    from schemas.reservation import RESERVATION_RECORD

    partition = await logs.partition_of(RESERVATIONS, customer.encode())
    begins, ends = await logs.bounds(RESERVATIONS)
    held: dict[str, Holdings] = {}
    async for record in logs.stream(RESERVATIONS, partition, begins[partition], ends[partition]):
        found = RESERVATION_RECORD.validate_json(record.value or b"")
        if found.customer == customer:
            held.setdefault(found.meter, Holdings()).take(found, record.timestamp_ms)
    return held, (partition, ends[partition])


def _show(screen: Screen, found: list[EntitlementAnswer]) -> None:
    from schemas.quantity import plain

    rows = [
        (each.subscription, each.meter, f"{each.window.start:%Y-%m-%d %H:%M}", each.per,
         f"{plain(each.limit)} {each.unit} {'hard' if each.is_hard else 'soft'}", plain(each.used),
         plain(each.reserved), plain(each.balance))
        for each in found
    ]  # fmt: skip
    first = found[0]
    screen.table(
        f"{first.customer}, as of {first.as_of:%Y-%m-%d %H:%M} UTC",
        ("subscription", "meter", "since", "per", ">limit", ">used", ">reserved", ">left"), rows,
    )  # fmt: skip
    vector = ", ".join(f"{partition}: {end}" for partition, end in enumerate(first.position["usage.events"]))
    screen.say(f"Everything below {{{vector}}} of usage.events is counted.")
