"""`tally dead-letters list | show | fix | replay | waive`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.store.dead_letters import DeadLetterStore, StoredLetter
    from pipeline.intake.validation import Correction, Event, Rejection

Positions = Annotated[
    list[str] | None, typer.Argument(help="PARTITION/OFFSET of usage.events, as `list --each` shows.")
]
Position = Annotated[str, typer.Argument(help="PARTITION/OFFSET of usage.events, as `list --each` shows.")]
ReasonIs = Annotated[str, typer.Option("--reason", help="Only those refused for this reason.")]
SourceIs = Annotated[str, typer.Option("--source", help="Only those of this producer.")]
Actor = Annotated[str, typer.Option("--actor", help="Who decides.", show_default="the login name")]
Why = Annotated[str, typer.Option("--why", help="Why; kept in the log.")]

AT_MOST = 10_000


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import PRODUCE

    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    group.command("list", epilog="Example: tally dead-letters list --each --reason invalid_time")(list_)
    group.command("show", epilog="Example: tally dead-letters show 3/1042")(show)
    group.command("fix", epilog="Example: tally dead-letters fix 3/1042 --set time=2026-10-05T10:00:00Z --dry-run")(fix)
    group.command("replay", epilog="Example: tally dead-letters replay --reason time_ahead --dry-run")(replay)
    group.command("waive", epilog='Example: tally dead-letters waive 3/1042 --why "a load test"')(waive)
    app.add_typer(
        group,
        name="dead-letters",
        rich_help_panel=PRODUCE,
        help="Refused records: why, what to do, and the proof that each was settled.",
        epilog="Example: tally dead-letters list",
    )


def list_(
    each: Annotated[bool, typer.Option("--each", help="A row per record, with its position.")] = False,
    reason: ReasonIs = "",
    source: SourceIs = "",
    state: Annotated[str, typer.Option("--state", help="open, waived, event, correction, dead again, …")] = "",
    check: Annotated[bool, typer.Option("--check", help="Exit code 5 unless every one is settled.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count refused records by reason, source and state; with --each, list them.

    Settled is what was waived, or sent again and became an event, a correction or a copy of one: each with the position
    of its new record, which is looked up and not taken on trust.
    """

    async def run(screen: Screen, store: DeadLetterStore, logs: Logs) -> None:
        columns: tuple[str, ...]
        rows: list[tuple[str, ...]]
        if each:
            letters = store.letters(reason=reason, source=source, state=state)
            columns = (">position", "refused for", "source", "state", "detail")
            rows = [(_place(x), x.reason, x.source, x.state, x.detail[:80]) for x in letters]
        else:
            columns = (">records", "refused for", "source", "state", "first", "last")
            rows = [
                (f"{count:,}", why, who, now, f"{first:%Y-%m-%d %H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}")
                for why, who, now, count, first, last in store.summary()
                if reason in ("", why) and source in ("", who) and state in ("", now)
            ]
        if as_json:
            names = [column.lstrip(">") for column in columns]
            screen.document([dict(zip(names, row, strict=True)) for row in rows])
        elif rows:
            screen.table("dead letters", columns, rows)
        else:
            screen.say("No dead letters.")
        states = store.states()
        unsettled = sum(count for now, count in states.items() if now not in SETTLED)
        if states and not as_json:
            told = ", ".join(f"{count:,} {now}" for now, count in states.items())
            screen.say(f"{sum(states.values()):,} refused: {told}; {unsettled:,} are not settled")
            screen.say("Next: tally dead-letters list --each, show, fix, replay, waive")
        if check and unsettled:
            raise ProofFailed(f"{unsettled:,} dead letters are not settled")

    from agents.cli.failures import ProofFailed
    from agents.store.dead_letters import SETTLED

    _on_services(run, as_json=as_json)


def show(position: Position, as_json: AsJson = False) -> None:
    """Show one refused record: its bytes and headers, why it was refused, what to do, what became of it."""

    async def run(screen: Screen, store: DeadLetterStore, logs: Logs) -> None:
        letter = _one(store, position)
        screen.document(_described(letter)) if as_json else _tell(screen, letter)

    _on_services(run, as_json=as_json)


