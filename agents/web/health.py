"""How the HTTP server is: ready is who can acknowledge, live is who answers at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agents.clock import first_tick
from agents.logs import Logs
from agents.topics import USAGE_EVENTS, KafkaUnavailable
from agents.web.events import Door

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
NOT_ACKNOWLEDGED_S = 5.0


class ServerHealth:
    """What the server knows of itself and of its broker."""

    def __init__(self, door: Door, logs: Logs) -> None:
        self._door, self._logs = door, logs
        self._away = ""
        self.stopping = False
        self._ended = ""

    def note_end(self, follower: asyncio.Future[None]) -> None:
        """Something that works as long as the server does has ended: only a restart mends that."""
        error = None if follower.cancelled() else follower.exception()
        if error is not None:
            self._ended = f"{type(error).__name__}: {error}"
            log.critical("the server cannot go on: %s", error, exc_info=error)

    def not_live(self) -> Sequence[str]:
        """What a restart would mend: work in the background that has ended. A broker that is away is no such thing."""
        return (self._ended,) if self._ended else ()

    def not_ready(self) -> Sequence[str]:
        """Why usage cannot be taken now."""
        waited = self._door.intake.waited_s
        faults = {
            "stopping": self.stopping,
            self._away: bool(self._away),
            self._ended: bool(self._ended),
            "billing time has not begun: tally tick --start …": self._door.wall_clock is None,
            "attributions are being read": not self._door.owners.caught_up,
            f"the broker has not acknowledged for {waited:.0f} s": waited > NOT_ACKNOWLEDGED_S,
        }
        return [fault for fault, holds in faults.items() if holds]

    async def watch(self) -> None:
        """Looks whether the broker answers, until cancelled; learns the kind of clock once there is one."""
        while True:
            try:
                await self._logs.end_offsets(USAGE_EVENTS)
                if self._door.wall_clock is None and (first := await first_tick(self._logs)) is not None:
                    self._door.wall_clock = first.clock == "wall"
                self._away = ""
            except KafkaUnavailable as error:
                self._away = str(error)
            await asyncio.sleep(LOOK_EVERY_S)
