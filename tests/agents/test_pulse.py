"""Actors look when something was written, when partitions come or go, and while they wait: not otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agents.pulse import FRESH_S, UNASKED_S, Looks, Pulse
from agents.store.connection import StoreUnavailable


class Tables:
    """What a pulse asks of the store."""

    def __init__(self) -> None:
        self.parts = {"ticks": 1}
        self.asked = 0

    def tuples(self, _: str, bound: Mapping[str, object]) -> list[tuple[str, int]]:
        assert "ledger" in bound["busy"]  # type: ignore[operator]
        self.asked += 1
        return list(self.parts.items())


class Actor:
    """Looks, and says whether it waits."""

    def __init__(self) -> None:
        self.looked, self.waits, self.fails = 0, False, False
        self.held: list[tuple[int, ...]] = [()]

    async def look(self) -> bool:
        self.looked += 1
        if self.fails:
            raise StoreUnavailable("away")
        return self.waits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, moved by the test."""
    now = [1000.0]
    monkeypatch.setattr("agents.pulse.time.monotonic", lambda: now[0])
    return now


async def test_an_actor_looks_once_until_something_is_written(clock: list[float]) -> None:
    tables, actor = Tables(), Actor()
    pulse = Pulse(tables)  # type: ignore[arg-type]
    looks = Looks(pulse, actor.look, lambda: actor.held)
    for _ in range(3):
        await looks()
    assert (actor.looked, tables.asked) == (1, 1), "one question within a moment"
    clock[0] += FRESH_S
    await looks()
    assert (actor.looked, tables.asked) == (1, 2), "asked again, and nothing was written"
    tables.parts["ticks"] = 2
    await looks()
    assert actor.looked == 1
    pulse.stored()
    await looks()
    assert actor.looked == 2, "what this process stored is seen at once"
    actor.held = [(0,)]
    await looks()
    assert actor.looked == 3, "a partition came"
    clock[0] += UNASKED_S
    await looks()
    assert actor.looked == 4


async def test_an_actor_that_waits_or_failed_looks_again(clock: list[float]) -> None:
    actor = Actor()
    looks = Looks(Pulse(Tables()), actor.look, lambda: actor.held)  # type: ignore[arg-type]
    actor.waits = True
    await looks()
    await looks()
    assert actor.looked == 1
    clock[0] += FRESH_S
    actor.fails = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await looks()
        await looks()
        clock[0] += FRESH_S
    assert actor.looked == 3, "a store that is away is not asked all the time"
    actor.fails = actor.waits = False
    await looks()
    await looks()
    assert actor.looked == 4
