"""`tally up`, `down`, `status`, and the bare `tally`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from deploy.local import LocalSystem, Program

WORKERS = ("ingest", "billing")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import OPERATE, START

    app.command("up", rich_help_panel=START, epilog="Example: tally up --workers")(up)
    app.command("down", rich_help_panel=START, epilog="Example: tally down")(down)
    app.command("status", rich_help_panel=OPERATE, epilog="Example: tally status --json | jq .healthy")(status)


def up(
    workers: Annotated[bool, typer.Option("--workers", help="Also keep the workers running.")] = False,
    kafka_port: Annotated[int | None, typer.Option(help="Port of Kafka, from now on.")] = None,
    clickhouse_port: Annotated[int | None, typer.Option(help="HTTP port of ClickHouse, from now on.")] = None,
) -> None:
    """Start Kafka and ClickHouse on this machine; what was stored is kept.

    Nothing but Python is needed. Downloads are named with their size before they start, and are resumed.
    """
    from agents.cli.screen import Screen

    screen = Screen()
    system = start_services(screen, with_workers=workers, kafka_port=kafka_port, clickhouse_port=clickhouse_port)
    screen.say(f"Kafka       {system.kafka}")
    screen.say(f"ClickHouse  {system.clickhouse}  (user {system.clickhouse_user}, database {system.database})")
    screen.say(f"State       {system.home}")
    screen.say("Next: tally topics, tally migrate; `tally demo` does everything once. Stop: tally down")


def start_services(
    screen: Screen,
    *,
    with_workers: bool,
    deployment: str = "",
    kafka_port: int | None = None,
    clickhouse_port: int | None = None,
) -> LocalSystem:
    """Starts the local system and, if wanted, the workers of a deployment under its supervisor."""
    from agents.settings import Settings
    from deploy.local import ports_asked
    from deploy.local import up as start

    home = Settings().home
    ports = ports_asked(home, kafka=kafka_port, clickhouse=clickhouse_port)

    def workers(system: LocalSystem) -> tuple[Program, ...]:
        return worker_programs(system, deployment) if with_workers else ()

    return start(screen.downloads(), home=home, ports=ports, workers=workers)


def probe_port(system: LocalSystem, worker: str) -> int:
    """Where a local worker answers probes: beside the ports of the servers, which go by tens."""
    return system.ports.kafka + 2 + WORKERS.index(worker)


def worker_programs(system: LocalSystem, deployment: str = "") -> tuple[Program, ...]:
    """Our workers as the supervisor runs them: this Python, this code, settings found through the state file.

    A named deployment has topics and a database of its own, beside the ordinary ones; only the ordinary ones answer
    probes, for there is one set of ports.
    """
    from pathlib import Path

    import agents
    from agents.settings import Settings
    from deploy.local import Program

    root = Path(next(iter(agents.__path__))).parent
    environment = {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1", "TALLY_INSTANCE": "local"}
    if (home := Settings().home) is not None:
        environment["TALLY_HOME"] = str(home)
    if deployment:
        environment |= {"TALLY_TOPIC_PREFIX": f"{deployment}.", "TALLY_DATABASE": f"tally_{deployment}"}
    return tuple(
        Program(
            f"{deployment}-{name}".lstrip("-"),
            (sys.executable, "-m", "agents.cli", "worker", name),
            environment if deployment else {**environment, "TALLY_METRICS_PORT": str(probe_port(system, name))},
            stop_s=20,
        )
        for name in WORKERS
    )


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Also remove everything that was stored. For ever.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Stop the workers, Kafka and ClickHouse of this machine, cleanly; what was stored is kept."""
    from agents.settings import Settings
    from deploy.local import down as stop
    from deploy.local import find, status
    from deploy.local import wipe as remove

    home = Settings().home
    system = find(home)
    if system is None:
        typer.echo("Nothing to stop: no local system was ever started here.")
        return
    if dry_run:
        running = [service.name for service in status(home) if service.pid]
        typer.echo(f"Would stop: {', '.join(running) or 'nothing, none runs'}.")
        typer.echo(f"Would {'remove' if wipe else 'keep'} what is stored in {system.home}.")
        return
    if wipe:
        typer.echo(f"Stopped, and removed {remove(home)}.")
        return
    typer.echo("Stopped." if stop(home) else "Nothing ran.")
    typer.echo(f"What was stored is kept in {system.home}. Start again: tally up")


def status(as_json: AsJson = False) -> None:
    """Show what runs, whether it is well, and what to do next; the exit code is the health."""
    raise typer.Exit(overview(as_json=as_json))


def overview(*, as_json: bool = False) -> int:
    """Prints the status and the next step; returns the exit code."""
    from agents.cli.exit_codes import OK, REFUSED
    from agents.cli.health import sections
    from agents.cli.screen import Screen
    from agents.settings import load

    screen = Screen(json_only=as_json)
    found = list(sections(load()))
    healthy = all(section.healthy for section in found)
    next_step = next((section.next_step for section in found if section.next_step), "")
    if as_json:
        screen.document(
            {
                "healthy": healthy,
                "next_step": next_step,
                "sections": {
                    section.name: {
                        "healthy": section.healthy,
                        "rows": [
                            dict(zip((c.lstrip(">") for c in section.columns), row, strict=True))
                            for row in section.rows
                        ],
                    }
                    for section in found
                },
            }
        )
        return OK if healthy else REFUSED
    for section in found:
        mark = "✓" if section.healthy else "✗"
        if section.rows:
            screen.table(f"{mark} {section.name}", section.columns, section.rows)
        else:
            screen.say(f"{mark} {section.name}")
    screen.say(f"Next: {next_step}" if next_step else "All is well. Next: tally --help")
    return OK if healthy else REFUSED
