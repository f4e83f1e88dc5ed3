"""`tally publish`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.screen import Screen

CHUNK_LINES = 5_000


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PRODUCE

    app.command("publish", rich_help_panel=PRODUCE, epilog="Example: tally publish usage.jsonl")(publish)


def publish(
    file: Annotated[str, typer.Argument(help="CloudEvents, one JSON object per line; - for standard input.")],
    skip: Annotated[int, typer.Option("--skip", min=0, help="Leave out so many lines: they were published.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Forget how far an interrupted run came.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish usage events; returns once every in-sync replica has them.

    The subject is the key. A line is published as it is, even a broken one: the verdict is the ingester's. A run that
    was interrupted goes on where the last acknowledged line was (FILE.position); a line sent twice is counted once.
    """
    import asyncio

    from agents.cli.failures import NotFound
    from agents.cli.screen import Screen

    screen = Screen(json_only=as_json)
    if file == "-":
        published = asyncio.run(_publish(screen, sys.stdin.buffer, total=None, skip=skip, position=None))
    else:
        path = Path(file)
        if not path.is_file():
            raise NotFound(f"{path}: no such file")
        position = path.with_name(path.name + ".position")
        skip = skip or (0 if restart else _kept(position))
        with path.open("rb") as lines:
            total = sum(1 for line in lines if line.strip())
            lines.seek(0)
            if skip:
                screen.say(f"{skip:,} lines were published before; going on after them.")
            published = asyncio.run(_publish(screen, lines, total=total, skip=skip, position=position))
        position.unlink(missing_ok=True)
    if as_json:
        screen.document({"published": published, "skipped": skip})
    else:
        screen.say(f"Published {published:,} events; Kafka has them all. Next: tally tail usage.events")


def _kept(position: Path) -> int:
    text = position.read_text("ascii").strip() if position.is_file() else "0"
    return int(text) if text.isdigit() else 0


async def _publish(screen: Screen, lines: IO[bytes], *, total: int | None, skip: int, position: Path | None) -> int:
    from agents.logs import Logs
    from agents.publisher import Publisher
    from agents.settings import load
    from agents.topics import USAGE_EVENTS

    settings = load()
    async with Logs(settings) as logs:
        partitions = await logs.partitions(USAGE_EVENTS)
    done = skip
    async with Publisher(settings, USAGE_EVENTS, partitions=partitions) as publisher:
        with screen.wait("publishing", total, "events") as wait:
            wait.to(done)
            for chunk in _chunks(lines, skip):
                await publisher.publish([(_subject(line), line) for line in chunk])
                done += len(chunk)
                wait.to(done)
                if position is not None:
                    position.write_text(str(done), "ascii")  # only now: these lines are acknowledged
    return done - skip


def _chunks(lines: IO[bytes], skip: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for number, line in enumerate(line for raw in lines if (line := raw.strip())):
        if number >= skip:
            chunk.append(line)
        if len(chunk) == CHUNK_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _subject(line: bytes) -> bytes | None:
    """The key of a line: its subject; none where it has none that can be read."""
    from agents.publisher import subject_of

    return subject_of(line)
