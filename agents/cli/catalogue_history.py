"""`tally catalogue diff | history | migrate-subscriptions`: versions against each other, and who moves on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import WAIT_S, Actor, AsJson, DryRun, Timeout, login_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.catalogue import Applied
    from agents.cli.screen import Screen
    from schemas.catalogue_entry import AnyEntry
    from schemas.command import Change

Files = Annotated[
    list[Path] | None,
    typer.Argument(help="Files, or folders of *.toml; default: the example.", show_default=False),
]


class MoveWhen(StrEnum):
    """When subscriptions move."""

    NOW = "now"
    PERIOD_END = "period-end"


def register(group: typer.Typer) -> None:
    """Adds the commands of this module to `tally catalogue`."""
    group.command("diff", epilog="Example: tally catalogue diff plans.toml")(diff)
    group.command("history", epilog="Example: tally catalogue history team")(history)
    group.command("migrate-subscriptions", epilog="Example: tally catalogue migrate-subscriptions team --dry-run")(
        migrate_subscriptions
    )


def diff(files: Files = None, as_json: AsJson = False) -> None:
    """Show what the files would change in the log, field by field; exit code 1 if anything would change."""
    import asyncio

    from agents.cli.exit_codes import OK, REFUSED
    from agents.cli.screen import Screen

    changed = asyncio.run(_diff(Screen(json_only=as_json), files, as_json=as_json))
    raise typer.Exit(REFUSED if changed else OK)


async def _diff(screen: Screen, files: list[Path] | None, *, as_json: bool) -> int:
    from agents.catalogue import CatalogueLog
    from agents.catalogue_files import entries_of, example_folder, read_files
    from agents.cli.catalogue import change_document, say_changes
    from agents.cli.failures import Refused
    from agents.logs import Logs
    from agents.settings import load
    from pipeline.catalogue.changes import changes, kept

    loaded = read_files(files or [example_folder()])
    if loaded.faults:
        raise Refused("\n  ".join(str(fault) for fault in loaded.faults))
    async with Logs(load()) as logs:
        current = await CatalogueLog(logs).newest()
    entries = entries_of(loaded)
    found, stay = changes(current, entries), kept(current, entries)
    changed = sum(change.status != "unchanged" for change in found)
    if as_json:
        screen.document({"changes": [change_document(change) for change in found], "kept": stay})
    else:
        say_changes(screen, found, stay)
        screen.say(f"{changed} versions would be published. Next: tally catalogue apply" if changed else "No change.")
    return changed


def history(
    name: Annotated[str, typer.Argument(help="A meter, a plan or an issuer: name, or plan/name.")],
    as_json: AsJson = False,
) -> None:
    """Show every version of an object in order, with what each changed against the one before."""
    import asyncio

    from agents.cli.screen import Screen

    asyncio.run(_history(Screen(json_only=as_json), name, as_json=as_json))


async def _history(screen: Screen, name: str, *, as_json: bool) -> None:
    from agents.catalogue import CatalogueLog
    from agents.cli.catalogue import value_text
    from agents.cli.failures import NotFound
    from agents.logs import Logs
    from agents.settings import load
    from pipeline.catalogue.changes import content, differences
    from pipeline.catalogue.fault_texts import nearest

    async with Logs(load()) as logs:
        applied = await CatalogueLog(logs).history()
    found = [one for one in applied if name in (one.entry.name, f"{one.entry.kind}/{one.entry.name}")]
    if not found:
        raise NotFound(f"the log has no {name!r}{nearest(name, {one.entry.name for one in applied})}")
    before: dict[str, AnyEntry] = {}
    told: list[tuple[Applied, list[Any]]] = []
    for one in found:
        old = before.get(one.entry.kind)
        told.append((one, [] if old is None else list(differences(content(old), content(one.entry)))))
        before[one.entry.kind] = one.entry
    if as_json:
        screen.document([
            {"key": one.entry.key, "applied_at": one.applied_at.isoformat(), "offset": one.offset,
             "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in fields]}
            for one, fields in told
        ])  # fmt: skip
        return
    for one, fields in told:
        screen.say(f"{one.applied_at:%Y-%m-%d %H:%M} UTC  {one.entry.key}  offset {one.offset}")
        for field in fields:
            screen.say(f"    {field.path}: {value_text(field.before)} → {value_text(field.after)}")


def migrate_subscriptions(
    plan: Annotated[str, typer.Argument(help="The plan, or plan@version to move to; default: its newest.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with every command.")] = "",
    since: Annotated[str, typer.Option("--from", help="Only from this version, or its beginning.")] = "",
    when: Annotated[MoveWhen, typer.Option(help="At the end of each running period, or now, prorated.")] = (
        MoveWhen.PERIOD_END
    ),
    dry_run: DryRun = False,
    actor: Actor = "",
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Move running subscriptions from older versions of a plan to its newest: a recorded change for each.

    Seats and add-ons stay. Started again it repeats the same requests, so whoever moved is left alone.
    """
    import asyncio

    from agents.cli.screen import Screen

    if not (dry_run or reason.strip()):
        raise typer.BadParameter("say why: money moves", param_hint="--reason")
    asyncio.run(
        _migrate(Screen(json_only=as_json), plan, since, when, actor or login_name(), reason, timeout, dry_run=dry_run)
    )


