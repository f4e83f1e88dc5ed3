"""`tally topics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.topics import TopicState


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("topics", rich_help_panel=OPERATE, epilog="Example: tally topics --dry-run")(topics)


def topics(
    repair: Annotated[bool, typer.Option("--repair", help="Also bring weaker settings up to the table.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing and show where the cluster keeps less than declared.

    Never shrinks partitions and never weakens retention: such a difference is named and refused (exit code 1).
    """
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
