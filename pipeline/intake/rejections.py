"""When refusals are the producers' fault and when they must be ours: a rule over the last records, by source.

One source that floods us with broken records is that source's fault: it is told, and everybody else goes on. If more
than half of the last 10,000 records are refused and at least three sources take part, then nobody changed but us, and
going on would bury a month under dead letters. Source: issue "Ingestion", dead letters.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

RECORDS = 10_000
SOURCES = 3
TAKES_PART = 100
"""A source takes part in a flood with more than a hundredth of its refusals: a stray one proves nothing."""


@dataclass(frozen=True, slots=True)
class Flood:
    """More than half of the last records are refused. `ours` if too many sources take part to be theirs."""

    ours: bool
    refused: int
    sources: tuple[tuple[str, int], ...]
    """Those that take part and their refusals, most first; the empty name stands for records without one."""

    @property
    def kind(self) -> Literal["stop", "alert"]:
        """What to do about it."""
        return "stop" if self.ours else "alert"


class LastRecords:
    """The fates of the last records, in order: None for one that was accepted, else the source of a refusal."""

    def __init__(self, size: int = RECORDS) -> None:
        self._size = size
        self._runs: deque[tuple[int, str | None]] = deque()
        self._records = 0
        self._refused: Counter[str] = Counter()

    def accepted(self, count: int) -> None:
        """So many records were accepted."""
        self._add(count, None)

    def refused(self, sources: Iterable[str]) -> None:
        """One record of each of these sources was refused."""
        for source in sources:
            self._add(1, source)

    def flood(self) -> Flood | None:
        """Whether more than half of them are refused; never before there are enough of them."""
        return judged(self._refused, records=self._records, size=self._size)

    def _add(self, count: int, source: str | None) -> None:
        if not count:
            return
        self._runs.append((count, source))
        self._records += count
        if source is not None:
            self._refused[source] += count
        while self._records > self._size:
            self._forget(self._records - self._size)

    def _forget(self, count: int) -> None:
        held, source = self._runs.popleft()
        gone = min(held, count)
        if held > gone:
            self._runs.appendleft((held - gone, source))
        self._records -= gone
        if source is not None:
            self._refused[source] -= gone


def judged(refused: Mapping[str, int], *, records: int, size: int = RECORDS) -> Flood | None:
    """The flood in the last `records`, of which so many were refused per source."""
    total = sum(refused.values())
    if records < size or total * 2 <= records:
        return None
    ranked = sorted(refused.items(), key=lambda each: (-each[1], each[0]))
    part = tuple((source, count) for source, count in ranked if count * TAKES_PART > total)
    return Flood(len(part) >= SOURCES, total, part)
