"""`tally tail`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agents.cli.screen import Screen
    from agents.logs import LogRecord


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import LOOK

    app.command("tail", rich_help_panel=LOOK, epilog="Example: tally tail billing.invoices --from start --json")(tail)


def tail(
    topic: Annotated[str, typer.Argument(help="Name without the deployment's prefix, for example usage.events.")],
    start: Annotated[str, typer.Option("--from", help="start, end, or an offset of every partition.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many of the last records.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new records until stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the last records of a topic, with their positions; --follow goes on."""
    import asyncio

    from agents.cli.screen import Screen

    if start and start not in ("start", "end") and not start.isdigit():
        raise typer.BadParameter(f"{start!r} is neither start, end nor an offset", param_hint="--from")
    asyncio.run(_tail(Screen(json_only=as_json), topic, start, count=count, follow=follow, as_json=as_json))


async def _tail(screen: Screen, topic: str, start: str, *, count: int, follow: bool, as_json: bool) -> None:
    from agents.logs import Logs
    from agents.settings import load

    async with Logs(load()) as logs:
        begins, ends = await logs.bounds(topic)
        starts = _starts(start, begins, ends, count)
        shown: list[LogRecord] = []
        for partition, (first, end) in enumerate(zip(starts, ends, strict=True)):
            shown += await logs.read(topic, partition, first, end)
        shown.sort(key=lambda record: (record.timestamp_ms, record.partition, record.offset))
        for record in shown if start else shown[-count:]:
            _show(screen, topic, record, as_json=as_json)
        if follow:
            async for record in logs.follow(topic, ends):
                _show(screen, topic, record, as_json=as_json)


def _starts(start: str, begins: Sequence[int], ends: Sequence[int], count: int) -> tuple[int, ...]:
    if start == "start":
        return tuple(begins)
    if start == "end":
        return tuple(ends)
    if start:
        return tuple(max(begin, int(start)) for begin in begins)
    return tuple(max(begin, end - count) for begin, end in zip(begins, ends, strict=True))


def _show(screen: Screen, topic: str, record: LogRecord, *, as_json: bool) -> None:
    if as_json:
        screen.document(described(topic, record))
        return
    key = "-" if record.key is None else record.key.decode("utf-8", "replace")
    value = "(none)" if record.value is None else record.value.decode("utf-8", "replace")
    screen.say(f"{record.partition}:{record.offset}  {appended_at(record):%Y-%m-%d %H:%M:%S}  {key}  {value}")


def appended_at(record: LogRecord) -> datetime:
    """The timestamp of a record: the broker's on topics with LogAppendTime."""
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=record.timestamp_ms)


def described(topic: str, record: LogRecord) -> dict[str, object]:
    """A record as JSON: the value as it is where it is JSON, else as text or, if it is no UTF-8, in base64."""
    return {
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": appended_at(record).isoformat(),
        "key": None if record.key is None else record.key.decode("utf-8", "replace"),
        "headers": {name: value.decode("utf-8", "replace") for name, value in record.headers},
        **_value(record.value),
    }


def _value(value: bytes | None) -> dict[str, object]:
    import base64
    import json
    from decimal import Decimal

    if value is None:
        return {"value": None}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    try:
        return {"value": json.loads(text, parse_float=Decimal)}
    except ValueError:
        return {"text": text}
