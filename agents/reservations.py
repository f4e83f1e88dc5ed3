"""billing.reservations, followed and folded: every process of `tally serve` comes to the same verdicts."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator

from aiokafka.errors import KafkaError
from pydantic import ValidationError

from agents.logs import LogRecord, Logs
from agents.topics import RESERVATIONS, KafkaRefused, KafkaUnavailable
from pipeline.limits.reservations import Holdings, Verdict
from schemas.reservation import RESERVATION_RECORD, AnyReservationRecord, Reserve

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 1.0
KEPT = 10_000
"""Verdicts that are kept for whoever asked and was not told yet."""
Place = tuple[int, int]
"""Partition and offset of a record."""


class ReservationLog:
    """The fold, and who waits for which record to be folded."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._holdings: dict[tuple[str, str], Holdings] = {}
        self._positions: list[int] = []
        self._to_catch_up: list[int] = []
        self._verdicts: OrderedDict[Place, Verdict] = OrderedDict()
        self._waiting: dict[Place, asyncio.Future[Verdict]] = {}
        self.seen_ms = 0
        """The broker's time of the newest record."""

    @property
    def caught_up(self) -> bool:
        """Whether everything is folded that was there when the follower began."""
        ends = self._to_catch_up
        return bool(ends) and all(at >= end for at, end in zip(self._positions, ends, strict=True))

    def holdings(self, customer: str, meter: str) -> Holdings:
        """What is reserved; empty if nothing ever was."""
        return self._holdings.get((customer, meter)) or Holdings()

    def holding(self) -> Iterator[tuple[str, str, Holdings]]:
        """Customers and meters of which something is reserved now."""
        for (customer, meter), holdings in self._holdings.items():
            if holdings.held:
                yield customer, meter, holdings

    async def position(self, customer: str) -> tuple[int, int]:
        """A customer's partition, and how far it is folded."""
        partition = await self._logs.partition_of(RESERVATIONS, customer.encode())
        return partition, self._positions[partition] if self._positions else 0

    async def append(self, record: AnyReservationRecord) -> Place:
        """Appends a record. Raises KafkaUnavailable."""
        return await self._logs.append(RESERVATIONS, record.customer.encode(), record.model_dump_json().encode())

    async def ask(self, record: Reserve, within_s: float) -> tuple[Place, Verdict]:
        """The verdict on a reservation, once its own record is folded. Raises KafkaUnavailable, TimeoutError."""
        async with asyncio.timeout(within_s):
            place = await self.append(record)
            if place not in self._verdicts:
                self._waiting[place] = asyncio.get_running_loop().create_future()
                try:
                    await self._waiting[place]
                finally:
                    del self._waiting[place]
            return place, self._verdicts[place]

    async def follow(self) -> None:
        """Follows the log until cancelled, whatever the broker does meanwhile."""
        while True:
            try:
                begins, self._to_catch_up = map(list, await self._logs.bounds(RESERVATIONS))
                if not self._positions:
                    self._positions = begins
                starts = [max(pair) for pair in zip(self._positions, begins, strict=True)]
                self._positions = starts
                async for record in self._logs.follow(RESERVATIONS, starts):
                    self.take(record)
            except (KafkaUnavailable, KafkaRefused, KafkaError) as error:
                log.warning("reservations are not followed: %s; trying again", error)
            await asyncio.sleep(AGAIN_AFTER_S)

    def take(self, record: LogRecord) -> None:
        """Folds a record; one that is none changes nothing, and is named in the log."""
        self._positions[record.partition] = record.offset + 1
        self.seen_ms = max(self.seen_ms, record.timestamp_ms)
        place = (record.partition, record.offset)
        try:
            found = RESERVATION_RECORD.validate_json(record.value or b"")
        except ValidationError as error:
            log.warning("%s/%s at offset %s is none: %s", RESERVATIONS, *place, error.errors()[0]["msg"])
            return
        holdings = self._holdings.setdefault((found.customer, found.meter), Holdings())
        verdict = holdings.take(found, record.timestamp_ms)
        if verdict is not None:
            self._verdicts[place] = verdict
            if len(self._verdicts) > KEPT:
                self._verdicts.popitem(last=False)
            waiting = self._waiting.get(place)
            if waiting is not None and not waiting.done():
                waiting.set_result(verdict)
