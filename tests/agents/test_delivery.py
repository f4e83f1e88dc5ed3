"""Deliveries: in order, once stored, nothing skipped, whatever the store or the log does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import faust
import pytest

from agents.crash_points import CrashPoint
from agents.delivery import Delivery, TallyApp
from agents.record_batch import RecordBatch, empty_batch
from agents.settings import Settings
from agents.store.connection import StoreRefused, StoreUnavailable

TOPIC = "usage.events"


def batch(first: int, count: int, partition: int = 0) -> RecordBatch:
    offsets = range(first, first + count)
    return RecordBatch(
        TOPIC, partition, first, first + count, offsets, [0] * count, [None] * count, [()] * count, [b"x"] * count
    )


class App:
    """What a delivery asks of its app."""

    beacon = None

    def __init__(self, **settings: int) -> None:
        self.settings = Settings(**settings)
        self.failures: list[BaseException] = []
        self.lost: list[tuple[int, int]] = []

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def lost_place(self, delivery: Delivery, found: RecordBatch, expected: int) -> None:
        self.lost.append((expected, found.first_offset))


class Store:
    """Notes what it was given; fails as told."""

    def __init__(self) -> None:
        self.stored: list[list[tuple[int, int, int]]] = []
        self.errors: list[Exception] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def process(self, batches: Sequence[RecordBatch]) -> None:
        await self.may_go_on.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.stored.append([(each.partition, each.first_offset, each.next_offset) for each in batches])

    def covered(self) -> list[tuple[int, int, int]]:
        return [span for spans in self.stored for span in spans]


@asynccontextmanager
async def delivering(store: Store, app: App, **sizes: Any) -> AsyncIterator[Delivery]:
    async def resume(partitions: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(partitions, 0)

    limits = {"flush_rows": 10, "linger_s": 0.01, "pending_rows": 20} | sizes
    delivery = Delivery(app, TOPIC, process=store.process, resume=resume, **limits)  # type: ignore[arg-type]
    await delivery.start()
    try:
        delivery.open({0: 0, 1: 0}, 1)
        yield delivery
    finally:
        store.may_go_on.set()
        await delivery.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_batches_of_all_partitions_are_stored_together_in_order() -> None:
    store = Store()
    async with delivering(store, App(), linger_s=0.05) as delivery:
        for each in (batch(0, 2), batch(0, 3, partition=1), batch(2, 1)):
            await delivery.put(each, 1)
        await until(lambda: delivery.stored() == {0: 3, 1: 3})
    assert store.stored == [[(0, 0, 2), (1, 0, 3), (0, 2, 3)]]


async def test_enough_rows_do_not_wait_for_company() -> None:
    store = Store()
    async with delivering(store, App(), linger_s=60.0, flush_rows=4) as delivery:
        await delivery.put(batch(0, 5), 1)
        await until(lambda: delivery.stored()[0] == 5)


async def test_a_flush_takes_no_more_than_it_should_and_the_rest_follows() -> None:
    store = Store()
    store.may_go_on.clear()
    async with delivering(store, App(), flush_rows=10, pending_rows=100) as delivery:
        for first in range(0, 60, 6):
            await delivery.put(batch(first, 6), 1)
        store.may_go_on.set()
        await until(lambda: delivery.stored()[0] == 60)
    assert all(len(spans) <= 2 for spans in store.stored)
    assert [span[1] for span in store.covered()] == list(range(0, 60, 6))


async def test_offsets_without_records_move_on_what_is_stored() -> None:
    store = Store()
    async with delivering(store, App()) as delivery:
        await delivery.put(batch(0, 2), 1)
        await delivery.put(empty_batch(TOPIC, 0, 2, 3), 1)
        await until(lambda: delivery.stored()[0] == 3)


async def test_a_hole_is_never_stored_and_the_ledger_is_asked_again() -> None:
    store, app = Store(), App()
    async with delivering(store, app) as delivery:
        await delivery.put(batch(0, 2), 1)
        await delivery.put(batch(5, 2), 1)
        await delivery.put(batch(7, 2), 1)  # of the same poll: dropped without asking once more
        await asyncio.sleep(0.05)
    assert app.lost == [(2, 5)]
    assert store.covered() in ([], [(0, 0, 2)])


async def test_a_log_that_went_back_is_not_taken_for_a_repetition() -> None:
    store, app = Store(), App()
    async with delivering(store, app) as delivery:
        delivery.open({0: 100}, 2)
        await delivery.put(batch(0, 50), 2)
    assert app.lost == [(100, 0)]


async def test_what_was_fetched_under_another_placement_is_dropped() -> None:
    store, app = Store(), App()
    async with delivering(store, app) as delivery:
        delivery.open({0: 10}, 2)
        await delivery.put(batch(0, 10), 1)
        await delivery.put(batch(10, 5), 2)
        await until(lambda: delivery.stored()[0] == 15)
    assert store.covered() == [(0, 10, 15)]
    assert app.lost == []


async def test_partitions_that_the_ledger_left_out_are_not_taken() -> None:
    store = Store()
    async with delivering(store, App()) as delivery:
        await delivery.put(batch(0, 5, partition=7), 1)
        await asyncio.sleep(0.05)
    assert store.stored == []


async def test_a_reader_waits_while_too_much_is_pending() -> None:
    store = Store()
    store.may_go_on.clear()
    async with delivering(store, App(), pending_rows=10) as delivery:
        await delivery.put(batch(0, 10), 1)
        waiting = asyncio.ensure_future(delivery.put(batch(10, 1), 1))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        store.may_go_on.set()
        await until(lambda: delivery.stored()[0] == 11)
        await waiting


async def test_batches_are_prepared_while_those_before_them_are_stored_one_after_the_other() -> None:
    store, made = Store(), []
    store.may_go_on.clear()

    async def prepare(batches: Sequence[RecordBatch]) -> Sequence[RecordBatch]:
        made.append(batches[0].first_offset)
        return batches

    async with delivering(store, App(), flush_rows=2, prepare=prepare) as delivery:
        for first in (0, 2, 4):
            await delivery.put(batch(first, 2), 1)
        await until(lambda: made == [0, 2])
        await asyncio.sleep(0.05)
        assert made == [0, 2], "one is ready, and the next waits: what is held is bounded"
        assert store.stored == []
        store.may_go_on.set()
        await until(lambda: delivery.stored()[0] == 6)
    assert store.covered() == [(0, 0, 2), (0, 2, 4), (0, 4, 6)]


async def test_what_was_prepared_when_the_delivery_closes_is_dropped_and_comes_again() -> None:
    store, made = Store(), []
    store.may_go_on.clear()

    async def prepare(batches: Sequence[RecordBatch]) -> Sequence[RecordBatch]:
        made.append(batches[0].first_offset)
        return batches

    async with delivering(store, App(), flush_rows=2, prepare=prepare) as delivery:
        await delivery.put(batch(0, 2), 1)
        await delivery.put(batch(2, 2), 1)
        await until(lambda: made == [0, 2])
        closing = asyncio.ensure_future(delivery.close(5))
        store.may_go_on.set()
        await closing
        delivery.open({0: 2}, 2)
        await delivery.put(batch(2, 2), 2)
        await until(lambda: delivery.stored()[0] == 4)
        assert delivery._rows == 0
    assert made == [0, 2, 2]
    assert store.covered() == [(0, 0, 2), (0, 2, 4)]


async def test_after_a_failure_nothing_that_was_prepared_is_stored() -> None:
    store, app = Store(), App()
    store.errors = [StoreRefused("wrong rows")]
    async with delivering(store, app, flush_rows=2) as delivery:
        await delivery.put(batch(0, 2), 1)
        await delivery.put(batch(2, 2), 1)
        await until(lambda: bool(app.failures))
        await asyncio.sleep(0.05)
        assert delivery.stored() == {0: 0, 1: 0}
    assert store.stored == []


async def test_a_store_that_is_away_is_asked_again_until_it_answers() -> None:
    store, app = Store(), App()
    store.errors = [StoreUnavailable("away"), StoreUnavailable("still away")]
    async with delivering(store, app) as delivery:
        await delivery.put(batch(0, 2), 1)
        await until(lambda: delivery.stored()[0] == 2)
    assert store.covered() == [(0, 0, 2)]
    assert app.failures == []


@pytest.mark.parametrize(
    ("error", "settings"),
    [(StoreUnavailable("away"), {"store_retry_s": 0}), (StoreRefused("wrong rows"), {}), (KeyError("a bug"), {})],
    ids=["away for too long", "refused", "our mistake"],
)
async def test_what_cannot_be_stored_ends_the_worker_with_nothing_counted_as_stored(
    error: Exception, settings: dict[str, int]
) -> None:
    store, app = Store(), App(**settings)
    store.errors = [error]
    async with delivering(store, app) as delivery:
        await delivery.put(batch(0, 2), 1)
        await until(lambda: app.failures == [error])
        assert delivery.stored() == {0: 0, 1: 0}


async def test_closing_ends_what_is_being_stored_and_drops_what_waits() -> None:
    store = Store()
    store.may_go_on.clear()
    async with delivering(store, App(), flush_rows=2, pending_rows=100) as delivery:
        await delivery.put(batch(0, 2), 1)
        await until(lambda: not delivery._idle.is_set())
        await delivery.put(batch(2, 2), 1)
        closing = asyncio.ensure_future(delivery.close(5))
        await asyncio.sleep(0.02)
        assert not closing.done()
        store.may_go_on.set()
        await closing
        await until(lambda: delivery.stored()[0] == 2)
        await delivery.put(batch(2, 2), 1)
        delivery.open({0: 2}, 2)
        await delivery.put(batch(2, 2), 2)
        await until(lambda: delivery.stored()[0] == 4)
    assert store.covered() == [(0, 0, 2), (0, 2, 4)]


async def test_closing_does_not_wait_for_a_store_that_is_away() -> None:
    store = Store()
    store.errors = [StoreUnavailable("away")] * 50
    async with delivering(store, App()) as delivery:
        await delivery.put(batch(0, 2), 1)
        await until(lambda: len(store.errors) < 50)
        async with asyncio.timeout(1):
            await delivery.close(20)
        assert delivery.stored()[0] == 0


async def test_closing_is_bounded_when_an_insert_hangs() -> None:
    store = Store()
    store.may_go_on.clear()
    async with delivering(store, App()) as delivery:
        await delivery.put(batch(0, 2), 1)
        await until(lambda: not delivery._idle.is_set())
        async with asyncio.timeout(1):
            await delivery.close(0.05)


def test_an_app_keeps_the_way_in_which_services_of_faust_fail() -> None:
    # `crash` is what a service calls with what ended it: an attribute of that name would hide the reason.
    assert TallyApp.crash is faust.App.crash
    assert not isinstance(TallyApp("ingest", Settings()).crash, CrashPoint)
