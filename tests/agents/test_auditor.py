"""Which vector is audited next: all that waits in one go, and a smaller step after a failure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agents.auditor import Auditor
from agents.store.connection import StoreUnavailable
from schemas.tick import USAGE, Tick, Vector

TICKS = [
    Tick(number=n, time=datetime(2026, 10, n, tzinfo=UTC), clock="test", vector=Vector(ends={USAGE: (10 * n,)}))
    for n in (1, 2, 3, 4)
]


class Store:
    """What the auditor asks before it audits: three ticks are covered, one is not."""

    def waiting(self) -> list[Tick]:
        return [tick for tick in TICKS if tick.number not in AUDITED]

    def coverage(self) -> dict[int, int]:
        return {0: 30}

    def erased_to(self) -> int:
        return 0


class Failing(Auditor):
    """Its audits are noted; the first `fails` of them come to nothing."""

    def __init__(self, fails: int) -> None:
        store: Any = Store()
        super().__init__(store, store, store, store)
        self.fails = fails
        self.tried: list[int] = []

    async def audit(self, tick: Tick, coverage: list[int]) -> None:
        self.tried.append(tick.number)
        if len(self.tried) <= self.fails:
            raise StoreUnavailable("away")
        AUDITED.update(range(tick.number + 1))


AUDITED: set[int] = set()


@pytest.mark.parametrize(("fails", "tried"), [(0, [3]), (1, [3, 1, 3]), (2, [3, 1, 1, 3])])
async def test_an_audit_that_failed_is_followed_by_the_smallest_one(fails: int, tried: list[int]) -> None:
    AUDITED.clear()
    auditor = Failing(fails)
    for _ in range(5):
        try:
            await auditor.look()
        except StoreUnavailable:
            continue
    assert auditor.tried == tried
