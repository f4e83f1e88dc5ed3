"""How an audit goes through the log: in slices, larger ones while they come through, small ones after a failure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.auditor import FIRST_SLICE, Auditor
from agents.crash_points import CrashPoint
from agents.positions import Found
from agents.store.audits import Slice
from agents.store.connection import StoreUnavailable
from schemas.catalogue_entry import Catalogue
from schemas.tick import USAGE, Tick, Vector

K = FIRST_SLICE


def ticks(*ends: tuple[int, ...]) -> list[Tick]:
    return [
        Tick(number=n, time=datetime(2026, 10, n, tzinfo=UTC), clock="test", vector=Vector(ends={USAGE: end}))
        for n, end in enumerate(ends, 1)
    ]


class Store:
    """Tables of the audit: ticks, of which some wait; slices and audits in the order in which they were noted."""

    def __init__(self, known: Sequence[Tick], *, wait: Sequence[int], coverage: int, fails: int = 0) -> None:
        self.known, self._wait, self._coverage, self._fails = known, wait, coverage, fails
        self.slices: list[tuple[int, ...]] = []
        self.tried: list[int] = []
        self.audits: list[int] = []
        self.part = Slice((), ())

    def waiting(self) -> list[Tick]:
        return [tick for tick in self.known if tick.number in self._wait and tick.number > max(self.audits, default=0)]

    def coverage(self) -> dict[int, int]:
        return dict.fromkeys(range(2), self._coverage)

    def erased_to(self) -> int:
        return 0

    def audited(self) -> tuple[int, tuple[int, ...]]:
        number = max(self.audits, default=0)
        return number, tuple(self.known[number - 1].vector.of(USAGE)) if number else ()

    def reached(self) -> tuple[int, ...]:
        return max((), *self.slices, key=sum) if self.slices else ()

    def tick_within(self, positions: int, number: int) -> tuple[int, ...]:
        ends = [tick.vector.of(USAGE) for tick in self.known if tick.number <= number]
        return tuple(max((end for end in ends if sum(end) <= positions), key=sum, default=()))

    def tick_beyond(self, positions: int) -> tuple[int, ...]:
        return next(end for tick in self.known if sum(end := tuple(tick.vector.of(USAGE))) > positions)

    def begin(self, part: Slice) -> Store:
        self.part = part
        self.tried.append(part.positions)
        return self

    def look_up(self, unknown: object = ()) -> Any:
        if self._fails and unknown == ():
            self._fails -= 1
            raise StoreUnavailable("away")
        return ()

    def done(self) -> None:
        self.slices.append(tuple(self.part.to))

    def close(self) -> None:
        pass

    def retracted_panes(self, before: Sequence[int], tick: Tick) -> tuple[int, ...]:
        return ()

    def record(self, tick: Tick) -> None:
        self.audits.append(tick.number)


class Log:
    """No meters; every position without a row turns out to be nothing."""

    async def as_of(self, _: int) -> Catalogue:
        return Catalogue()

    async def look_up(self, _: object) -> Found:
        return Found()


async def audited(store: Any) -> Store:
    log: Any = Log()
    auditor = Auditor(store, store, log, log, CrashPoint())
    for _ in range(9):
        try:
            await auditor.look()
        except StoreUnavailable:
            continue
    assert isinstance(store, Store)
    return store


async def test_slices_double_and_end_at_ticks_where_they_can() -> None:
    known = ticks((K // 2, 0), (K, 0), (2 * K, K), (4 * K, 4 * K))
    store = await audited(Store(known, wait=[1, 3, 4], coverage=9 * K))
    assert store.slices == [(K // 2, 0), (K, 0), (2 * K, K), (4 * K, 4 * K)]
    assert store.audits == [1, 3, 4]


async def test_a_tick_with_more_than_a_slice_holds_is_cut_at_offsets_and_all_of_it_is_looked_at_once() -> None:
    store = await audited(Store(ticks((3 * K, K // 4)), wait=[1], coverage=9 * K))
    assert store.slices[0] == (K - K // 4, K // 4) and store.slices[-1] == (3 * K, K // 4)
    assert sum(store.tried) == 3 * K + K // 4 and store.tried == sorted(store.tried[:-1]) + store.tried[-1:]
    assert store.audits == [1]


async def test_what_the_ledger_does_not_cover_waits() -> None:
    store = await audited(Store(ticks((5, 5), (5, 99)), wait=[1, 2], coverage=50))
    assert store.audits == [1]


async def test_several_small_ticks_are_audited_in_one_slice() -> None:
    known = ticks((1, 0), (1, 1), (2, 2), (3, 2), (3, 3))
    store = await audited(Store(known, wait=[1, 2, 3, 4, 5], coverage=9))
    assert (store.slices, store.audits) == ([(1, 0), (3, 3)], [1, 5])


@pytest.mark.parametrize("fails", [1, 2])
async def test_a_slice_that_failed_is_followed_by_the_smallest_one(fails: int) -> None:
    known = ticks((1, 0), (1, 1), (2, 2))
    store = await audited(Store(known, wait=[1, 2, 3], coverage=9, fails=fails))
    assert store.audits == [1, 3] and store.tried == [1] * fails + [1, 3]