async def _migrate(
    screen: Screen, plan: str, since: str, when: MoveWhen, actor: str, reason: str, timeout: float, *, dry_run: bool
) -> None:
    from agents.catalogue import CatalogueLog
    from agents.cli.failures import Refused
    from agents.cli.handing_in import plan_version
    from agents.commands import outcomes, send
    from agents.logs import Logs
    from agents.settings import load

    async with Logs(load()) as logs:
        name, version = plan_version(await CatalogueLog(logs).newest(), plan, "")
        commands = moves(name, version, since, when, actor, reason)
        if screen.json_only:
            moving = [command.model_dump(mode="json") for command in commands]
            screen.document({"to": f"{name}@{version}", "moving": moving, "dry_run": dry_run})
        else:
            rows = [(command.customer, command.subscription, command.when) for command in commands]
            screen.table(f"to {name}@{version}", ("customer", "subscription", "when"), rows)
        if dry_run or not commands:
            screen.say(f"{'Dry run: ' if dry_run else ''}{len(commands):,} subscriptions to move; none was.")
            return
        sent = await send(logs, commands)
        with screen.wait("deciding", len(commands), "commands") as wait:
            found = await outcomes(logs, sent, within_s=timeout, decided=wait.to)
    refused = [one for one in found if one is not None and not one.accepted]
    if refused:
        told = "\n  ".join(f"{one.customer}: {one.detail}" for one in refused)
        raise Refused(f"{len(refused)} of {len(commands)} were refused:\n  {told}")
    screen.say(f"{sum(one is not None for one in found):,} of {len(commands):,} moved. Next: tally audit")


def moves(name: str, version: str, since: str, when: MoveWhen, actor: str, reason: str) -> list[Change]:
    """The command for each running subscription that will be on another version of the plan; ids are derived."""
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.customers import CustomerStore
    from schemas.command import Change
    from schemas.identity import derived_id

    connection = Connection(load())
    store = CustomerStore(connection)
    at, known = store.billing_time(), store.customers()
    connection.close()
    found = []
    for state in (one.state for one in known):
        for held in state.subscriptions:
            moves_on = held.plan == name and held.plan_version != version and held.plan_version.startswith(since)
            if moves_on and held.status(at) != "canceled":
                request = str(derived_id("migration", name, version, state.customer, held.id))
                seats = seats_of([charge for charge in held.charges if charge.ends_at is None])
                found.append(
                    Change(
                        request_id=request, actor=actor, reason=reason or "dry run", customer=state.customer,
                        subscription=held.id, plan=name, plan_version=version,
                        when="now" if when is MoveWhen.NOW else "period_end", quantities=seats,
                    )
                )  # fmt: skip
    return found


def seats_of(charges: Sequence[Any]) -> dict[str, Any]:
    """Seats that a subscription has beside its plan's."""
    return {charge.card: charge.quantity for charge in charges if charge.quantity is not None}
