"""What `tally reconcile` compares: logs, ledger and rows; sealed totals and raw events; the log read a second time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agents.cli.accounting import Extent, metered_types, part_of_log, partition_accounts, whole_log
from agents.cli.failures import NotFound, Refused
from agents.cli.names import near
from agents.positions import Positions
from agents.recount import Recount, Recounted
from agents.topics import (
    ATTRIBUTIONS,
    COMMANDS,
    DEAD_LETTERS,
    FINALISATIONS,
    PERIODS,
    TICKS,
    USAGE_EVENTS,
)
from pipeline.meters.usage_sql import whole_days
from pipeline.proof.positions import Lost
from pipeline.proof.reconciliation import PartitionAccount, differences
from schemas.period import Period
from schemas.tick import USAGE

if TYPE_CHECKING:
    from agents.cli.reading import Reading
    from agents.cli.screen import Screen

STORED_TOPICS = (USAGE_EVENTS, DEAD_LETTERS, TICKS, ATTRIBUTIONS, COMMANDS, PERIODS, FINALISATIONS)
"""The logs that have a ledger."""
NAMED = 20


@dataclass(frozen=True, slots=True)
class LogAccount:
    """A log beside usage.events: every record counts as stored once it was projected."""

    topic: str
    produced: int
    stored: int
    controls: int

    @property
    def pending(self) -> int:
        """Offsets that are not stored yet."""
        return self.produced - self.stored - self.controls


@dataclass(slots=True)
class Compared:
    """What was compared, and every difference in words."""

    accounts: tuple[PartitionAccount, ...] = ()
    logs: tuple[LogAccount, ...] = ()
    dead: dict[str, int] = field(default_factory=dict)
    panes: dict[str, int] = field(default_factory=dict)
    deep: Recounted | None = None
    lost: tuple[Lost, ...] = ()
    """Rows that the log has and no table: what a repair stores again."""
    differences: list[str] = field(default_factory=list)


async def compare(
    readers: Reading, screen: Screen, *, topic: str = "", period: Period | None = None, deep: bool = False
) -> Compared:
    """Every comparison, made now. Raises NotFound for a log without a ledger, Refused for a period without ticks."""
    if topic not in ("", *STORED_TOPICS):
        raise NotFound(f"{topic} has no ledger{near(topic, STORED_TOPICS)}: " + ", ".join(STORED_TOPICS))
    found = Compared()
    if topic in ("", USAGE_EVENTS):
        extent = await _extent(readers, period)
        await _usage(readers, screen, extent, found)
        await _totals(readers, period, found)
        if deep:
            await _deep(readers, screen, extent, found)
    if period is None:
        others = [name for name in STORED_TOPICS if name != USAGE_EVENTS and topic in ("", name)]
        found.logs = tuple([await _log(readers, name) for name in others])
        _ledger_gaps(readers, found)
    return found


async def _extent(readers: Reading, period: Period | None) -> Extent:
    ends = await readers.logs.end_offsets(USAGE_EVENTS)
    if period is None:
        return whole_log(ends, readers.ledger)
    first, last = readers.billing.tick_at(period.start), readers.billing.tick_at(period.end)
    if first is None:
        raise Refused(f"no tick at or after {period.start:%Y-%m-%d %H:%M}: billing time has not reached the period")
    starts = first.vector.of(USAGE) if readers.billing.tick_before(first) else ()
    return part_of_log(starts, last.vector.of(USAGE) if last else ends, readers.ledger)


async def _usage(readers: Reading, screen: Screen, extent: Extent, found: Compared) -> None:
    with screen.wait("positions without a row", None, "positions") as wait:
        positions = Positions(readers.logs, readers.positions)
        settled = await positions.settle(extent.starts, extent.covered, wait.to)
        wait.to(settled.copies + settled.empty + settled.lost)
    found.accounts = partition_accounts(extent, readers.reconciliation, await metered_types(readers.catalogue))
    found.dead = readers.reconciliation.dead_letters_by_reason(USAGE_EVENTS)
    found.differences += [said for account in found.accounts for said in differences(account)]
    lost = [row for row in readers.positions.lost(extent.covered) if row.offset >= extent.starts[row.partition]]
    found.lost = tuple(lost)
    for row in lost[:NAMED]:
        found.differences.append(
            f"{USAGE_EVENTS}/{row.partition}/{row.offset}: the log holds {row.what} {row.source} {row.id}"
            f"{' of ' + row.subject if row.subject else ''}, but it has no row"
        )
    if len(lost) > NAMED:
        found.differences.append(f"and {len(lost) - NAMED:,} more records have no row")
    found.differences += _twice(readers, extent, found.accounts)


def _twice(readers: Reading, extent: Extent, accounts: Sequence[PartitionAccount]) -> list[str]:
    """The positions that stand in several rows; looked for only where the sum says that there are some."""
    if all(account.rows.positions == _rows(account) for account in accounts):
        return []
    return [
        f"{USAGE_EVENTS}/{partition}/{offset}: stands in {count} rows: {', '.join(what)}"
        for partition, offset, count, what in readers.positions.twice(extent.starts, extent.covered, at_most=NAMED)
    ]


def _rows(account: PartitionAccount) -> int:
    rows = account.rows
    return rows.events + rows.copies + rows.conflicting_copies + rows.corrections + rows.dead_letters


async def _totals(readers: Reading, period: Period | None, found: Compared) -> None:
    """Sealed panes per meter version, and customers whose panes or days differ from raw events."""
    tick = readers.billing.last_tick()
    if tick is None:
        return
    days = readers.billing.days.usable(tick)
    for entry in (await readers.catalogue.newest()).meters.values():
        count, span = readers.reconciliation.sealed(entry, period)
        if span is not None:
            found.panes[f"{entry.name}@{entry.version}"] = count
            known = days.get((entry.name, entry.version), {})
            taken = {day: known[day] for day in whole_days(period) if day in known} if period else known
            for differing in (
                readers.reconciliation.differing_customers(tick, entry, span),
                readers.reconciliation.differing_days(tick, entry, taken),
            ):
                found.differences += [f"{customer}: {said}" for customer, said in differing.items()]


async def _deep(readers: Reading, screen: Screen, extent: Extent, found: Compared) -> None:
    total = sum(extent.covered) - sum(extent.starts)
    recount = Recount(readers.logs, readers.recount, readers.positions)
    with screen.wait("reading the log again", total, "records") as wait:
        found.deep = await recount.compare(extent.starts, extent.covered, wait.to)
    found.differences += [f"read again: {said}" for said in found.deep.differences]
    if (more := found.deep.differing - len(found.deep.differences)) > 0:
        found.differences.append(f"read again: {more:,} more records differ")


async def _log(readers: Reading, topic: str) -> LogAccount:
    ends = await readers.logs.end_offsets(topic)
    rows = await asyncio.to_thread(readers.ledger.ends, topic, range(len(ends)))
    stored = sum(row.events + row.corrections + row.dead_letters for row in rows.values())
    produced = sum(max(end, rows[partition].next_offset) for partition, end in enumerate(ends))
    return LogAccount(topic, produced, stored, sum(row.controls for row in rows.values()))


def _ledger_gaps(readers: Reading, found: Compared) -> None:
    shown = {account.topic for account in found.logs}
    found.differences += [
        f"{topic}/{partition}: {count} ranges are missing in the ledger"
        for (topic, partition), count in readers.reconciliation.ledger_gaps().items()
        if topic in shown
    ]
