"""`tally aggregate`: what a meter makes of events, for people and for programs. No service needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from schemas.aggregate_request import AggregateAnswer

EXAMPLE = "Example: tally aggregate --jsonl deploy/examples/aggregate.jsonl"
COUNTS = ("counted", "invalid", "carried", "outside", "filtered", "duplicates", "conflicts")


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import MONEY

    app.command("aggregate", rich_help_panel=MONEY, epilog=EXAMPLE)(aggregate)


def aggregate(
    file: Annotated[Path | None, typer.Argument(help="A request; default: standard input.", show_default=False)] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A request per line in, an answer per line out.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a request, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Aggregate events by a meter over a period: the quantities that are billed, exactly as a close computes them.

    A request is `{"meter": …, "events": […], "period": {"start": …, "end": …}}` with the fields of the catalogue and of
    CloudEvents; `window`, `time_zone`, `full_period` and `anchor` are optional. The rows of the answer are the `usage`
    of `tally rate`. With --jsonl a faulty request is answered by its errors on its line, and the others go on.
    """
    from agents.cli.failures import Refused
    from agents.cli.screen import Screen
    from pipeline.meters.aggregate_request import aggregate_answers, aggregate_request, parse_aggregate
    from pipeline.rating.rate_request import RequestRefused
    from schemas.aggregate_request import AggregateRequest
    from schemas.quantity import read_json

    if schema:
        Screen(json_only=True).document(AggregateRequest.model_json_schema())
        return
    if jsonl:
        with file.open(encoding="utf-8") if file else sys.stdin as lines:
            for told in aggregate_answers(lines):
                sys.stdout.write(told + "\n")
                sys.stdout.flush()
        return
    screen = Screen(json_only=as_json)
    try:
        answer = aggregate_request(parse_aggregate(read_json(file.read_bytes() if file else sys.stdin.buffer.read())))
    except RequestRefused as refused:
        raise Refused("the request is faulty:\n  " + "\n  ".join(str(refused).split("; "))) from None
    except ValueError as fault:
        raise Refused(f"the request is not JSON: {fault}") from None
    if as_json:
        screen.document(answer.model_dump(mode="json"))
        return
    _show(screen, answer)


def _show(screen: Screen, answer: AggregateAnswer) -> None:
    from schemas.quantity import plain

    dimensions = list(dict.fromkeys(name for row in answer.usage for name in row.values))
    columns = ("from", "to", *dimensions, ">quantity", ">events")
    screen.table("", columns, [
        (
            *((f"{at:%Y-%m-%d %H:%M}Z" for at in (row.window.start, row.window.end)) if row.window else ("", "")),
            *("–" if (value := row.values.get(name)) is None else value for name in dimensions),
            plain(row.quantity), f"{row.events:,}",
        )
        for row in answer.usage
    ])  # fmt: skip
    screen.say(", ".join(f"{getattr(answer, name):,} {name}" for name in COUNTS))
