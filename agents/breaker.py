"""The circuit breaker of the ingester: a flood of refusals alerts, and stops the worker if it must be ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from pipeline.intake.rejections import Flood, LastRecords
from schemas.dead_letter import DeadLetter

log = logging.getLogger(__name__)

TELL_EVERY_S = 60.0


class TooManyRefused(Exception):
    """More than half of the last records, from several sources, would be refused: the mistake is ours."""


class Breaker:
    """Sees every record once, in the order of storing. It forgets with its process: a restart begins to count anew."""

    def __init__(self, *, stops: bool = True) -> None:
        self._stops = stops
        self._last = LastRecords()
        self._told = -TELL_EVERY_S
        self.flood: Flood | None = None
        """The flood that is going on, for metrics; None if there is none."""

    def check(self, accepted: int, letters: Sequence[DeadLetter]) -> None:
        """Counts what is about to be stored. Raises TooManyRefused; then it must not be."""
        self._last.accepted(accepted)
        self._last.refused(letter.source for letter in letters)
        self.flood = self._last.flood()
        if self.flood is None:
            return
        if self.flood.ours and self._stops:
            raise TooManyRefused(
                f"{_said(self.flood)}; nothing of this batch was stored. If they are right to be refused: "
                "TALLY_FLOOD_STOPS=false"
            )
        now = time.monotonic()
        if now - self._told >= TELL_EVERY_S:
            self._told = now
            log.error("alert: %s; the others go on", _said(self.flood))


def _said(flood: Flood) -> str:
    sources = ", ".join(f"{source or 'no source that can be read'} ({count:,})" for source, count in flood.sources[:5])
    return f"{flood.refused:,} of the last 10,000 records are refused, from {len(flood.sources)} sources: {sources}"
