"""`tally check-event`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.owners import Owners
    from schemas.catalogue_entry import MeterEntry


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PRODUCE

    app.command("check-event", rich_help_panel=PRODUCE, epilog="Example: tally check-event event.json")(check_event)


def check_event(
    file: Annotated[str, typer.Argument(help="An event, an array of events, or one per line; - for standard input.")],
    catalogue: Annotated[
        list[Path] | None, typer.Option("--catalogue", help="Files instead of what the log holds; needs no service.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what would become of an event: the verdict, the meters that count it and what they read, the customer.

    Nothing is sent. The exit code is 1 if an event would be refused.
    """
    import asyncio

    from agents.cli.exit_codes import OK, REFUSED
    from agents.cli.screen import Screen
    from agents.settings import load

    screen, values = Screen(json_only=as_json), _values(file)
    meters, owners, wall_clock = asyncio.run(_known(load(), catalogue))
    found = [_checked(value, meters, owners, wall_clock) for value in values]
    if as_json:
        screen.document(found)
    for number, each in enumerate(() if as_json else found, 1):
        _say(screen, each, f"event {number} of {len(found)}: " if len(found) > 1 else "")
    raise typer.Exit(REFUSED if any(each["verdict"] == "refused" for each in found) else OK)


def _values(file: str) -> Sequence[bytes]:
    """The events of a file. A whole that is no JSON is taken line by line; the verdict says what is wrong with each."""
    import msgspec

    from agents.cli.failures import NotFound

    if file != "-" and not Path(file).is_file():
        raise NotFound(f"{file}: no such file")
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        if content.lstrip().startswith(b"["):
            return [bytes(each) for each in msgspec.json.decode(content, type=list[msgspec.Raw])]
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [line for line in map(bytes.strip, content.splitlines()) if line] or [b""]
    return [content.strip()]


async def _known(settings: Any, files: list[Path] | None) -> tuple[tuple[MeterEntry, ...], Owners, bool]:
    """The meters that are newest, whose subjects are, and the kind of clock."""
    from agents.catalogue import CatalogueLog
    from agents.catalogue_files import read_files
    from agents.cli.failures import Refused
    from agents.clock import first_tick
    from agents.logs import Logs
    from agents.owners import Owners
    from agents.topics import ATTRIBUTIONS
    from schemas.catalogue_entry import MeterEntry

    owners = Owners()
    if files:
        loaded = read_files(files)
        if loaded.faults:
            raise Refused(str(loaded.faults[0]))
        return tuple(MeterEntry.of(meter) for meter in loaded.meters), owners, True
    async with Logs(settings) as logs:
        newest = await CatalogueLog(logs).newest()
        for record in await logs.read(ATTRIBUTIONS, 0, 0, (await logs.end_offsets(ATTRIBUTIONS))[0]):
            owners.take(record)
        first = await first_tick(logs)
    meters = tuple(newest.meters[name, version] for name, version in newest.newest_meters.items())
    return meters, owners, first is None or first.clock == "wall"


def _checked(value: bytes, meters: Iterable[MeterEntry], owners: Owners, wall_clock: bool) -> dict[str, Any]:
    from agents.clock import wall_time
    from agents.publisher import subject_of
    from pipeline.intake.event_check import fed_by, flags_said
    from pipeline.intake.validation import Correction, Rejection, validate
    from schemas.dead_letter import EXPLANATIONS
    from schemas.event_time import moment

    verdict = validate(value, subject_of(value), (), int(wall_time().timestamp() * 1000), wall_clock=wall_clock)
    if isinstance(verdict, Rejection):
        return {"verdict": "refused", "reason": verdict.reason.value, "detail": verdict.detail,
                "help": EXPLANATIONS[verdict.reason]}  # fmt: skip
    if isinstance(verdict, Correction):
        action = "retracts" if verdict.event is None else "replaces"
        return {"verdict": "correction", "id": verdict.id, "source": verdict.source, action: {
            "source": verdict.target_source, "id": verdict.target_id}}  # fmt: skip
    customer = owners.of(verdict.subject, verdict.ts_ms)
    return {
        "verdict": "event", "id": verdict.id, "source": verdict.source, "type": verdict.type,
        "subject": verdict.subject, "time": moment(verdict.ts_ms), "customer": customer,
        "meters": [asdict(fed) for fed in fed_by(verdict, meters)], "notes": list(flags_said(verdict.flags)),
    }  # fmt: skip


def _say(screen: Any, found: dict[str, Any], which: str) -> None:
    if found["verdict"] == "refused":
        screen.say(f"{which}refused, {found['reason']}: {found['detail']}")
        screen.say(f"  {found['help']}")
        return
    if found["verdict"] == "correction":
        action = "retracts" if "retracts" in found else "replaces"
        target = found[action]
        screen.say(f"{which}a correction: {action} {target['id']} of {target['source']}, whenever that comes or came")
        return
    screen.say(
        f"{which}an event of {found['customer']} (subject {found['subject']}) at {found['time']:%Y-%m-%d %H:%M:%S} UTC"
    )
    for note in found["notes"]:
        screen.say(f"  note: {note}")
    if not found["meters"]:
        screen.say(f"  no meter counts {found['type']}: it is stored, and can be metered later (tally catalogue show)")
        return
    rows = [
        (fed["meter"], fed["aggregation"], "cannot use it" if fed["value"] is None else fed["value"],
         ", ".join(f"{name} {'–' if text is None else text}" for name, text in fed["group"].items()))
        for fed in found["meters"]
    ]  # fmt: skip
    screen.table("", ("meter", "aggregation", ">reads", "in the group"), rows)
