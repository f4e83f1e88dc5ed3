"""`tally migrate`."""

from __future__ import annotations

import typer

from agents.cli.options import AsJson, DryRun


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("migrate", rich_help_panel=OPERATE, epilog="Example: tally migrate --dry-run")(migrate)


def migrate(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bring the tables up to this version: numbered SQL files, each once, forward only.

    Refuses (exit code 1) when a file was edited after it was applied. A run that was interrupted goes on.
    """
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.migrations import migrate as run

    screen, settings = Screen(json_only=as_json), load()
    steps = run(settings, dry_run=dry_run)
    if as_json:
        screen.document(
            [{"file": s.migration.file, "statement": s.statement, "sql": s.sql, "applied": not dry_run} for s in steps]
        )
        return
    if dry_run:
        for step in steps:
            screen.say(f"-- {step.migration.file}, statement {step.statement}\n{step.sql};\n")
    files = {step.migration.file for step in steps}
    verb = "would be applied" if dry_run else "applied"
    if not steps:
        screen.say(f"Nothing to do: database {settings.database} has every migration of this version.")
        return
    screen.say(f"{len(steps)} statements of {len(files)} files {verb} to database {settings.database}.")
