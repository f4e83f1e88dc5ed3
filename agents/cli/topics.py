"""`tally topics`, `tally topics adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import Actor, AsJson, DryRun, Reason

if TYPE_CHECKING:
    from agents.settings import Settings
    from agents.topics import TopicState
    from schemas.epoch import Epoch


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import OPERATE

    group = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
    group.callback(epilog="Example: tally topics --dry-run")(topics)
    group.command("adopt", epilog='Example: tally topics adopt --reason "restored from a volume snapshot" --dry-run')(
        adopt
    )
    app.add_typer(group, name="topics", rich_help_panel=OPERATE)


def topics(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Also bring weaker settings up to the table.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing and show where the cluster keeps less than declared.

    Never shrinks partitions and never weakens retention: such a difference is named and refused (exit code 1).
    """
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from agents.cli.exit_codes import OK, REFUSED
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.topics import TOPICS, reconcile_topics

    screen, settings = Screen(json_only=as_json), load()
    states = asyncio.run(reconcile_topics(settings, dry_run=dry_run, repair=repair))
    if as_json:
        from dataclasses import asdict

        screen.document([asdict(state) for state in states])
    else:
        keys = {topic.name: topic.key for topic in TOPICS}
        rows = [(settings.topic_prefix + s.name, keys[s.name], s.partitions, s.status, _drift(s)) for s in states]
        title = "topics" + (" (dry run: nothing was changed)" if dry_run else "")
        screen.table(title, ("topic", "key", ">partitions", "status", "drift"), rows)
    unresolved = [state for state in states if state.status in ("drift", "refused")]
    for state in unresolved:
        advice = state.detail if state.status == "refused" else "tally topics --repair brings it up"
        typer.echo(f"tally: {state.name}: {_drift(state)}: {advice}", err=True)
    raise typer.Exit(REFUSED if unresolved else OK)


def _drift(state: TopicState) -> str:
    return "; ".join(f"{setting} {difference}" for setting, difference in state.drift.items())


def adopt(
    reason: Reason = "",
    actor: Actor = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a log of usage.events that was truncated or re-created: a new epoch for each partition that stopped.

    What is missing is named, kept with the epoch, and counted as offsets without a record. Positions go on where they
    were: no vector goes back. Workers take the partitions up within seconds.
    """
    import asyncio

    from agents.cli.options import login_name
    from agents.cli.screen import Screen
    from agents.settings import load

    if not reason.strip() and not dry_run:
        raise typer.BadParameter("say why: it is kept for ever with what is missing", param_hint="--reason")
    screen = Screen(json_only=as_json)
    epochs = asyncio.run(_adopt(load(), actor or login_name(), reason.strip() or "dry run", dry_run))
    if as_json:
        screen.document([epoch.model_dump(mode="json") for epoch in epochs])
        return
    rows = [(e.partition, e.number, f"{e.base:,}", f"{e.shift:,}", e.missing) for e in epochs]
    title = "adopted" + (" (dry run: nothing was changed)" if dry_run else "")
    screen.table(title, (">partition", ">epoch", ">from position", ">position - offset", "missing"), rows)


async def _adopt(settings: Settings, actor: str, reason: str, dry_run: bool) -> list[Epoch]:
    from agents.cli.failures import Refused
    from agents.clock import TickLog, wall_time
    from agents.epochs import EpochLog, proposed
    from agents.ledger import Ledger
    from agents.logs import Logs
    from agents.store.connection import Connection
    from agents.topics import USAGE_EVENTS

    connection = Connection(settings)
    try:
        async with Logs(settings) as logs:
            last = await TickLog(logs).last()
            vector = last.vector.of(USAGE_EVENTS) if last else ()
            epochs = await proposed(logs, Ledger(connection), vector, actor=actor, reason=reason, at=wall_time())
            if not epochs:
                raise Refused(f"no partition of {USAGE_EVENTS} has stopped: there is nothing to adopt")
            for epoch in epochs if not dry_run else ():
                await EpochLog(logs).append(epoch)
            return epochs
    finally:
        connection.close()
