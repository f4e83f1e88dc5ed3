"""`tally close`: what closing waits for, who is set aside, and how a run that was set aside goes on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import Actor, AsJson, DryRun

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("close", rich_help_panel=OPERATE, epilog="Example: tally close --explain-wait")(close)


def close(
    explain_wait: Annotated[
        bool, typer.Option("--explain-wait", help="Say what each tick that is not closed waits for (the default).")
    ] = False,
    release: Annotated[str, typer.Option("--release", help="Look again at what is parked of this customer.")] = "",
    actor: Actor = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; a release needs one.")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say what closing waits for, tick by tick, and which customers are parked; or release parked ones.

    A released run is compared once more: it closes if nothing differs any more, and is parked again if something does.
    The runs behind it follow by themselves.
    """
    del explain_wait
    from agents.cli.screen import Screen
    from agents.settings import load

    screen = Screen(json_only=as_json)
    if release:
        _release(load(), screen, release, actor=actor, reason=reason, dry_run=dry_run)
    else:
        _explain(load(), screen)


def _explain(settings: Settings, screen: Screen) -> None:
    from agents.store.billing import BillingStore
    from agents.store.connection import Connection
    from agents.store.looks import LookStore

    connection = Connection(settings)
    billing, looks = BillingStore(connection), LookStore(connection)
    runs = billing.open_runs(range(settings.billing_partitions))
    counts = Counter(run.tick.number for run in runs)
    waits = [(tick, counts[tick.number], billing.missing(tick) or "the period closer, which looks four times a second")
             for tick in {run.tick.number: run.tick for run in runs}.values()]  # fmt: skip
    parked = looks.parked()
    connection.close()
    if screen.json_only:
        screen.document({
            "waiting": [
                {"tick": tick.number, "time": tick.time.isoformat(), "runs": count, "waits_for": why}
                for tick, count, why in waits
            ],
            "parked": [
                {"customer": who, "tick": tick, "reason": why, "detail": detail} for who, tick, why, detail in parked
            ],
        })  # fmt: skip
        return
    if waits:
        screen.table("not closed", ("tick", "time", ">customers", "waits for"), [
            (str(tick.number), f"{tick.time:%Y-%m-%d %H:%M}", f"{count:,}", why) for tick, count, why in waits
        ])  # fmt: skip
    if parked:
        screen.table("parked", ("customer", ">tick", "reason", "detail"), [
            (who, str(tick), why, detail) for who, tick, why, detail in parked
        ])  # fmt: skip
        screen.say(
            "Next: tally reconcile says what differs; once it is mended: tally close --release CUSTOMER --reason WHY"
        )
    if not waits and not parked:
        screen.say("Nothing waits: every run that a tick made due is closed.")


def _release(settings: Settings, screen: Screen, customer: str, *, actor: str, reason: str, dry_run: bool) -> None:
    from agents.cli.failures import NotFound, Refused
    from agents.cli.options import login_name
    from agents.store.billing import BillingStore
    from agents.store.connection import Connection
    from agents.store.looks import LookStore

    if not reason.strip():
        raise Refused("--reason: must say why: it is kept with the run")
    connection = Connection(settings)
    parked = [(tick, why, detail) for who, tick, why, detail in LookStore(connection).parked() if who == customer]
    if not parked:
        raise NotFound(f"nothing of {customer!r} is parked; tally close lists what is")
    if not dry_run:
        BillingStore(connection).release(customer, f"released by {actor or login_name()}: {reason}")
    connection.close()
    if screen.json_only:
        screen.document({"customer": customer, "ticks": [tick for tick, _, _ in parked], "released": not dry_run})
    for tick, why, detail in parked:
        screen.say(f"{'Would release' if dry_run else 'Released'} tick {tick} of {customer} ({why}: {detail}).")
    screen.say("Next: tally close says whether it closed, or was parked again")
