"""`tally attribute` and `tally attributions`: which customer pays for a subject, from when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import REASON, Actor, AsJson, Reason, login_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agents.logs import Logs
    from pipeline.intake.attribution_file import Owner
    from schemas.command import Attribution


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import LOOK, MONEY

    app.command("attribute", rich_help_panel=MONEY, epilog="Example: tally attribute acme/key-7 --customer acme")(
        attribute
    )
    app.command("attributions", rich_help_panel=LOOK, epilog="Example: tally attributions acme")(attributions)


def attribute(
    subjects: Annotated[list[str] | None, typer.Argument(help="Subjects, as events name them.")] = None,
    customer: Annotated[str, typer.Option(help="Who pays for them.")] = "",
    start: Annotated[
        str, typer.Option("--from", help="From when on (UTC without a zone); default: billing time.")
    ] = "",
    file: Annotated[Path | None, typer.Option(help="CSV with the columns subject, customer, from.")] = None,
    actor: Actor = "",
    reason: Reason = REASON,
    as_json: AsJson = False,
) -> None:
    """Say which customer pays for the usage of subjects, from a time on; it counts from the next tick on.

    A subject that nobody attributed is its own customer. --customer and --from hold where a line of --file is silent.
    """
    import asyncio

    from agents.cli.instants import instant
    from agents.cli.screen import Screen
    from pipeline.intake.attribution_file import Owner

    screen = Screen(json_only=as_json)
    if not subjects and file is None:
        raise typer.BadParameter("name subjects, or a --file of them", param_hint="SUBJECTS")
    default = instant(start, "--from") if start else None
    owners = [Owner(subject, customer, "", 0) for subject in dict.fromkeys(subjects or ())]
    owners += _read(file) if file is not None else ()
    records = asyncio.run(_publish(owners, customer, default, file, actor=actor or login_name(), reason=reason))
    if as_json:
        screen.document([record.model_dump(mode="json") for record in records])
        return
    customers = sorted({record.customer for record in records})
    what = f"{len(records):,} subject{'' if len(records) == 1 else 's'}"
    whose = customers[0] if len(customers) == 1 else f"{len(customers)} customers"
    screen.say(f"{what} attributed to {whose}; it counts from the next tick on. Next: tally attributions")


def attributions(
    customer: Annotated[str, typer.Argument(help="Only subjects of this customer.")] = "",
    at_most: Annotated[int, typer.Option("--limit", min=1, help="Rows at most.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List which customer pays for which subject, from when until when."""
    from agents.cli.instants import shown
    from agents.cli.screen import Screen
    from agents.settings import load
    from agents.store.connection import Connection, query_text

    connection = Connection(load())
    try:
        rows = connection.rows(query_text("attributions"), {"customer": customer, "at_most": at_most})
    finally:
        connection.close()
    found = int(rows[0]["found"]) if rows else 0
    screen = Screen(json_only=as_json)
    if as_json:
        screen.document([{name: _plain(value) for name, value in row.items() if name != "found"} for row in rows])
        return
    if not rows:
        whom = f" of {customer}" if customer else ""
        screen.say(f"No attribution{whom} yet: a subject that nobody attributed is its own customer.")
        return
    table = [
        (
            row["customer"],
            row["subject"],
            shown(row["effective_from"]),
            shown(row["effective_to"]) if row["effective_to"] else "",
            row["actor"],
            row["reason"],
        )
        for row in rows
    ]
    screen.table("", ("customer", "subject", "from", "until", "actor", "reason"), table)
    if found > len(rows):
        screen.say(f"{len(rows):,} of {found:,}; more with --limit")


def _plain(value: object) -> object:
    from datetime import datetime

    return value.isoformat() if isinstance(value, datetime) else value


def _read(file: Path) -> tuple[Owner, ...]:
    from agents.cli.failures import NotFound, Refused
    from pipeline.intake.attribution_file import read_owners

    if not file.is_file():
        raise NotFound(f"{file}: no such file")
    try:
        owners, faults = read_owners(file.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(f"{file}: must be UTF-8 text; byte {error.start} is not") from None
    if faults:
        raise Refused("nothing was sent:\n  " + "\n  ".join(f"{file}: {fault}" for fault in faults))
    return owners


async def _publish(
    owners: Sequence[Owner], customer: str, start: datetime | None, file: Path | None, *, actor: str, reason: str
) -> tuple[Attribution, ...]:
    from agents.attribution_log import attribute as publish
    from agents.logs import Logs
    from agents.settings import load

    settings = load()
    async with Logs(settings) as logs:
        if start is None and any(not owner.effective_from for owner in owners):
            start = await _billing_time(logs)
        records = attribution_records(owners, customer, start, str(file or ""), actor=actor, reason=reason)
        await publish(logs, records)
    return records


async def _billing_time(logs: Logs) -> datetime:
    from agents.cli.failures import Refused
    from agents.clock import TickLog

    last = await TickLog(logs).last()
    if last is None:
        raise Refused("billing time has not begun, so say from when: --from TIME")
    return last.time


def attribution_records(
    owners: Sequence[Owner], customer: str, start: datetime | None, file: str, *, actor: str, reason: str
) -> tuple[Attribution, ...]:
    """The records of subjects, in order; `customer` and `start` where a line is silent. Raises Refused, every fault.

    Request ids derive from what is asked for.
    """
    from pydantic import ValidationError

    from agents.cli.failures import Refused
    from agents.cli.instants import instant
    from schemas.command import Attribution
    from schemas.event_time import EARLIEST_MS, LATEST_MS
    from schemas.identity import derived_id

    records: list[Attribution] = []
    faults: list[str] = []
    for owner in owners:
        place = f"{file}: line {owner.line}: " if owner.line else ""
        whose = owner.customer or customer
        try:
            since = instant(owner.effective_from, "from") if owner.effective_from else start
            if not whose:
                faults.append(f"{place}customer: is missing for {owner.subject!r}; say --customer")
            elif since is None:
                faults.append(f"{place}from: is missing for {owner.subject!r}; say --from")
            elif not EARLIEST_MS <= since.timestamp() * 1000 < LATEST_MS:
                faults.append(f"{place}from: {since:%Y-%m-%d} is a time that no event can have, 2000 to 2099")
            else:
                request_id = str(derived_id("attribution", owner.subject, whose, since.isoformat()))
                records.append(
                    Attribution(
                        subject=owner.subject,
                        customer=whose,
                        effective_from=since,
                        request_id=request_id,
                        actor=actor,
                        reason=reason,
                    )
                )
        except typer.BadParameter as fault:
            faults.append(f"{place}from: {fault.message}")
        except ValidationError as error:
            faults += [f"{place}{fault['loc'][0]}: {fault['msg']}" for fault in error.errors()]
    if faults:
        raise Refused("nothing was sent:\n  " + "\n  ".join(faults))
    return tuple(records)
