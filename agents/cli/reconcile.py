"""`tally reconcile`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.reading import Reading
    from agents.cli.screen import Screen
    from agents.settings import Settings
    from pipeline.reconciliation import PartitionAccount


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("reconcile", rich_help_panel=PROVE, epilog="Example: tally reconcile --json | jq .total")(reconcile)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was compared, and every difference in words."""

    accounts: tuple[PartitionAccount, ...]
    dead: dict[str, int]
    panes: dict[str, int]
    differences: tuple[str, ...]


def reconcile(as_json: AsJson = False) -> None:
    """Add up every record: what producers sent is what was counted, a copy, a correction, refused or a control.

    Also looks for missing ranges in the ledger and compares sealed totals with raw events. Exit code 5 on a difference.
    """
    import asyncio

    from agents.settings import load

    asyncio.run(_reconcile(load(), as_json=as_json))


async def _reconcile(settings: Settings, *, as_json: bool) -> None:
    from agents.cli.failures import ProofFailed
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from pipeline.reconciliation import total

    screen = Screen(json_only=as_json)
    async with reading(settings) as readers:
        found = await compared(readers)
    if as_json:
        everything = _described(total(found.accounts))
        screen.document({
            "balanced": not found.differences, "differences": list(found.differences), "total": everything,
            "partitions": [_described(account) for account in found.accounts], "dead_letters": found.dead,
            "sealed_panes": found.panes,
        })  # fmt: skip
    else:
        _show(screen, found)
    if found.differences:
        raise ProofFailed("it does not add up:\n  " + "\n  ".join(found.differences))


async def compared(readers: Reading) -> Reconciled:
    """Every comparison, made now."""
    from agents.cli.accounting import metered_types, partition_accounts
    from agents.topics import USAGE_EVENTS
    from pipeline.reconciliation import differences

    ends = await readers.logs.end_offsets(USAGE_EVENTS)
    metered = await metered_types(readers.catalogue)
    accounts = partition_accounts(ends, readers.ledger, readers.reconciliation, metered)
    gaps = [
        f"{topic}/{partition}: {count} ranges are missing in the ledger"
        for (topic, partition), count in readers.reconciliation.ledger_gaps().items()
        if topic != USAGE_EVENTS
    ]
    panes, unequal = await _totals(readers)
    return Reconciled(
        accounts=accounts,
        dead=readers.reconciliation.dead_letters_by_reason(USAGE_EVENTS),
        panes=panes,
        differences=(*(said for account in accounts for said in differences(account)), *gaps, *unequal),
    )


async def _totals(readers: Reading) -> tuple[dict[str, int], list[str]]:
    """Sealed panes per meter version, and customers whose panes differ from raw events."""
    panes: dict[str, int] = {}
    unequal: list[str] = []
    tick = readers.billing.last_tick()
    if tick is None:
        return panes, unequal
    for entry in (await readers.catalogue.newest()).meters.values():
        count, span = readers.reconciliation.sealed(entry)
        if span is not None:
            panes[f"{entry.name}@{entry.version}"] = count
            differing = readers.reconciliation.differing_customers(tick, entry, span)
            unequal += [f"{customer}: {said}" for customer, said in differing.items()]
    return panes, unequal


COLUMNS = (
    "partition", ">produced", ">= counted", ">+ duplicates", ">+ conflicts", ">+ corrected", ">+ corrections",
    ">+ dead letters", ">+ controls", ">+ not stored yet", "",
)  # fmt: skip


def _show(screen: Screen, found: Reconciled) -> None:
    from pipeline.reconciliation import total

    everything = total(found.accounts)
    screen.table("where every record ended", COLUMNS, [_row(account) for account in (*found.accounts, everything)])
    rows = everything.rows
    screen.say(f"of the counted: {rows.late:,} late, {rows.unattributed:,} of subjects without a customer, "
               f"{rows.unmetered:,} of types without a meter")  # fmt: skip
    screen.say("dead letters: " + (", ".join(f"{count:,} {reason}" for reason, count in found.dead.items()) or "none"))
    panes = sum(found.panes.values())
    screen.say(f"sealed totals: {panes:,} panes of {len(found.panes)} meter versions against raw events")
    if not found.differences:
        screen.say("Everything adds up. Next: tally replay --check --all")


def _row(account: PartitionAccount) -> tuple[object, ...]:
    from pipeline.reconciliation import differences

    mark = "✗" if any(differences(account)) else "✓"
    return (account.name, *(f"{count:,}" for count in _counts(account).values()), mark)


def _counts(account: PartitionAccount) -> dict[str, int]:
    rows = account.rows
    return {
        "produced": account.produced, "counted": account.counted, "duplicates": account.duplicates,
        "conflicts": rows.conflicts, "corrected": rows.corrected, "corrections": rows.corrections,
        "dead_letters": rows.dead_letters, "controls": account.ledger.controls, "not_stored_yet": account.pending,
    }  # fmt: skip


def _described(account: PartitionAccount) -> dict[str, object]:
    rows = account.rows
    labels = {"late": rows.late, "unattributed": rows.unattributed, "unmetered": rows.unmetered}
    return {"name": account.name, **_counts(account), "of_the_counted": labels}
