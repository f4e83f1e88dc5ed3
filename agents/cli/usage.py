"""`tally usage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from datetime import date

    from agents.cli.screen import Screen
    from agents.cli.usage_bars import Shown
    from agents.store.looks import LookStore

EVERY_S = 2.0


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import LOOK

    app.command("usage", rich_help_panel=LOOK, epilog="Example: tally usage acme --meter requests --watch")(usage)


def usage(
    customer: Annotated[str, typer.Argument(help="Who pays; a subject without a customer stands for itself.")],
    meter: Annotated[str, typer.Option("--meter", help="Only this meter.")] = "",
    start: Annotated[str, typer.Option("--from", help="First day, UTC; default: a month up to the last usage.")] = "",
    end: Annotated[str, typer.Option("--to", help="The day after the last one, UTC.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds until stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a customer used: a bar per day and meter, totals, and how fresh that is.

    Sealed five-minute panes and the open tail together, so nothing waits for a close.
    """
    import time

    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.looks import LookStore

    screen, looks = Screen(json_only=as_json), LookStore(Connection(load()))
    first, last = _day(start, "--from"), _day(end, "--to")
    _check(looks, customer, meter)
    _show(screen, _shown(looks, customer, meter, first, last), as_json=as_json)
    while watch:
        time.sleep(EVERY_S)
        shown = _shown(looks, customer, meter, first, last)
        if not as_json:
            screen.clear()
        _show(screen, shown, as_json=as_json)


def _day(text: str, option: str) -> date | None:
    from datetime import date

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day such as 2026-11-01", param_hint=option) from None


def _check(looks: LookStore, customer: str, meter: str) -> None:
    """Raises NotFound, with names like it, for a customer or a meter nobody has heard of."""
    from agents.cli.failures import NotFound
    from agents.cli.names import near

    known = looks.customers()
    if customer not in known and not looks.has_used(customer):
        raise NotFound(f"no customer {customer!r}{near(customer, known)}")
    meters = looks.meters()
    if meter and meter not in meters:
        raise NotFound(f"no meter {meter!r} has counted anything yet{near(meter, meters)}")


def _shown(looks: LookStore, customer: str, meter: str, first: date | None, last: date | None) -> Shown:
    from agents.cli.usage_bars import shown

    return shown(
        looks.daily_usage(customer, meter), looks.current_usage(customer, meter), looks.freshness(),
        customer=customer, first=first, last=last,
    )  # fmt: skip


def _show(screen: Screen, shown: Shown, *, as_json: bool) -> None:
    from agents.cli.usage_bars import described, lines

    if as_json:
        screen.document(described(shown))
        return
    for line in lines(shown):
        screen.say(line)
