"""`tally retention` and `tally erase`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import Actor, AsJson, DryRun, Timeout

if TYPE_CHECKING:
    from datetime import datetime

    from agents.cli.reading import Reading
    from agents.settings import Settings
    from agents.store.erasures import ErasureStore
    from agents.store.retention import RetentionStore
    from schemas.catalogue_entry import Catalogue
    from schemas.erasure import Erasure

KEEP_DAYS = 400
ERASED_WITHIN_S = 90.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    from agents.cli.frame import OPERATE

    app.command("retention", rich_help_panel=OPERATE, epilog="Example: tally retention apply --dry-run")(retention)
    app.command("erase", rich_help_panel=OPERATE, epilog="Example: tally erase acme/key-7 --reason 'request 12'")(erase)


def retention(
    what: Annotated[str, typer.Argument(metavar="apply", help="Retire raw usage that nothing needs any more.")],
    keep_days: Annotated[int, typer.Option("--keep-days", min=0, help="Days of billing time to keep.")] = KEEP_DAYS,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the record.")] = "retention",
    actor: Actor = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Retire raw events: whole days (UTC) that lie behind every open period, and longer ago than is looked back.

    Reckoned in billing time, from the last tick. Totals, frozen usage, invoices and the account of positions stay;
    `tally explain` and `tally replay` then say that a line is frozen. Types of meters that carry over are kept.
    """
    import asyncio

    from agents.cli.failures import Refused
    from agents.cli.options import login_name
    from agents.settings import load

    if what != "apply":
        raise Refused(f"{what}: must be apply")
    asyncio.run(_retention(load(), keep_days, actor or login_name(), reason, dry_run=dry_run, as_json=as_json))


async def _retention(
    settings: Settings, keep_days: int, actor: str, reason: str, *, dry_run: bool, as_json: bool
) -> None:
    from agents.cli.failures import Refused
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.store.retention import RetentionStore

    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        store, catalogue = RetentionStore(readers.connection), await readers.catalogue.newest()
        now = store.billing_time()
        if now is None:
            raise Refused("billing time has not begun: nothing can be behind it")
        if keep_days < (least := _least_days(catalogue)):
            raise Refused(f"--keep-days: must be at least {least}: a plan settles late usage for so long")
        before, why = _cut(store, now[1], keep_days)
        carried = sorted({kind for entry in catalogue.meters.values() if entry.meter.carry_over
                          for kind in entry.meter.event_types})  # fmt: skip
        days = store.days(before, carried)
        if not dry_run and days:
            store.retire(before, now[0], carried, actor=actor, reason=reason)
    if as_json:
        screen.document({
            "before": before.isoformat(), "because": why, "days": len(days), "events": sum(day[1] for day in days),
            "bytes": sum(day[2] for day in days), "kept_types": carried, "applied": bool(days) and not dry_run,
        })  # fmt: skip
        return
    did = "would go" if dry_run else "went"
    screen.table(f"raw events before {before:%Y-%m-%d} ({why})", ("day", ">events", ">bytes"), [
        (day, f"{events:,}", f"{size:,}") for day, events, size in days
    ])  # fmt: skip
    screen.say(f"{sum(day[1] for day in days):,} events of {len(days):,} days {did}; invoices and totals stay.")
    screen.say("The broker keeps its copy until the retention of usage.events ends (400 days unless you changed it).")