def fix(
    position: Position,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=VALUE, also data.FIELD=VALUE; an empty value removes the field."),
    ] = None,
    value: Annotated[Path | None, typer.Option("--value", help="A file with the whole new value.")] = None,
    actor: Actor = "",
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mend a refused record and send it again; its event time is kept. Refused (exit code 1) if it would die again.

    In binary mode attributes are headers: --set changes those, data.FIELD the payload, --value the whole payload.
    """
    from dataclasses import replace as replaced

    async def run(screen: Screen, store: DeadLetterStore, logs: Logs) -> None:
        letter = _one(store, position)
        new = _changed(letter, changes or []) if value is None else replaced(letter, value=value.read_bytes())
        await _send(screen, logs, [new], actor=actor, why=why, dry_run=dry_run, as_json=as_json)

    if (value is None) == (not changes):
        raise typer.BadParameter("give either --set or --value", param_hint="--set")
    _on_services(run, as_json=as_json)


def replay(
    positions: Positions = None,
    reason: ReasonIs = "",
    source: SourceIs = "",
    actor: Actor = "",
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send refused records again as they were, where today's rules accept them; the others stay and are named."""

    async def run(screen: Screen, store: DeadLetterStore, logs: Logs) -> None:
        letters = _chosen(store, positions, reason, source)
        sent = [_changed(letter, []) for letter in letters]
        await _send(screen, logs, sent, actor=actor, why=why, dry_run=dry_run, as_json=as_json, skip_dead=True)

    _on_services(run, as_json=as_json)


