"""Dead letters are settled: sent again, mended or as they were, or waived; each settlement is a record.

A resolution stands in usage.dead-letters beside what it settles, so a rebuild knows it too. Sending again appends a new
record to usage.events: the ingester judges it like any other, and its identity keeps it from counting twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.logs import Logs
from agents.record_batch import RecordBatch
from agents.store.dead_letters import DeadLetterStore, StoredLetter
from agents.topics import DEAD_LETTERS, USAGE_EVENTS
from pipeline.intake.mending import mended, mended_binary
from pipeline.intake.validation import Correction, Event, Rejection, binary_attributes, validate
from schemas.quantity import read_json
from schemas.resolution import HEADER, LogPosition, Resolution

log = logging.getLogger(__name__)


class Resolver:
    """Projects resolutions into their table; the dead letters beside them are the ingester's."""

    def __init__(self, store: DeadLetterStore, keeper: LedgerKeeper) -> None:
        self._store, self._keeper = store, keeper

    async def project(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle: read, store, ledger. A resolution that cannot be read settles nothing and is named in the log."""
        await asyncio.to_thread(self._store.insert_resolutions, list(_resolutions(batches)))
        await self._keeper.record(batches)


def _resolutions(batches: Sequence[RecordBatch]) -> Iterator[tuple[Resolution, int, int]]:
    for batch in batches:
        for offset, headers, value in zip(batch.offsets, batch.headers, batch.values, strict=True):
            if any(name == HEADER for name, _ in headers or ()):
                try:
                    yield Resolution.model_validate_json(value or b""), batch.partition, offset
                except ValidationError as error:
                    log.error("%s/%s at %s settles nothing: %s", DEAD_LETTERS, batch.partition, offset, error)


def attach(app: TallyApp, resolver: Resolver, keeper: LedgerKeeper) -> None:
    """Runs the projection."""
    app.deliver(DEAD_LETTERS, process=resolver.project, resume=keeper.resume, linger_s=0.05)


def verdict_on(letter: StoredLetter, value: bytes, *, wall_clock: bool) -> Event | Correction | Rejection:
    """What the ingester would say of a value in the place of a dead letter, with its headers and broker time."""
    at_ms = int(letter.appended_at.timestamp() * 1000)
    return validate(value, letter.key, letter.headers, at_ms, wall_clock=wall_clock)


def with_changes(letter: StoredLetter, changes: Mapping[str, Any]) -> StoredLetter:
    """A dead letter as it would be sent again: fields changed, its time kept, all else as it was received.

    Without changes a record that cannot be read stays as it is. Raises ValueError where a change is not possible.
    """
    if binary_attributes(letter.headers):
        value, headers = mended_binary(letter.value, letter.headers, letter.appended_at, changes)
        return replace(letter, value=value, headers=headers)
    try:
        needless = not changes and "time" in read_json(letter.value)
        return letter if needless else replace(letter, value=mended(letter.value, letter.appended_at, changes))
    except (ValueError, TypeError):
        if changes:
            raise
        return letter


async def replay(logs: Logs, letter: StoredLetter, value: bytes, *, actor: str, reason: str) -> LogPosition:
    """Sends a value for a dead letter and says so; where it stands now. Doing it twice sends a duplicate, no more."""
    headers = with_changes(letter, {}).headers  # without a time of its own it would get the time of now
    partition, offset = await logs.append(USAGE_EVENTS, letter.key, value, headers=headers)
    sent = LogPosition(topic=USAGE_EVENTS, partition=partition, offset=offset)
    await _resolve(
        logs,
        letter,
        Resolution(resolution="replayed", letter=letter.position, replayed_as=sent, actor=actor, reason=reason),
    )
    return sent


async def waive(logs: Logs, letter: StoredLetter, *, actor: str, reason: str) -> None:
    """Says that a dead letter will not be billed, and why. Raises ValueError without a reason."""
    await _resolve(logs, letter, Resolution(resolution="waived", letter=letter.position, actor=actor, reason=reason))


async def _resolve(logs: Logs, letter: StoredLetter, resolution: Resolution) -> None:
    headers = ((HEADER, resolution.resolution.encode()),)
    value = resolution.model_dump_json().encode()
    await logs.append(DEAD_LETTERS, letter.key, value, headers=headers, partition=letter.position.partition)