def _least_days(catalogue: Catalogue) -> int:
    """For how many days after its end some plan looks at a period again, rounded up."""
    horizons = [entry.plan.late_usage.horizon for entry in catalogue.plans.values()]
    return max((-(-int(horizon.total_seconds()) // 86_400) for horizon in horizons), default=0)


def _cut(store: RetentionStore, now: datetime, keep_days: int) -> tuple[datetime, str]:
    """Midnight before which nothing is needed, and what decided it."""
    from datetime import timedelta

    aged, open_from = now - timedelta(days=keep_days), store.first_open()
    decided = aged if open_from is None else min(aged, open_from)
    why = f"{keep_days} days before billing time" if decided == aged else "the first period that is still open"
    return decided.replace(hour=0, minute=0, second=0, microsecond=0), why


def erase(
    subject: Annotated[str, typer.Argument(help="Whose bytes are to go.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the record.")],
    actor: Actor = "",
    timeout: Timeout = ERASED_WITHIN_S,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the record is in the log.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a subject's bytes out of every table: events, corrections, copies, dead letters, totals, attributions.

    What was counted stays under a pseudonym, so that totals and invoices do not change; a rebuild erases again, from
    the record in billing.erasures, which holds a hash and not the name. It is carried out after the closes before the
    next tick. Says what stays in the broker, and until when.
    """
    import asyncio

    from agents.cli.options import login_name
    from agents.settings import load

    asyncio.run(
        _erase(
            load(), subject, actor or login_name(), reason, timeout, no_wait=no_wait, dry_run=dry_run, as_json=as_json
        )
    )


async def _erase(
    settings: Settings, subject: str, actor: str, reason: str, timeout: float, *, no_wait: bool, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    import uuid

    from agents.cli.failures import NotFound
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.store.erasures import ErasureStore
    from agents.topics import ERASURES, USAGE_EVENTS
    from schemas.erasure import Erasure, subject_hash

    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        store = ErasureStore(readers.connection)
        ends = await readers.logs.end_offsets(USAGE_EVENTS)
        wanted = Erasure(subject_sha256=subject_hash(subject), usage=ends, request_id=str(uuid.uuid4()), actor=actor,
                         reason=reason)  # fmt: skip
        extent, named = store.extent(wanted), store.named_in_state(subject)
        if not (extent.events or extent.corrections or extent.dead_letters or extent.attributions):
            raise NotFound(f"nothing is stored of a subject {subject!r}")
        waits = "" if dry_run else await _asked(readers, store, wanted, ERASURES, timeout, no_wait=no_wait)
    left = _left(named)
    if as_json:
        screen.document({
            "pseudonym": wanted.pseudonym, "customers": list(extent.customers), "events": extent.events,
            "corrections": extent.corrections, "dead_letters": extent.dead_letters,
            "carried_out": not (dry_run or waits), "waits_for": waits, "stays": left,
        })  # fmt: skip
        return
    did = "would be erased" if dry_run else f"will be erased after {waits}" if waits else "erased"
    screen.say(
        f"{subject}: {extent.events:,} events, {extent.corrections:,} corrections, "
        f"{extent.dead_letters:,} dead letters {did}; what was counted stays as {wanted.pseudonym}"
    )
    screen.say("What stays:")
    for line in left:
        screen.say(f"  {line}")


async def _asked(
    readers: Reading, store: ErasureStore, wanted: Erasure, topic: str, timeout: float, *, no_wait: bool
) -> str:
    """Appends the record and waits until it is carried out; what it still waits for, or nothing."""
    import asyncio
    import time

    _, offset = await readers.logs.append(topic, None, wanted.model_dump_json().encode())
    deadline = time.monotonic() + timeout
    while not no_wait and store.carried_out_to() <= offset:
        waits = store.waits_for(offset, readers.partitions)
        if waits == "the next tick" or time.monotonic() > deadline:
            return waits or "the billing worker"
        await asyncio.sleep(0.2)
    return "" if store.carried_out_to() > offset else "the next tick"


def _left(named: tuple[str, ...]) -> list[str]:
    """What an erasure cannot reach, in words."""
    said = [
        "usage.events and usage.dead-letters keep the records until their retention ends: 400 days by default",
        "billing.attributions keeps the subject's name for ever, not its usage",
        "id, source, type and time of its events, by which copies are recognised, and the fields that meters read",
        "invoices, frozen usage and totals, in which it has no name",
    ]
    return [*said, *(f"a subscription of {customer} names the subject: change it" for customer in named)]
