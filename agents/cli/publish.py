"""`tally publish`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.event_files import Format
    from agents.publishing import Position, Published, Run
    from schemas.event_mapping import EventMapping

SHOWN = 20


class Kind(StrEnum):
    """What a file holds."""

    JSON = "json"
    CSV = "csv"
    ACCESS_LOG = "access-log"


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PRODUCE

    app.command("publish", rich_help_panel=PRODUCE, epilog="Example: tally publish usage.jsonl --resume")(publish)


def publish(
    file: Annotated[str, typer.Argument(help="The file; - for standard input.")],
    kind: Annotated[
        Kind | None, typer.Option("--format", help="json: a CloudEvent per line. Default: by the file's suffix.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="TOML: which column is which attribute, measure or dimension.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Instead of the mapping's, as are the next two.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="May hold {column}, as all three.")] = None,
    subject: Annotated[str | None, typer.Option(help="Such as '{user}' or 'acme/{host}'.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run came to.")] = False,
    position: Annotated[Path | None, typer.Option("--position", help="Default: FILE.position.")] = None,
    skip: Annotated[int, typer.Option("--skip", min=0, help="Leave out so many events from the start.")] = 0,
    as_is: Annotated[bool, typer.Option("--as-is", help="Send refused lines too; they become dead letters.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Publish usage events from a file; returns once every in-sync replica has them.

    CloudEvents, one JSON object per line; CSV with a mapping; access logs in the combined format. Each line is judged
    as the ingester would: a refused one is not sent, but told with its number, and the exit code is 1. The subject is
    the key. An interrupted run leaves FILE.position, which --resume reads; a line that is sent twice is counted once.
    """
    import asyncio

    from agents.cli.exit_codes import REFUSED
    from agents.cli.screen import Screen
    from agents.publishing import Run, read_position

    screen = Screen(json_only=as_json)
    given = {"source": source, "type": event_type, "subject": subject}
    chosen = _kind(file, kind)
    found = _mapping(mapping, {name: text for name, text in given.items() if text is not None}, chosen)
    place = position or (None if file == "-" else Path(f"{file}.position"))
    with _opened(file) as lines:
        run = Run(_event_file(lines, chosen, found), options=_options(chosen, found, as_is), as_is=as_is)
        known = read_position(place) if place is not None else None
        if known is not None and resume:
            run.resume(known)
            screen.say(f"{run.published.skipped:,} lines were published before; going on after them.")
        elif known is not None:
            screen.say(f"An interrupted run came to byte {known.bytes_read:,}; --resume goes on there.")
        run.skip(skip)
        asyncio.run(_publish(screen, run, total=_size(file), place=place, dry_run=dry_run))
    if place is not None and not dry_run:
        place.unlink(missing_ok=True)
    _tell(screen, run.published, sent="dead letters" if as_is else "", dry_run=dry_run, as_json=as_json)
    if run.published.refused and not as_is:
        raise typer.Exit(REFUSED)


def _kind(file: str, given: Kind | None) -> Format:
    from agents.event_files import SUFFIXES

    return given.value if given is not None else SUFFIXES.get(Path(file).suffix, "json")


def _mapping(path: Path | None, given: dict[str, str], kind: Format) -> EventMapping | None:
    """The mapping of the file, with what the options say instead. Raises Refused."""
    import tomllib

    from pydantic import ValidationError

    from agents.cli.failures import Refused
    from schemas.event_mapping import ACCESS_LOG, EventMapping

    if kind == "json":
        if path is not None or given:
            raise typer.BadParameter("a line that is a CloudEvent says itself what it is: no --mapping, no --source …")
        return None
    if path is None and kind == "csv":
        return None
    try:
        content: dict[str, Any] = ACCESS_LOG.model_dump() if path is None else tomllib.loads(path.read_text("utf-8"))
        return EventMapping.model_validate({**content, **given})
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{path}: {'.'.join(map(str, first['loc'])) or 'mapping'}: {first['msg']}") from error


def _options(kind: Format, mapping: EventMapping | None, as_is: bool) -> str:
    from schemas.identity import content_version

    return content_version([kind, None if mapping is None else mapping.model_dump(mode="json"), as_is])


def _event_file(lines: Any, kind: Format, mapping: EventMapping | None) -> Any:
    from agents.event_files import EventFile

    return EventFile(lines, kind, mapping)


def _opened(file: str) -> Any:
    from agents.cli.failures import NotFound

    if file == "-":
        return nullcontext(sys.stdin.buffer)
    if not Path(file).is_file():
        raise NotFound(f"{file}: no such file")
    return Path(file).open("rb")


def _size(file: str) -> int | None:
    return None if file == "-" else Path(file).stat().st_size


async def _publish(screen: Screen, run: Run, *, total: int | None, place: Path | None, dry_run: bool) -> None:
    from agents.publishing import write_position
    from agents.settings import load

    with screen.wait("judging" if dry_run else "publishing", total, "bytes") as wait:

        def moved(position: Position) -> None:
            if place is not None and not dry_run:
                write_position(place, position)
            wait.to(position.bytes_read, f"{position.accepted:,} events, {position.refused:,} refused")

        await run.publish(load(), moved, dry_run=dry_run)


def _tell(screen: Screen, published: Published, *, sent: str, dry_run: bool, as_json: bool) -> None:
    if as_json:
        screen.document(
            {
                "accepted": published.accepted, "refused": published.refused, "skipped": published.skipped,
                "dry_run": dry_run,
                "refusals": [{"line": n, "reason": r, "detail": d} for n, r, d in published.refusals],
            }
        )  # fmt: skip
        return
    if published.refusals:
        rows = [(f"{number:,}", reason, detail) for number, reason, detail in published.refusals[:SHOWN]]
        title = f"{published.refused:,} line{'s' * (published.refused != 1)} refused"
        screen.table(f"{title}, sent as {sent}" if sent else title, (">line", "reason", "detail"), rows)
        if published.refused > SHOWN:
            screen.say(f"… and {published.refused - SHOWN:,} more: --json tells them")
    if dry_run:
        screen.say(f"Would publish {published.accepted:,} events; nothing was sent.")
    else:
        screen.say(f"Published {published.accepted:,} events; Kafka has them all. Next: tally tail usage.events")
