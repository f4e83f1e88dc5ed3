"""`tally reconcile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.cli.comparing import Compared
    from agents.cli.reading import Reading
    from agents.cli.screen import Screen
    from agents.settings import Settings
    from pipeline.proof.positions import Lost
    from pipeline.proof.reconciliation import PartitionAccount
    from schemas.period import Period


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("reconcile", rich_help_panel=PROVE, epilog="Example: tally reconcile --period 2026-10 --deep")(
        reconcile
    )


def reconcile(
    period: Annotated[
        str,
        typer.Option("--period", help="What arrived in 2026-10, on 2026-10-05, or in START/END, by billing time."),
    ] = "",
    topic: Annotated[str, typer.Option("--topic", help="Only this log, such as billing.commands.")] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the log again, by other code, and compare each record with its row.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Store lost rows again from the log, seal their panes, and compare anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add up every record: what producers sent is what was counted, a copy, a correction, refused or a control.

    The sum is one of stored rows. Also looks for missing ranges in the ledger and compares sealed totals with raw
    events. Exit code 5 on a difference.
    """
    import asyncio

    from agents.cli.instants import span_of
    from agents.settings import load

    within = span_of(period, "--period") if period else None
    asyncio.run(_reconcile(load(), topic=topic, period=within, deep=deep, repair=repair, as_json=as_json))


async def _reconcile(
    settings: Settings, *, topic: str, period: Period | None, deep: bool, repair: bool, as_json: bool
) -> None:
    from agents.cli.comparing import compare
    from agents.cli.failures import ProofFailed
    from agents.cli.reading import reading
    from agents.cli.screen import Screen

    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        found = await compare(readers, screen, topic=topic, period=period, deep=deep)
        if repair and found.lost:
            await _repair(readers, screen, found.lost)
            found = await compare(readers, screen, topic=topic, period=period, deep=deep)
    if as_json:
        screen.document(_document(found))
    else:
        _show(screen, found)
    if found.differences:
        raise ProofFailed("it does not add up:\n  " + "\n  ".join(found.differences))


async def _repair(readers: Reading, screen: Screen, lost: Sequence[Lost]) -> None:
    from agents.repair import Repair
    from agents.store.usage import UsageStore

    with screen.wait("storing lost rows again", len(lost), "rows") as wait:
        repair = Repair(readers.logs, UsageStore(readers.connection), readers.totals, readers.catalogue)
        done = await repair.repair(lost)
        wait.to(done.rows)
    screen.say(f"{done.rows:,} rows are stored again; {done.panes:,} panes are sealed again.")


def _document(found: Compared) -> dict[str, object]:
    from dataclasses import asdict

    from pipeline.proof.reconciliation import total

    return {
        "balanced": not found.differences,
        "differences": found.differences,
        "total": _described(total(found.accounts)) if found.accounts else None,
        "partitions": [_described(account) for account in found.accounts],
        "logs": [asdict(account) | {"not_stored_yet": account.pending} for account in found.logs],
        "dead_letters": found.dead,
        "sealed_panes": found.panes,
        "read_again": found.deep and asdict(found.deep),
    }


COLUMNS = (
    "partition", ">produced", ">= counted", ">+ duplicates", ">+ conflicts", ">+ corrected", ">+ corrections",
    ">+ dead letters", ">+ controls", ">+ expired", ">+ not stored yet", "",
)  # fmt: skip


def _show(screen: Screen, found: Compared) -> None:
    if found.accounts:
        _show_usage(screen, found)
    if found.logs:
        rows = [(a.topic, f"{a.produced:,}", f"{a.stored:,}", f"{a.controls:,}", f"{a.pending:,}") for a in found.logs]
        screen.table("the other logs", ("log", ">produced", ">= stored", ">+ controls", ">+ not stored yet"), rows)
    if found.deep is not None:
        again = found.deep
        screen.say(
            f"read again: {again.records:,} records are {again.events:,} events, {again.copies:,} copies, "
            f"{again.corrections:,} corrections and {again.dead_letters:,} dead letters; {again.differing:,} differ"
        )
    if not found.differences:
        screen.say("Everything adds up. Next: tally replay --check --all")


def _show_usage(screen: Screen, found: Compared) -> None:
    from pipeline.proof.reconciliation import total

    everything = total(found.accounts)
    screen.table("where every record ended", COLUMNS, [_row(account) for account in (*found.accounts, everything)])
    rows = everything.rows
    screen.say(f"of the counted: {rows.late:,} late, {rows.unattributed:,} of subjects without a customer, "
               f"{rows.unmetered:,} of types without a meter")  # fmt: skip
    screen.say("dead letters: " + (", ".join(f"{count:,} {reason}" for reason, count in found.dead.items()) or "none"))
    panes = sum(found.panes.values())
    screen.say(f"sealed totals: {panes:,} panes of {len(found.panes)} meter versions against raw events")


def _row(account: PartitionAccount) -> tuple[object, ...]:
    from pipeline.proof.reconciliation import differences

    mark = "✗" if any(differences(account)) else "✓"
    return (account.name, *(f"{count:,}" for count in _counts(account).values()), mark)


def _counts(account: PartitionAccount) -> dict[str, int]:
    rows = account.rows
    return {
        "produced": account.produced, "counted": account.counted, "duplicates": account.duplicates,
        "conflicts": account.conflicts, "corrected": rows.corrected, "corrections": rows.corrections,
        "dead_letters": rows.dead_letters, "controls": rows.controls, "expired": rows.expired,
        "not_stored_yet": account.pending,
    }  # fmt: skip


def _described(account: PartitionAccount) -> dict[str, object]:
    rows = account.rows
    labels = {"late": rows.late, "unattributed": rows.unattributed, "unmetered": rows.unmetered}
    return {"name": account.name, "from": account.start, **_counts(account), "of_the_counted": labels}
