"""Epochs of usage.events: a log that was truncated or re-created stops its partitions until someone adopts it.

An adoption is a record of usage.epochs, so every worker and every tick counts positions alike. What was lost between
the ledger's end and the epoch's base is named in it, and becomes offsets without a record in the ledger.
Source: design.md §5, "Resume from the ledger".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from agents.ledger import Ledger, LedgerRow, record_hash
from agents.topics import EPOCHS, USAGE_EVENTS
from schemas.epoch import Epoch

if TYPE_CHECKING:
    from agents.logs import Logs

MARKS_LOOKED_AT = 200


class EpochLog:
    """usage.epochs, folded as far as it was read."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._read = 0
        self._known: dict[int, tuple[Epoch, ...]] = {}

    async def current(self) -> Mapping[int, Epoch]:
        """Partition -> its epoch, as of now; without partitions that never had another than the first."""
        return {partition: epochs[-1] for partition, epochs in (await self.history()).items()}

    async def history(self) -> Mapping[int, tuple[Epoch, ...]]:
        """Partition -> its epochs in order; without partitions that never had another than the first."""
        end = (await self._logs.end_offsets(EPOCHS))[0]
        if end > self._read:
            for record in await self._logs.read(EPOCHS, 0, self._read, end):
                epoch = Epoch.model_validate_json(record.value or b"")
                held = self._known.get(epoch.partition, ())
                if epoch.number == len(held) + 1:
                    self._known[epoch.partition] = (*held, epoch)
            self._read = end
        return dict(self._known)

    async def append(self, epoch: Epoch) -> None:
        """Makes an epoch known."""
        await self._logs.append(EPOCHS, None, epoch.model_dump_json().encode())


def bridged(row: LedgerRow, epoch: Epoch | None) -> LedgerRow | None:
    """The row that leads from the ledger's end over what is missing to the epoch's base; None where none is needed."""
    if epoch is None or not epoch.stored_to <= row.next_offset < epoch.base:
        return None
    return replace(
        row,
        first_offset=row.next_offset,
        next_offset=epoch.base,
        controls=row.controls + epoch.base - row.next_offset,
        panes=(),
        last_hash=0,
    )


async def fault_of(logs: Logs, row: LedgerRow, epoch: Epoch | None) -> str:
    """Why the log is not the one that the ledger describes, with the range that is missing; empty if it is."""
    place = f"{USAGE_EVENTS}/{row.partition}"
    if epoch is not None and row.next_offset < epoch.stored_to:
        return (
            f"{place}: positions {row.next_offset} to {epoch.stored_to - 1} were stored once and are in no log any "
            f"more: epoch {epoch.number} began when they were"
        )
    row = bridged(row, epoch) or row
    begins, ends = await logs.bounds(USAGE_EVENTS)
    begin, end = begins[row.partition], ends[row.partition]
    if row.next_offset > end:
        return (
            f"{place}: the log ends at {end} but {row.next_offset} is stored: it was truncated or re-created, and "
            f"{end} to {row.next_offset - 1} are missing"
        )
    if begin > row.next_offset:
        return (
            f"{place}: {row.next_offset} to {begin - 1} are gone: retention or an operator removed them before they "
            "were stored"
        )
    if epoch is not None and row.next_offset <= epoch.base:
        return ""  # nothing of this epoch is stored: the last record that is lies in a log that is no more
    if not row.next_offset or begin > row.next_offset - 1 or not row.last_hash:
        return ""
    last = await logs.read(USAGE_EVENTS, row.partition, row.next_offset - 1, row.next_offset)
    if last and record_hash(last[0].key, last[0].value) != row.last_hash:
        return (
            f"{place}: the record at {row.next_offset - 1} is not the one that was stored: the topic was re-created, "
            f"and what it held from {row.next_offset} on is missing"
        )
    return ""


async def faults(logs: Logs, ledger: Ledger) -> dict[int, str]:
    """Partition -> why it stopped; only those that did."""
    partitions = range(await logs.partitions(USAGE_EVENTS))
    ends = await asyncio.to_thread(ledger.ends, USAGE_EVENTS, partitions)
    epochs = await logs.epochs()
    found = {partition: await fault_of(logs, row, epochs.get(partition)) for partition, row in ends.items()}
    return {partition: fault for partition, fault in found.items() if fault}


async def proposed(
    logs: Logs, ledger: Ledger, vector: Sequence[int], *, actor: str, reason: str, at: datetime
) -> list[Epoch]:
    """An epoch for each partition that stopped. `vector` is that of the last tick: positions may not go below it."""
    stopped = await faults(logs, ledger)
    ends = await asyncio.to_thread(ledger.ends, USAGE_EVENTS, sorted(stopped))
    epochs = await logs.epochs()
    return [
        await _epoch(logs, ledger, ends[partition], epochs.get(partition), vector, fault, actor, reason, at)
        for partition, fault in stopped.items()
    ]


async def _epoch(
    logs: Logs, ledger: Ledger, row: LedgerRow, held: Epoch | None, vector: Sequence[int], fault: str, actor: str,
    reason: str, at: datetime,
) -> Epoch:  # fmt: skip
    begins, ends = await logs.bounds(USAGE_EVENTS)
    shift = held.shift if held else 0
    begin, end = begins[row.partition], ends[row.partition]
    if row.next_offset < begin <= end:  # the front is gone, the rest is the same log: its positions stay
        base = begin
    else:
        known = await _known_to(logs, ledger, row.partition, begin, end)
        seen = vector[row.partition] if row.partition < len(vector) else 0
        base = max(row.next_offset, seen)
        shift += base - known
    return Epoch(
        partition=row.partition, number=held.number + 1 if held else 1, base=base, shift=shift,
        stored_to=row.next_offset, missing=fault, actor=actor, reason=reason, adopted_at=at,
    )  # fmt: skip


async def _known_to(logs: Logs, ledger: Ledger, partition: int, begin: int, end: int) -> int:
    """Up to where the log is still the one that was stored: the last record of a ledger row that it has; or its begin.

    What is read again from there collapses with what is stored: same partition, same identity, first record wins.
    """
    for next_offset, last_hash in await asyncio.to_thread(ledger.marks, USAGE_EVENTS, partition, MARKS_LOOKED_AT):
        if begin < next_offset <= end:
            last = await logs.read(USAGE_EVENTS, partition, next_offset - 1, next_offset)
            if last and record_hash(last[0].key, last[0].value) == last_hash:
                return int(next_offset)
    return begin