def waive(
    positions: Positions = None,
    why: Why = "",
    reason: ReasonIs = "",
    source: SourceIs = "",
    actor: Actor = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Decide that refused records will not be billed, with the reason; they stay readable."""

    async def run(screen: Screen, store: DeadLetterStore, logs: Logs) -> None:
        from agents.dead_letters import waive as settle

        letters = _chosen(store, positions, reason, source)
        with screen.wait("waiving", len(letters), "records") as wait:
            for letter in () if dry_run else letters:
                await settle(logs, letter, actor=actor or _login(), reason=why)
                wait.advance()
        if as_json:
            screen.document({"waived": [_place(letter) for letter in letters], "dry_run": dry_run})
        else:
            screen.say(f"{len(letters):,} dead letters {'would be' if dry_run else 'are'} waived.")

    if not why.strip():
        raise typer.BadParameter("to waive usage needs a reason", param_hint="--why")
    _on_services(run, as_json=as_json)


# -- what the commands share -----------------------------------------------------------------------------------------


def _on_services(run: Callable[[Screen, DeadLetterStore, Logs], Coroutine[Any, Any, None]], *, as_json: bool) -> None:
    import asyncio

    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.settings import load
    from agents.store.connection import Connection
    from agents.store.dead_letters import DeadLetterStore

    async def connected() -> None:
        settings = load()
        connection = Connection(settings)
        async with Logs(settings) as logs:
            await run(Screen(json_only=as_json), DeadLetterStore(connection), logs)
        connection.close()

    asyncio.run(connected())


async def _send(
    screen: Screen,
    logs: Logs,
    sent: Sequence[StoredLetter],
    *,
    actor: str,
    why: str,
    dry_run: bool,
    as_json: bool,
    skip_dead: bool = False,
) -> None:
    """Sends records that would be accepted, as they are given; the others are refused, or named and left."""
    from agents.cli.failures import Refused
    from agents.clock import first_tick
    from agents.dead_letters import replay as send
    from agents.dead_letters import verdict_on
    from pipeline.intake.validation import Rejection

    first = await first_tick(logs)
    wall_clock = first is not None and first.clock == "wall"
    done = []
    with screen.wait("judging and sending", len(sent), "records") as wait:
        for letter in sent:
            verdict = verdict_on(letter, letter.value, wall_clock=wall_clock)
            dead = isinstance(verdict, Rejection)
            if dead and not skip_dead:
                raise Refused(f"{_place(letter)} would be refused again: {_said(verdict)}")
            silent = dead or dry_run
            place = None if silent else await send(logs, letter, letter.value, actor=actor or _login(), reason=why)
            done.append((letter, verdict, place, dead))
            wait.advance()
    if as_json:
        screen.document([
            {"position": _place(letter), "accepted": not dead, "says": _said(verdict), "sent_as": place and str(place)}
            for letter, verdict, place, dead in done
        ])  # fmt: skip
        return
    for letter, verdict, place, dead in done:
        became = "stays" if dead else "would be sent" if place is None else f"sent as {place}"
        screen.say(f"{_place(letter)}  {became}: {_said(verdict)}")
    accepted = sum(not dead for *_, dead in done)
    screen.say(f"{accepted:,} of {len(done):,} {'would be ' if dry_run else ''}sent again.")


def _said(verdict: Event | Correction | Rejection) -> str:
    from pipeline.intake.validation import Correction, Rejection

    if isinstance(verdict, Rejection):
        return f"{verdict.reason.value}: {verdict.detail}"
    if isinstance(verdict, Correction):
        return f"a correction of {verdict.target_source} {verdict.target_id}"
    return f"an event {verdict.type} of {verdict.subject} ({verdict.source} {verdict.id})"


def _changed(letter: StoredLetter, changes: Sequence[str]) -> StoredLetter:
    from agents.cli.failures import Refused
    from agents.dead_letters import with_changes
    from pipeline.intake.mending import field_value

    wanted = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{change!r} is not FIELD=VALUE", param_hint="--set")
        wanted[name] = field_value(text)
    try:
        return with_changes(letter, wanted)
    except ValueError as error:
        raise Refused(f"{_place(letter)}: {error} (--value FILE)") from None


def _chosen(store: DeadLetterStore, positions: list[str] | None, reason: str, source: str) -> list[StoredLetter]:
    if positions:
        return [_one(store, position) for position in positions]
    if not reason and not source:
        raise typer.BadParameter("name positions, or choose by --reason or --source", param_hint="POSITIONS")
    return store.letters(reason=reason, source=source, state="open", limit=AT_MOST)  # the same command takes the next


def _one(store: DeadLetterStore, position: str) -> StoredLetter:
    from agents.cli.failures import NotFound
    from agents.topics import USAGE_EVENTS
    from schemas.resolution import LogPosition

    partition, sign, offset = position.removeprefix(f"{USAGE_EVENTS}/").partition("/")
    if not (sign and partition.isdigit() and offset.isdigit()):
        raise typer.BadParameter(f"{position!r} is not PARTITION/OFFSET", param_hint="POSITION")
    place = LogPosition(topic=USAGE_EVENTS, partition=int(partition), offset=int(offset))
    letter = store.letter(place)
    if letter is None:
        raise NotFound(f"{place} is no dead letter; see `tally dead-letters list --each`")
    return letter


def _place(letter: StoredLetter) -> str:
    return f"{letter.position.partition}/{letter.position.offset}"


def _login() -> str:
    from agents.cli.options import login_name

    return login_name()


def _described(letter: StoredLetter) -> dict[str, object]:
    import base64

    from schemas.dead_letter import EXPLANATIONS, Reason

    return {
        "position": str(letter.position),
        "reason": letter.reason,
        "detail": letter.detail,
        "help": EXPLANATIONS[Reason(letter.reason)],
        "source": letter.source,
        "appended_at": letter.appended_at.isoformat(),
        "key": None if letter.key is None else letter.key.decode("utf-8", "replace"),
        "headers": {name: value.decode("utf-8", "replace") for name, value in letter.headers},
        "value_base64": base64.b64encode(letter.value).decode(),
        "state": letter.state,
        "actor": letter.actor,
        "why": letter.why,
        "replayed_as": letter.replayed_as and str(letter.replayed_as),
    }


def _tell(screen: Screen, letter: StoredLetter) -> None:
    described = _described(letter)
    for name in ("position", "appended_at", "source", "key", "reason", "detail", "help", "state"):
        screen.say(f"{name.replace('_', ' '):12} {described[name]}")
    for name in ("actor", "why", "replayed_as"):
        if described[name]:
            screen.say(f"{name.replace('_', ' '):12} {described[name]}")
    for name, value in letter.headers:
        screen.say(f"header       {name}: {value.decode('utf-8', 'replace')}")
    screen.say(f"value        {letter.value[:4000].decode('utf-8', 'replace')}")
