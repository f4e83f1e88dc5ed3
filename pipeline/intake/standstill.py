"""Whether partitions stand still: records wait, nothing is in the way, and nothing moves.

A store or a broker that is away is no standstill: a restart would not bring it back. Nor is a partition that was
stopped for a reason that an operator must see: it is not among those that are held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a moment (seconds of any steady clock): the end of each held partition, and what is stored."""

    at_s: float
    ends: Mapping[Place, int]
    stored: Mapping[Place, int]
    in_the_way: str = ""
    """What keeps records from being stored, by the worker's own account; empty if nothing does."""

    def lag(self, place: Place) -> int:
        """Records that wait."""
        return max(0, self.ends.get(place, 0) - self.stored.get(place, 0))


class Standstills:
    """How long each partition with lag has not moved while nothing was in the way."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[Place, tuple[int, float]] = {}

    def look(self, seen: Look) -> Mapping[Place, float]:
        """The partitions that have stood still for the limit or longer, and for how long."""
        kept: dict[Place, tuple[int, float]] = {}
        for place in seen.stored:
            if seen.lag(place) and not seen.in_the_way:
                now = (seen.stored[place], seen.at_s)
                before = self._since.get(place, now)
                kept[place] = before if before[0] == now[0] else now
        self._since = kept
        stood = {place: seen.at_s - since for place, (_, since) in kept.items()}
        return {place: for_s for place, for_s in stood.items() if for_s >= self._limit_s}


class Freshness:
    """How old the oldest record is that is not stored, as far as ends and broker times tell."""

    def __init__(self) -> None:
        self._caught_up: dict[Place, float] = {}

    def look(self, seen: Look, newest_stored_age_s: Mapping[Place, float]) -> Mapping[Place, float]:
        """Seconds by partition, an upper bound; 0 where nothing waits.

        What waits was appended after the newest record that is stored, and after the last look that saw nothing wait.
        """
        ages = {}
        for place in seen.stored:
            if not seen.lag(place):
                self._caught_up[place] = seen.at_s
                ages[place] = 0.0
                continue
            bounds = [newest_stored_age_s.get(place), self._since_caught_up(place, seen.at_s)]
            ages[place] = min((bound for bound in bounds if bound is not None), default=0.0)
        return ages

    def _since_caught_up(self, place: Place, at_s: float) -> float | None:
        caught_up = self._caught_up.get(place)
        return None if caught_up is None else at_s - caught_up
