"""`tally topics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.topics import Finding


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("topics", rich_help_panel=OPERATE, epilog="Example: tally topics --dry-run")(topics)


def topics(
    repair: Annotated[bool, typer.Option("--repair", help="Also bring weaker settings up to the declaration.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing and show where the cluster differs from the declaration.

    Never shrinks partitions and never weakens retention: such a difference is named and refused (exit code 1).
    """
    import asyncio

    from agents.cli.exit_codes import OK, REFUSED
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.topics import declared

    screen, settings = Screen(json_only=as_json), load()
    findings = asyncio.run(bring_up(dry_run=dry_run, repair=repair))
    if as_json:
        from dataclasses import asdict

        screen.document([asdict(finding) for finding in findings])
    else:
        prefix = settings.topic_prefix
        keys = {topic.name: topic.key for topic in declared(settings)}
        screen.table(
            "topics" + (" (dry run)" if dry_run else ""),
            ("topic", "key", "setting", "declared", "found", "verdict", "why"),
            [(prefix + f.topic, keys[f.topic], f.setting, f.declared, f.found, _words(f.verdict, dry_run=dry_run,
              repair=repair), f.why) for f in findings],
        )  # fmt: skip
    unresolved = [f for f in findings if f.verdict == "refuse" or (f.verdict == "repair" and not repair)]
    for finding in unresolved if not as_json else ():
        hint = "tally topics --repair" if finding.verdict == "repair" else "refused"
        typer.echo(
            f"tally: {finding.topic}: {finding.setting} is {finding.found}, declared {finding.declared}"
            f" ({finding.why}): {hint}",
            err=True,
        )
    raise typer.Exit(REFUSED if unresolved else OK)


def _words(verdict: str, *, dry_run: bool, repair: bool) -> str:
    if verdict == "create":
        return "would be created" if dry_run else "created"
    if verdict == "repair":
        return "weaker" if not repair else "would be repaired" if dry_run else "repaired"
    return {"same": "as declared", "refuse": "refused"}[verdict]


async def bring_up(*, dry_run: bool = False, repair: bool = False) -> tuple[Finding, ...]:
    """Creates what is missing and, if asked, repairs; returns what was found before."""
    from agents import topic_admin
    from agents.settings import load
    from agents.topics import compare, declared

    settings = load()
    wanted = declared(settings)
    found = await topic_admin.inspect(settings, wanted)
    findings = compare(wanted, found)
    if not dry_run:
        missing = {finding.topic for finding in findings if finding.verdict == "create"}
        await topic_admin.create(settings, [topic for topic in wanted if topic.name in missing])
        if repair:
            await topic_admin.repair(settings, wanted, found, findings)
    return findings
