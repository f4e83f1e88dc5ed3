"""`tally schemas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FOLDER = Path("schemas/json")


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PRODUCE

    app.command("schemas", rich_help_panel=PRODUCE, epilog="Example: tally schemas --check")(schemas)


def schemas(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")] = FOLDER,
    check: Annotated[bool, typer.Option("--check", help="Compare only; exit code 5 if a file differs.")] = False,
    views: Annotated[
        Path | None, typer.Option("--views", help="Write the contract of the views to this file, from ClickHouse.")
    ] = None,
) -> None:
    """Export the contract: a JSON Schema per message and of catalogue files, and the AsyncAPI document."""
    from agents.cli.failures import ProofFailed
    from agents.contract import differences, export

    if views is not None:
        typer.echo(_export_views(views))
        return
    if not check:
        for file in export(folder):
            typer.echo(file)
        return
    found = differences(folder)
    if found:
        raise ProofFailed(f"{folder} is not what the code says; run `tally schemas`:\n  " + "\n  ".join(found))
    typer.echo(f"{folder}: every schema is what the code says.")


def _export_views(file: Path) -> Path:
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.view_contract import export

    connection = Connection(load())
    try:
        return export(connection, file)
    finally:
        connection.close()
