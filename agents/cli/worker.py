"""`tally worker`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Work(StrEnum):
    """The two apps, each with a consumer group of its own."""

    INGEST = "ingest"
    BILLING = "billing"


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("worker", rich_help_panel=OPERATE, epilog="Example: tally worker ingest")(worker)


def worker(name: Annotated[Work, typer.Argument(help="ingest stores usage; billing closes and invoices.")]) -> None:
    """Run one Faust worker in the foreground until it is stopped; start as many as there are cores."""
    from agents.worker import run

    run(name.value)
