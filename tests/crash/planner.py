"""Which places a worker may die at next, and how often each was died at. The places are the steps, before and after.

A life is armed with every place that is due, and dies at whichever it comes to first. So no place waits for a worker
that happens to hold the right partition at the right moment, and none is tried in vain while others are passed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from agents.crash_points import AUDITING, BILLING, INGESTION, OF_COLLECTION

KINDS = {
    "ingest": (*INGESTION, *AUDITING),
    "billing": tuple(step for step in BILLING if step not in OF_COLLECTION),
}
"""Kind of worker -> the steps that the crash run leads to: it bills by the day, and nobody pays."""


class Planner:
    """Gives each worker of a kind the places that were died at too seldom so far; counts every death."""

    def __init__(self, *, each: Mapping[str, int]) -> None:
        self.each = each
        """Kind of worker -> how often each of its places is to be died at; `audit`: those of ingest workers' audits."""
        self.places: dict[str, Counter[str]] = {
            kind: Counter({f"{step}:{when}": 0 for step in steps for when in ("before", "after")})
            for kind, steps in KINDS.items()
        }
        self.others: Counter[str] = Counter()

    def wanted(self, kind: str, place: str) -> int:
        """How often a place is to be died at."""
        return self.each["audit" if place.partition(":")[0] in AUDITING else kind]

    @property
    def kills(self) -> int:
        """Deaths by SIGKILL of anything."""
        return sum(sum(counts.values()) for counts in self.places.values()) + sum(self.others.values())

    def due(self, kind: str, done: float) -> Sequence[str]:
        """`step:when` that should have been died at more often, once a share `done` of the run is behind us.

        Deaths are spread over the run: a place that nobody comes to leaves the others alone until more of the run is
        done, and the work goes on to it.
        """
        done = min(max(done, 0.001), 1.0)
        counts = self.places[kind].items()
        return [place for place, count in counts if count < math.ceil(self.wanted(kind, place) * done)]

    def rare(self, kind: str) -> Sequence[str]:
        """`step:when` that were died at least."""
        least = min(self.places[kind].values())
        return [place for place, count in self.places[kind].items() if count == least]

    def died_at(self, kind: str, place: str) -> None:
        """A worker died at a place."""
        self.places[kind][place] += 1

    def lacking(self, kind: str) -> Sequence[str]:
        """Places that were not died at often enough."""
        return [place for place, count in self.places[kind].items() if count < self.wanted(kind, place)]

    def missing(self) -> Sequence[str]:
        """The same of all kinds, in words."""
        return [
            f"{place} {self.places[kind][place]}/{self.wanted(kind, place)}"
            for kind in KINDS
            for place in self.lacking(kind)
        ]

    def share(self) -> float:
        """How much of what is to be died at places was died: 0 to 1."""
        each = [
            (count, self.wanted(kind, place))
            for kind, counts in self.places.items() for place, count in counts.items()
        ]  # fmt: skip
        died, wanted = sum(min(pair) for pair in each), sum(wanted for _, wanted in each)
        return died / wanted if wanted else 1.0

    def rarest(self) -> tuple[str, int]:
        """The place that was died at least, and how often."""
        return min((place for counts in self.places.values() for place in counts.items()), key=lambda found: found[1])
