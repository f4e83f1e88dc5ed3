"""The consumer's promises: commits before partitions go, waits that end, and no guess at what a client has inside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agents import transport
from agents.transport import BatchConsumer, BatchConsumerThread, Transport
from tests.agents.fetches import TP, fetch, record_batch, state


class App:
    """What a consumer asks of its app."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def close_deliveries(self) -> None:
        self.said.append("closed")


class Consumer(BatchConsumer):
    """Without a broker; notes what it was asked for."""

    def __init__(self, hangs: bool = False) -> None:
        self.app, self._hangs = App(), hangs

    async def commit(self, *_: Any, **__: Any) -> bool:
        self.app.said.append("committed")
        if self._hangs:
            await asyncio.sleep(60)
        return True


async def test_what_is_being_stored_ends_and_is_committed_before_partitions_go() -> None:
    consumer = Consumer()
    await consumer.wait_empty()
    assert consumer.app.said == ["closed", "committed"]


async def test_a_broker_that_does_not_answer_holds_up_no_rebalance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "COMMIT_WITHIN_S", 0.02)
    consumer = Consumer(hangs=True)
    async with asyncio.timeout(1):
        await consumer.wait_empty()
    assert consumer.app.said == ["closed", "committed"]


def test_a_client_without_the_parts_that_positions_need_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "has_parts", lambda needed: False)
    with pytest.raises(RuntimeError, match=r"requirements\.lock"):
        Transport("kafka://localhost", None)


class Thread(BatchConsumerThread):
    """Only its way of taking what a fetcher holds."""

    def __init__(self, consumer: Any) -> None:
        self.consumer, self._told = consumer, {}


class Fetcher:
    """Of aiokafka's fetcher, what is taken from."""

    _wait_consume_future = None

    def __init__(self, held: Any) -> None:
        self._records, self._subscriptions = {TP: held}, state()
        self.notified = 0

    def _notify(self, _: object) -> None:
        self.notified += 1


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slower"])
def test_a_client_that_the_fast_drain_does_not_know_gives_the_same_batches(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FAST", fast)
    consumer = Consumer()
    thread, fetcher = (
        Thread(consumer),
        Fetcher(fetch(10, record_batch(10, [b"a", b"b"]), record_batch(12, [b"c"]))),
    )
    taken = thread._take(fetcher, {TP})
    (found,) = taken.values()
    assert values(found.batches) == [b"a", b"b", b"c"]
    assert (fetcher._records, fetcher.notified) == ({}, 1)


def test_what_precedes_a_batch_that_cannot_be_read_is_taken_and_the_batch_is_asked_for_again() -> None:
    thread = Thread(Consumer())
    bad = record_batch(12, [b"c"], corrupt=True)
    fetcher = Fetcher(fetch(10, record_batch(10, [b"a", b"b"]), bad))
    (found,) = thread._take(fetcher, {TP}).values()
    assert values(found.batches) == [b"a", b"b"]
    fetcher = Fetcher(fetch(12, bad))
    assert thread._take(fetcher, {TP}) == {}
    assert fetcher.notified == 1


def values(batches: Sequence[Any]) -> list[bytes]:
    return [value for batch in batches for value in batch.values]
