"""`tally demo`: a month of usage becomes invoices, from an empty machine to the proof, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import START

    app.command("demo", rich_help_panel=START, epilog="Example: tally demo")(demo)


def demo(
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Meter a real request trace (CSV) instead of the simulated month.")
    ] = None,
) -> None:
    """Run the whole line once: start everything, publish a month of usage, close it, print and prove the invoices.

    On the way a worker is killed with SIGKILL. Running it again changes nothing, and proves that.
    """
    import asyncio

    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen
    from agents.cli.story import Story, month_script, trace_script

    if trace is not None and not trace.is_file():
        raise NotFound(f"{trace}: no such file")
    script = month_script() if trace is None else trace_script(trace)
    asyncio.run(Story(Screen(), script).tell())
