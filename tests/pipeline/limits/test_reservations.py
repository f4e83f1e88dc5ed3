"""Reservations: a verdict is a function of the log before it, and nothing granted is ever beyond a hard limit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.limits.reservations import REMEMBERED_MS, STALE_MS, Holdings, follows, returned
from schemas.reservation import BalanceRead, Release, Reserve

WHO = {"customer": "acme", "meter": "tokens"}


def balance(
    used: int = 0, vector: tuple[int, ...] = (0,), *, limit: int = 100, hard: bool = True,
    settled: tuple[str, ...] = (), gone: tuple[str, ...] = (), window: str = "2026-10-01",
) -> BalanceRead:  # fmt: skip
    return BalanceRead(
        **WHO, limit=Decimal(limit), is_hard=hard, used=Decimal(used), window_start=window, vector=vector,
        settled=settled, returned=gone,
    )  # fmt: skip


def reserve(id: str, amount: int, expires_in_s: int = 60) -> Reserve:
    return Reserve(**WHO, id=id, amount=Decimal(amount), expires_in_s=expires_in_s)


def read(found: BalanceRead | None = None, at_ms: int = 0) -> Holdings:
    holdings = Holdings()
    holdings.take(found or balance(), at_ms)
    return holdings


def asked(holdings: Holdings, record: Reserve, at_ms: int = 0) -> tuple[bool, str]:
    verdict = holdings.take(record, at_ms)
    assert verdict is not None
    return verdict.granted, verdict.reason


def test_what_is_left_is_granted_and_no_more() -> None:
    holdings = read(balance(used=40))
    assert asked(holdings, reserve("a", 60)) == (True, "")
    assert asked(holdings, reserve("b", 1)) == (False, "limit")
    assert holdings.left == 0


def test_a_soft_limit_grants_and_says_so() -> None:
    holdings = read(balance(used=100, hard=False))
    assert asked(holdings, reserve("a", 5)) == (True, "over a soft limit")
    assert holdings.left == -5


def test_the_same_id_is_the_same_reservation_and_a_refused_one_may_be_asked_for_again() -> None:
    holdings = read()
    assert asked(holdings, reserve("a", 100)) == asked(holdings, reserve("a", 100)) == (True, "")
    assert holdings.reserved == 100
    assert asked(holdings, reserve("b", 1)) == (False, "limit")
    holdings.take(balance(100, (5,), settled=("a",), limit=200), 10)
    assert asked(holdings, reserve("b", 1)) == (True, "")
    assert asked(holdings, reserve("a", 100), 20) == (False, "ended")  # settled, and known
    assert holdings.reserved == 1


def test_an_id_that_has_expired_or_was_released_is_not_granted_again() -> None:
    holdings = read()
    assert asked(holdings, reserve("a", 10, expires_in_s=2), 0) == (True, "")
    assert asked(holdings, reserve("a", 10, expires_in_s=2), 1999) == (True, "")
    assert asked(holdings, reserve("a", 10, expires_in_s=2), 2000) == (False, "ended")
    holdings.take(reserve("b", 10), 0)
    holdings.take(Release(**WHO, id="b"), 1)
    assert asked(holdings, reserve("b", 10), 2) == (False, "ended")


def test_a_granted_id_is_forgotten_after_two_hours() -> None:
    holdings = read()
    holdings.take(reserve("a", 1), 0)
    holdings.take(balance(1, (1,), settled=("a",)), REMEMBERED_MS + 1)
    holdings.take(reserve("b", 1), REMEMBERED_MS + 1)
    assert list(holdings.granted) == ["b"]


def test_without_a_fresh_balance_nothing_is_granted() -> None:
    assert asked(Holdings(), reserve("a", 1)) == (False, "no balance")
    assert asked(read(at_ms=0), reserve("a", 1), STALE_MS) == (True, "")
    assert asked(read(at_ms=0), reserve("a", 1), STALE_MS + 1) == (False, "stale balance")


def test_an_ended_reservation_holds_until_a_balance_returns_it() -> None:
    holdings = read()
    holdings.take(reserve("a", 60, expires_in_s=2), 1000)
    holdings.take(reserve("b", 40, expires_in_s=600), 1000)
    holdings.take(Release(**WHO, id="b"), 2000)
    assert (holdings.ended(1999), holdings.ended(2000), holdings.ended(3000)) == ((), ("b",), ("a", "b"))
    assert asked(holdings, reserve("c", 1), 9000) == (False, "limit")
    holdings.take(balance(0, (7,), gone=("a", "b")), 9000)
    assert asked(holdings, reserve("c", 100), 9000) == (True, "")


def test_a_balance_that_knows_less_changes_nothing() -> None:
    holdings = read(balance(50, (5, 5)))
    holdings.take(reserve("a", 50), 0)
    holdings.take(balance(0, (6, 4), settled=("a",)), 1)
    holdings.take(balance(0, (9, 9), settled=("a",), window="2026-09-01"), 1)
    assert (holdings.left, holdings.reserved) == (0, 50)
    assert follows(balance(0, (1,)), balance(0, (1, 0)))


@pytest.mark.parametrize(
    ("vector", "settled", "expected"),
    [((4, 9), (), ()), ((5, 9), (), ("a",)), ((5, 9), ("a",), ()), ((5,), (), ())],
)
def test_only_a_vector_with_everything_that_was_sent_before_the_end_returns_it(
    vector: tuple[int, ...], settled: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    holdings = read()
    holdings.take(reserve("a", 60), 0)
    assert returned(holdings, vector, {"a": (5, 3), "unknown": (0, 0)}, settled) == expected


# A world of callers, an ingester that lags, and two servers that refresh as they please, with what they knew.
WHAT = ("reserve", "reserve", "use", "use", "store", "expire", "refresh", "refresh late")
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(1, 60)), min_size=25, max_size=80)


@given(STEPS)
def test_what_was_used_never_exceeds_a_hard_limit_whatever_lags_and_whoever_refreshes(
    steps: list[tuple[str, int]],
) -> None:
    world = World()
    for what, number in steps:
        world.act(what, number)
        assert sum(amount for _, amount in world.log) <= world.LIMIT
    again = Holdings()
    for record, at_ms in world.records:
        again.take(record, at_ms)
    assert (again.reserved, again.left, again.held) == (
        world.holdings.reserved, world.holdings.left, world.holdings.held
    )  # fmt: skip


class World:
    """Usage appended to a log of one partition, and stored up to a vector."""

    LIMIT = 100

    def __init__(self) -> None:
        self.holdings = read(balance(limit=self.LIMIT))
        self.records: list[tuple[BalanceRead | Reserve | Release, int]] = [(balance(limit=self.LIMIT), 0)]
        self.log: list[tuple[str, int]] = []
        self.stored = self.at_ms = self.count = 0
        self.live: dict[str, int] = {}
        self.ended: dict[str, tuple[int, ...]] = {}
        self.late: BalanceRead | None = None

    def act(self, what: str, number: int) -> None:
        self.at_ms += 1
        if what == "reserve":
            self.count += 1
            record = reserve(f"r{self.count}", number, expires_in_s=3600)
            if self._take(record):
                self.live[record.id] = number
        elif what == "use" and self.live:
            name = sorted(self.live)[number % len(self.live)]
            self.log.append((name, self.live.pop(name)))
        elif what == "expire" and self.holdings.held:
            name = sorted(self.holdings.held)[number % len(self.holdings.held)]
            self.live.pop(name, None)  # its caller sends nothing more; what it has sent may lie in the log unread
            self._take(Release(**WHO, id=name))
        elif what == "store":
            self.stored = min(len(self.log), self.stored + number)
        elif what == "refresh":
            self._take(self._balance())
        elif what == "refresh late":
            if self.late is not None:
                self._take(self.late)
            self.late = self._balance()

    def _balance(self) -> BalanceRead:
        for name in self.holdings.ended(self.at_ms):
            self.ended.setdefault(name, (len(self.log),))
        below = self.log[: self.stored]
        settled = tuple(name for name, _ in below if name in self.holdings.held)
        vector = (self.stored,)
        return balance(
            sum(amount for _, amount in below), vector, limit=self.LIMIT, settled=settled,
            gone=returned(self.holdings, vector, self.ended, settled),
        )  # fmt: skip

    def _take(self, record: BalanceRead | Reserve | Release) -> bool:
        self.records.append((record, self.at_ms))
        verdict = self.holdings.take(record, self.at_ms)
        return verdict is not None and verdict.granted
