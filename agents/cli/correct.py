"""`tally correct retract | replace | show`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import Actor, AsJson, DryRun, RequestId

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.store.identities import IdentityStore

Source = Annotated[str, typer.Argument(help="source of the event, as it was sent.")]
Id = Annotated[str, typer.Argument(help="id of the event, as it was sent.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept with the correction.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import PRODUCE

    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    group.command("retract", epilog='Example: tally correct retract /gateway/eu-1 req-8f1c --why "a load test"')(
        retract
    )
    group.command(
        "replace", epilog="Example: tally correct replace /gateway req-8f1c --set data.tokens_in=240 --why unit"
    )(replace)
    group.command("show", epilog="Example: tally correct show /gateway/eu-1 req-8f1c")(show)
    app.add_typer(
        group, name="correct", rich_help_panel=PRODUCE, help="Retract a usage event, or put another in its place.",
        epilog="Example: tally correct retract /gateway/eu-1 req-8f1c --dry-run --why test",
    )  # fmt: skip


def retract(
    source: Source,
    id: Id,
    why: Why,
    actor: Actor = "",
    request_id: RequestId = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a usage event back: it does not count. Also one that is still to come. A later correction may replace it."""
    from pipeline.intake.correcting import retraction

    async def run(screen: Screen, store: IdentityStore, logs: Logs) -> None:
        counted = store.counted(source, id)
        records = [record for record in store.history(source, id) if record.subject]
        subject = records[-1].subject if records else id
        value = retraction(
            source=source, id=id, reason=_reason(why, actor), request_id=request_id or _drawn(), subject=subject
        )
        before = _said(counted[0][:4]) if counted else "nothing is counted"
        await _send(screen, logs, subject, value, before, "nothing", dry_run=dry_run, as_json=as_json)

    _on_services(run, as_json=as_json)


def replace(
    source: Source,
    id: Id,
    why: Why,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=VALUE of what counts now: type, subject, time, data.FIELD; empty removes."),
    ] = None,
    value: Annotated[
        Path | None, typer.Option("--value", help="A file with the new event: type, subject, time and data.")
    ] = None,
    actor: Actor = "",
    request_id: RequestId = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let another event count in the place of one; totals of both times follow. The last correction counts."""
    from agents.cli.failures import NotFound, Refused
    from pipeline.intake.correcting import replacement

    async def run(screen: Screen, store: IdentityStore, logs: Logs) -> None:
        counted = store.counted(source, id)
        if value is None and not counted:
            raise NotFound(f"nothing is counted of {source} {id}, so nothing can be changed; give --value FILE")
        event = value.read_bytes() if value is not None else _changed(counted[0][:4], changes or [])
        try:
            record = replacement(
                source=source, id=id, reason=_reason(why, actor), request_id=request_id or _drawn(), event=event
            )
        except ValueError as error:
            raise Refused(str(error)) from None
        before = _said(counted[0][:4]) if counted else "nothing is counted"
        await _send(screen, logs, None, record, before, event.decode("utf-8", "replace").strip(), dry_run=dry_run,
                    as_json=as_json)  # fmt: skip

    if (value is None) == (not changes):
        raise typer.BadParameter("give either --set or --value", param_hint="--set")
    _on_services(run, as_json=as_json)


def show(source: Source, id: Id, as_json: AsJson = False) -> None:
    """Show every record and correction of one event, in order of arrival, and what counts now."""
    from agents.cli.failures import NotFound

    async def run(screen: Screen, store: IdentityStore, logs: Logs) -> None:
        history, counted = store.history(source, id), store.counted(source, id)
        if not history:
            raise NotFound(f"no record of {source} {id} is stored")
        if as_json:
            screen.document({
                "records": [record._asdict() for record in history],
                "counted": [dict(zip(COUNTED, row, strict=True)) for row in counted],
            })  # fmt: skip
            return
        screen.table(f"{source} {id}", HISTORY, [
            (r.what, f"{r.partition}/{r.offset}", f"{r.appended_at:%Y-%m-%d %H:%M:%S}",
             f"{r.ts:%Y-%m-%d %H:%M:%S}" if r.type else "", r.type, r.subject, r.data[:60], r.reason)
            for r in history
        ])  # fmt: skip
        screen.say(f"counts now: {_said(counted[0][:4])}" if counted else "nothing of it counts now")

    _on_services(run, as_json=as_json)


HISTORY = ("what", ">position", "arrived", "event time", "type", "subject", "data", "why")
COUNTED = ("type", "subject", "time", "data", "partition", "offset")


# -- what the commands share -----------------------------------------------------------------------------------------


def _on_services(run: Callable[[Screen, IdentityStore, Logs], Awaitable[None]], *, as_json: bool) -> None:
    import asyncio

    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.identities import IdentityStore

    async def connected() -> None:
        settings = load()
        connection = Connection(settings)
        async with Logs(settings) as logs:
            await run(Screen(json_only=as_json), IdentityStore(connection), logs)
        connection.close()

    asyncio.run(connected())


async def _send(
    screen: Screen,
    logs: Logs,
    subject: str | None,
    value: bytes,
    before: str,
    after: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Appends a correction, once it is one by the ingester's own verdict."""
    from agents.cli.failures import Refused
    from agents.clock import first_tick, wall_time
    from agents.publisher import subject_of
    from agents.topics import USAGE_EVENTS
    from pipeline.intake.validation import Correction, Rejection, validate
    from schemas.resolution import LogPosition

    first = await first_tick(logs)
    on_wall = first is not None and first.clock == "wall"
    key = subject_of(value) if subject is None else subject.encode()
    verdict = validate(value, key, (), int(wall_time().timestamp() * 1000), wall_clock=on_wall)
    if not isinstance(verdict, Correction):
        said = f"{verdict.reason.value}: {verdict.detail}" if isinstance(verdict, Rejection) else "it is no correction"
        raise Refused(f"the correction would be refused: {said}")
    place = None
    if not dry_run:
        partition, offset = await logs.append(USAGE_EVENTS, key, value)
        place = LogPosition(topic=USAGE_EVENTS, partition=partition, offset=offset)
    if as_json:
        screen.document({
            "position": place and str(place), "request_id": verdict.id, "counted_before": before, "counts_then": after,
        })  # fmt: skip
        return
    screen.say(f"counts now   {before}")
    screen.say(f"counts then  {after}")
    screen.say("Nothing was sent (--dry-run)." if place is None else f"Sent, at {place}; request id {verdict.id}. "
               f"Next: tally correct show {verdict.target_source} {verdict.target_id}")  # fmt: skip


def _changed(counted: tuple[object, ...], changes: list[str]) -> bytes:
    from agents.cli.failures import Refused
    from pipeline.intake.correcting import replaced_content
    from pipeline.intake.mending import field_value, mended

    kind, subject, ts, data = counted
    wanted = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{change!r} is not FIELD=VALUE", param_hint="--set")
        wanted[name] = field_value(text)
    try:
        return mended(replaced_content(kind, subject, ts, data), ts, wanted)  # type: ignore[arg-type]  # a row's own
    except ValueError as error:
        raise Refused(f"{error} (--value FILE)") from None


def _said(counted: tuple[object, ...]) -> str:
    from pipeline.intake.correcting import replaced_content

    return replaced_content(*counted).decode()  # type: ignore[arg-type]  # columns of one row


def _reason(why: str, actor: str) -> str:
    from agents.cli.options import login_name

    if not why.strip():
        raise typer.BadParameter("a correction of usage needs a reason", param_hint="--why")
    return f"{why} ({actor or login_name()})"


def _drawn() -> str:
    from uuid import uuid4

    return str(uuid4())
