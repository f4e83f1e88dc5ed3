"""`tally rerate`: our own mistake, mended. Billed periods are rated anew with the right version of their plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import Actor, AsJson

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agents.settings import Settings
    from pipeline.closing.whatif import Shadow
    from schemas.catalogue_entry import Catalogue, PlanEntry
    from schemas.command import Rerate
    from schemas.customer_state import BillingRun
    from schemas.period import Period


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import MONEY

    app.command(
        "rerate", rich_help_panel=MONEY, epilog="Example: tally rerate --period 2026-10 --plan team@3f2a --dry-run"
    )(rerate)


def rerate(
    period: Annotated[str, typer.Option("--period", help="Periods that begin in 2026-10, 2026-10-31 or START/END.")],
    plan: Annotated[
        str, typer.Option("--plan", help="NAME@VERSION of the log: with its prices, and the meter versions it names.")
    ] = "",
    meter: Annotated[
        str,
        typer.Option("--meter", help="NAME@VERSION of the log: with the newest version of each plan that names it."),
    ] = "",
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Hand it in; else show it only.")] = False,
    batch: Annotated[str, typer.Option("--batch", help="Names the correction; default: from plan and period.")] = "",
    actor: Actor = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; needed with --apply, and kept.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what another version of plans makes of billed periods, per customer; with --apply, have it billed.

    A meter that was wrong is corrected by a plan version that names its new version. The next run of each customer
    bills the difference: a line that names the period, or a credit note. A batch that is handed in again, as after an
    interruption, changes nothing twice.
    """
    import asyncio

    from agents.settings import load

    if (plan != "") + (meter != "") != 1:
        raise typer.BadParameter("give one of --plan and --meter: what was wrong")
    asyncio.run(
        _rerate(load(), period, plan, meter, apply=apply, batch=batch, actor=actor, reason=reason, as_json=as_json)
    )


async def _rerate(
    settings: Settings,
    period: str,
    plan: str,
    meter: str,
    *,
    apply: bool,
    batch: str,
    actor: str,
    reason: str,
    as_json: bool,
) -> None:
    from agents.cli.failures import NotFound, Refused
    from agents.cli.instants import span_of
    from agents.cli.options import login_name
    from agents.cli.reading import reading
    from agents.cli.replaying import Replayer
    from agents.cli.screen import Screen
    from agents.cli.whatif import candidate_of
    from pipeline.closing.whatif import compared
    from schemas.command import Rerate
    from schemas.identity import derived_id

    if apply and not reason.strip():
        raise Refused("--reason: must say why: it moves money, and is kept with every command")
    screen, span = Screen(json_only=as_json), span_of(period, "--period")
    async with reading(settings) as readers:
        newest = await readers.catalogue.newest()
        candidates = [candidate_of(plan, [], newest)[0]] if plan else plans_with(meter, newest)
        replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
        runs = [close.run for close in readers.looks.closes(None, span)]
        shadows: list[Shadow] = []
        concerned: list[tuple[str, str, PlanEntry]] = []
        billed = 0
        for entry in candidates:
            before, after = await replayer.shadow(entry, newest.meters_of(entry), frozenset([entry.name]), span)
            found = [one for one in compared(before, after) if one.difference or one.unpriced]
            billed, shadows = billed + len(before), [*shadows, *found]
            concerned += [(*each, entry) for each in billed_on(entry.name, runs, span, {one.customer for one in found})]
        named = ", ".join(f"{entry.name}@{entry.version}" for entry in candidates)
        if not billed:
            raise NotFound(f"no close bills a period on {named} in {period}")
        batch = batch or str(derived_id("rerate", named, period))
        commands = [
            Rerate(
                request_id=str(derived_id("rerate", batch, customer, subscription)), actor=actor or login_name(),
                reason=reason, customer=customer, subscription=subscription, batch=batch, plan=entry.name,
                plan_version=entry.version, span=span,
            )
            for customer, subscription, entry in concerned
        ]  # fmt: skip
        refused = await _handed_in(settings, screen, commands) if apply else []
    if as_json:
        screen.document({
            "batch": batch, "applied": apply, "refused": refused,
            "customers": [
                {"customer": one.customer, "currency": one.currency, "billed": f"{one.before:f}",
                 "rated_anew": f"{one.after:f}", "difference": f"{one.difference:f}", "unpriced": one.unpriced}
                for one in shadows
            ],
        })  # fmt: skip
    else:
        columns = ("customer", ">billed", ">anew", ">difference", "")
        screen.table(f"{named} for {period}", columns, [
            (one.customer, f"{one.before:,f}", f"{one.after:,f}", f"{one.difference:+,f}", one.currency)
            for one in shadows
        ])  # fmt: skip
        for said in refused:
            screen.say(said)
        told = f"{len(commands)} subscriptions in batch {batch}"
        screen.say(f"Handed in: {told}; the next tick bills the difference." if apply else f"Nothing done: {told}.")
    if refused:
        raise Refused(f"{len(refused)} of {len(commands)} were refused")


def plans_with(meter: str, newest: Catalogue) -> list[PlanEntry]:
    """The newest version of each plan, if that names a version of a meter. Raises NotFound if none does."""
    from agents.cli.failures import NotFound

    name, _, version = meter.partition("@")
    wanted = version or newest.newest_meters.get(name, "")
    entries = [newest.plan(plan, newest.newest_plans[plan]) for plan in sorted(newest.newest_plans)]
    found = [entry for entry in entries if entry is not None and entry.meters.get(name) == wanted]
    if not found:
        raise NotFound(f"--meter: the newest version of no plan names {meter}; apply a plan that does, then tick")
    return found


def billed_on(plan: str, runs: Sequence[BillingRun], span: Period, customers: Collection[str]) -> list[tuple[str, str]]:
    """(customer, subscription) of some customers that billed a period on a plan which begins in a span."""
    return sorted({
        (run.customer, due.subscription)
        for run in runs
        if run.customer in customers
        for due in run.periods
        if due.plan == plan and span.contains(due.period.start)
    })  # fmt: skip


async def _handed_in(settings: Settings, screen: object, commands: list[Rerate]) -> list[str]:
    """Sends the commands and waits for their outcomes; what was refused, and why."""
    from agents.cli.failures import TimedOut
    from agents.commands import outcomes, send
    from agents.logs import Logs

    del screen
    async with Logs(settings) as logs:
        sent = await send(logs, commands)
        found = await outcomes(logs, sent, within_s=60)
    if None in found:
        raise TimedOut("not all of the batch is decided; run it again: the same batch changes nothing twice")
    return [f"{one.customer}: {one.detail}" for one in found if one is not None and not one.accepted]
