"""Which place a worker dies at next, and how often each was died at. The places are the steps, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from agents.crash_points import BILLING, INGESTION, OF_COLLECTION

KINDS = {"ingest": INGESTION, "billing": tuple(step for step in BILLING if step not in OF_COLLECTION)}
"""Kind of worker -> the steps that the crash run leads to: it bills by the day, and nobody pays."""


class Planner:
    """Gives each worker of a kind the place that was died at least; counts every death."""

    def __init__(self, *, each: Mapping[str, int]) -> None:
        self._each = each
        self.places: dict[str, Counter[str]] = {
            kind: Counter({f"{step}:{when}": 0 for step in steps for when in ("before", "after")})
            for kind, steps in KINDS.items()
        }
        self.others: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()

    @property
    def kills(self) -> int:
        """Deaths by SIGKILL of anything."""
        return sum(sum(counts.values()) for counts in self.places.values()) + sum(self.others.values())

    def next(self, kind: str) -> str:
        """`step:when` to die at."""
        counts = self.places[kind]
        # In the order of the cycle: whoever died before a write left its work to the next. A place that is not reached
        # is tried again after the others.
        place = min(counts, key=lambda name: (counts[name], self._tried[name]))
        self._tried[place] += 1
        return place

    def died_at(self, kind: str, place: str) -> None:
        """A worker died at its place."""
        self.places[kind][place] += 1

    def lacking(self, kind: str) -> Sequence[str]:
        """Places that were not died at often enough."""
        return [place for place, count in self.places[kind].items() if count < self._each[kind]]

    def rarest(self) -> tuple[str, int]:
        """The place that was died at least, and how often."""
        return min((place for counts in self.places.values() for place in counts.items()), key=lambda found: found[1])
