"""Consumers under comparison, each in a process of its own: `python -m agents.bench.consumers getmany 100000`.

Each reads a backlog of usage.events to its end and prints the CPU seconds that it took since reading began.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.delivery import TallyApp
from agents.record_batch import RecordBatch
from agents.settings import Settings
from agents.topics import USAGE_EVENTS


class Count:
    """Counts records, and the CPU time since reading began."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._seen = wanted, 0
        self.ended = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """Reading begins now."""
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def add(self, records: int) -> None:
        """So many more were read; prints the result once all were."""
        self._seen += records
        if self._seen >= self._wanted and not self.ended.is_set():
            spent = {"cpu_s": time.process_time() - self._cpu, "wall_s": time.monotonic() - self._wall}
            print(json.dumps({"events": self._seen, **spent}), flush=True)
            self.ended.set()


async def getmany(settings: Settings, count: Count) -> None:
    """The client alone: aiokafka's own loop, records thrown away."""
    topic = settings.topic_prefix + USAGE_EVENTS
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, isolation_level="read_committed",
        fetch_min_bytes=64 * 1024, fetch_max_wait_ms=100, max_partition_fetch_bytes=4 * 1024 * 1024,
    )  # fmt: skip
    await consumer.start()
    try:
        parts = [TopicPartition(topic, partition) for partition in range(settings.usage_partitions)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        count.begin()
        while not count.ended.is_set():
            found = await consumer.getmany(timeout_ms=500, max_records=10_000)
            if found:
                count.add(sum(map(len, found.values())))
    finally:
        await consumer.stop()


async def transport(settings: Settings, count: Count) -> None:
    """Our batch transport inside Faust, with a delivery that stores nothing."""
    app = TallyApp("bench-transport", settings)

    async def resume(partitions: Sequence[int]) -> Mapping[int, int]:
        count.begin()
        return dict.fromkeys(partitions, 0)

    async def process(batches: Sequence[RecordBatch]) -> None:
        count.add(sum(map(len, batches)))

    app.deliver(USAGE_EVENTS, process=process, resume=resume)
    await app.start()
    await count.ended.wait()
    await app.stop()


async def stock(settings: Settings, count: Count) -> None:
    """A Faust agent as its manual shows it: one event per message."""
    app = faust.App(
        f"{settings.topic_prefix}stock", broker=f"kafka://{settings.kafka}", store="memory://", web_enabled=False,
        topic_allow_declare=False, topic_disable_leader=True, consumer_auto_offset_reset="earliest",
        reply_create_topic=False, worker_redirect_stdouts=False,
    )  # fmt: skip
    source = app.topic(settings.topic_prefix + USAGE_EVENTS, value_type=bytes, value_serializer="raw")

    async def counting(stream: faust.StreamT[bytes]) -> None:
        async for _ in stream:
            count.add(1)

    app.agent(source)(counting)
    await app.start()
    count.begin()
    await count.ended.wait()
    await app.stop()


KINDS: Mapping[str, Callable[[Settings, Count], Awaitable[None]]] = {
    "getmany": getmany,
    "transport": transport,
    "stock": stock,
}


async def _run(kind: str, events: int) -> None:
    gc.set_threshold(100_000, 50, 100)
    await KINDS[kind](Settings(), Count(events))


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2])))
