"""Which positions of a partition its log still holds, once it was truncated or re-created and adopted.

A position is the broker's offset plus the shift of its epoch. Where a log lost its end, what is left of it keeps the
positions that it was stored under, and what came since has those of the new epoch: a second reading must ask each
stretch by its own shift, or it compares a record with the row of another. Source: design.md §5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.epoch import Epoch


@dataclass(frozen=True, slots=True)
class Stretch:
    """Positions `[first, next)` that the log holds; the broker's offset of one is `position - shift`."""

    first: int
    next: int
    shift: int

    def within(self, first: int, next_position: int) -> Stretch | None:
        """The part of it in a range; None if there is none."""
        low, high = max(self.first, first), min(self.next, next_position)
        return Stretch(low, high, self.shift) if low < high else None


def stretches(epochs: Sequence[Epoch], begin: int, end: int) -> tuple[Stretch, ...]:
    """What a log that now holds the broker's offsets `[begin, end)` still has of each epoch, in order of position.

    `epochs` are those of one partition in order. An epoch has the offsets from its own first one to that of the next:
    what lay beyond was lost, and its offsets were given out again.
    """
    begins = [(0, 0), *((epoch.base, epoch.shift) for epoch in epochs)]
    found = []
    for place, (base, shift) in enumerate(begins):
        later = begins[place + 1 :]
        lost_from = [first - moved for first, moved in later]
        low, high = max(begin, base - shift), min([end, *lost_from])
        if low < high:
            found.append(Stretch(low + shift, high + shift, shift))
    return tuple(found)


def parted(held: Sequence[Stretch], first: int, next_position: int) -> tuple[list[Stretch], list[tuple[int, int]]]:
    """A range as the parts that the log holds and those (first, next) that are in no log any more, in order."""
    kept = [part for stretch in held if (part := stretch.within(first, next_position)) is not None]
    return kept, list(_between(kept, first, next_position))


def _between(kept: Sequence[Stretch], first: int, next_position: int) -> Iterator[tuple[int, int]]:
    reached = first
    for part in kept:
        if reached < part.first:
            yield reached, part.first
        reached = part.next
    if reached < next_position:
        yield reached, next_position
