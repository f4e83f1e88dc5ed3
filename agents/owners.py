"""Whose a subject is, followed in memory from billing.attributions: known while ClickHouse is away."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right, insort

from pydantic import ValidationError

from agents.logs import LogRecord, Logs
from agents.topics import ATTRIBUTIONS, KafkaUnavailable
from schemas.command import Attribution

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 2.0


class Owners:
    """Subject -> customer from a time on; of two attributions from one time, the one appended later counts."""

    def __init__(self) -> None:
        self._since: dict[str, list[tuple[int, int, str]]] = {}
        self._position = 0
        self._to_catch_up = -1

    @property
    def caught_up(self) -> bool:
        """Whether everything is known that was attributed before the follower began."""
        return 0 <= self._to_catch_up <= self._position

    def of(self, subject: str, at_ms: int) -> str:
        """Whose a subject is at a time; without an attribution it is its own customer."""
        since = self._since.get(subject, ())
        place = bisect_right(since, at_ms, key=lambda row: row[0])
        return since[place - 1][2] if place else subject

    def take(self, record: LogRecord) -> None:
        """Learns a record of billing.attributions; one that is none says nothing, and the projection names it."""
        self._position = record.offset + 1
        try:
            found = Attribution.model_validate_json(record.value or b"")
        except ValidationError:
            log.warning("%s at offset %s is no attribution", ATTRIBUTIONS, record.offset)
            return
        from_ms = int(found.effective_from.timestamp() * 1000)
        insort(self._since.setdefault(found.subject, []), (from_ms, record.offset, found.customer))

    async def follow(self, logs: Logs) -> None:
        """Follows the log until cancelled, from where it stands, whatever the broker does meanwhile."""
        while True:
            try:
                self._to_catch_up = (await logs.end_offsets(ATTRIBUTIONS))[0]
                async for record in logs.follow(ATTRIBUTIONS, [self._position]):
                    self.take(record)
            except KafkaUnavailable as error:
                log.warning("attributions are not followed: %s; trying again", error)
            await asyncio.sleep(AGAIN_AFTER_S)
