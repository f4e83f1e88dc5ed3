"""`tally bench`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.bench.figures import Figures
    from agents.cli.screen import Screen


class Size(StrEnum):
    """How much is measured."""

    SHORT = "short"
    FULL = "full"


class Part(StrEnum):
    """What can be measured alone."""

    CEILINGS = "ceilings"
    ENGINE = "engine"
    LINE = "line"
    SEALING = "sealing"
    AUDIT = "audit"
    LATENCY = "latency"
    HTTP = "http"
    LIMITS = "limits"
    USAGE = "usage"
    CLOSE = "close"
    RATING = "rating"
    COLLECTION = "collection"


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import OPERATE

    app.command("bench", rich_help_panel=OPERATE, epilog="Example: tally bench --part line --part engine")(bench)


def bench(
    size: Annotated[Size, typer.Option("--size", help="short: about three minutes; full: about half an hour.")] = (
        Size.SHORT
    ),
    part: Annotated[list[Part] | None, typer.Option("--part", help="Only this part; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the figures here as JSON, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what an event and an invoice cost, beside other ways to do it, on servers of its own.

    Kafka and ClickHouse are started in a folder of their own and removed afterwards; what else runs here is left alone,
    but takes its share of the machine: compare figures of one run.
    """
    import asyncio
    import json
    import signal
    import sys

    from agents.bench.run import machine, run
    from agents.cli.screen import Screen

    screen = Screen(json_only=as_json)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers end with it, as with an interrupt
    before = machine()
    figures = asyncio.run(run([str(one) for one in part or list(Part)], size.value, lambda line: _say(line)))
    document = {"size": size.value, "machine": before, "figures": figures.document()}
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        screen.document(document)
    else:
        _show(screen, figures)


def _say(line: str) -> None:
    import sys

    print(line, file=sys.stderr, flush=True)


def _show(screen: Screen, figures: Figures) -> None:
    rows = [
        (one.part, one.name, f"{one.value:,.0f}" if one.value >= 1000 else f"{one.value:,.2f}", one.unit,
         "" if one.target is None else f"{one.bound} {one.target:,.10g}", one.verdict)
        for one in figures.ordered
    ]  # fmt: skip
    screen.table("what it costs", ("part", "figure", ">measured", "unit", ">target", ""), rows)
