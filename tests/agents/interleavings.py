"""Workers of one partition, interleaved step by step: each write of each cycle is a turn, and anyone may die between.

The real ingester runs on the in-memory stand-in of the store, without threads and without time: a seed draws which
worker takes the next turn, who dies before or after a write, who is replaced and goes on all the same (a zombie), and
how the log is cut into batches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from agents.crash_points import CrashPoint
from agents.ingester import Ingester
from agents.record_batch import RecordBatch
from agents.store.memory import Memory, MemoryLedger, MemoryUsageStore
from agents.topics import USAGE_EVENTS

PARTITION = 0
LIVES = 4
"""So many workers are started at most while the log is stored; after them, one lives to the end."""


class Turn:
    """Where a worker may be interrupted."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def in_turns(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Instead of a thread: one turn before, one after."""
    await Turn()
    done = work(*arguments, **named)
    await Turn()
    return done


class LogsInMemory:
    """As much of `Logs` as a cycle asks for; there is one partition."""

    def __init__(self, log: RecordBatch) -> None:
        self._log = log

    async def bounds(self, topic: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """All of it can be read."""
        return (0,), (self._log.next_offset,)

    async def epochs(self) -> dict[int, Any]:
        """It was never another log."""
        return {}

    async def read(self, topic: str, partition: int, start: int, end: int) -> list[Any]:
        """None: that the log is the same is not what is tested here."""
        return []

    async def send(self, topic: str, key: object, value: object, **_: object) -> Any:
        """The copy of a refused record; the table is what counts."""
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent


class Life:
    """A worker: it resumes at the ledger and stores the log in batches of its own cutting."""

    def __init__(self, memory: Memory, log: RecordBatch, rnd: random.Random) -> None:
        self._log, self._rnd = log, rnd
        usage, ledger = MemoryUsageStore(memory), MemoryLedger(memory)
        self._ingester = Ingester(LogsInMemory(log), usage, ledger, CrashPoint())  # type: ignore[arg-type]
        self._ingester._wall_clock = False
        self._work: Coroutine[Any, Any, None] = self._live()

    async def _live(self) -> None:
        taken = (await self._ingester.resume([PARTITION]))[PARTITION]
        while taken < self._log.next_offset:
            batches = []
            for _ in range(self._rnd.randint(1, 3)):
                end = min(self._log.next_offset, taken + self._rnd.randint(1, 5))
                if end > taken:
                    batches.append(part(self._log, taken, end))
                taken = end
            self._rnd.shuffle(batches)  # the order of arrival within a cycle is not the order of the log
            await self._ingester.store(await self._ingester.prepare(batches))

    async def turn(self) -> bool:
        """Up to the next turn; False once the log is stored."""
        try:
            waits_for = self._work.send(None)
            while waits_for is not None:  # a future of the event loop
                while not waits_for.done():
                    await asyncio.sleep(0)
                waits_for = self._work.send(None)
        except StopIteration:
            return False
        return True

    def die(self) -> None:
        """At once, wherever it is."""
        self._work.close()


def part(log: RecordBatch, start: int, end: int) -> RecordBatch:
    """The records of `[start, end)`."""
    chosen = [index for index, offset in enumerate(log.offsets) if start <= offset < end]
    return RecordBatch(
        log.topic, log.partition, start, end,
        *([column[index] for index in chosen] for column in (log.offsets, log.timestamps, log.keys, log.headers,
                                                             log.values)),
    )  # fmt: skip


async def play(seed: int, log: RecordBatch) -> Memory:
    """One interleaving, to the end of the log."""
    rnd = random.Random(seed)
    memory = Memory()
    lives = [Life(memory, log, rnd)]
    for _ in range(rnd.randint(0, LIVES)):
        for _ in range(rnd.randint(0, 12)):
            life = rnd.choice(lives)
            if not await life.turn():
                lives.remove(life)
                lives.append(Life(memory, log, rnd))
        if rnd.random() < 0.7:
            lives.pop(rnd.randrange(len(lives))).die()
        lives.append(Life(memory, log, rnd))
    last = Life(memory, log, rnd)
    while await last.turn():
        # Zombies wake up at any time, also now.
        for life in rnd.sample(lives, k=rnd.randint(0, len(lives))):
            if not await life.turn():
                lives.remove(life)
    for life in lives:  # and after everything was stored
        if rnd.random() < 0.5:
            while await life.turn():
                pass
        life.die()
    return memory


def rows_below(log: RecordBatch, next_offset: int, kinds: Sequence[str]) -> tuple[int, int, int, int]:
    """Events, corrections, dead letters and offsets without a record below an offset, as the log was made."""
    below = [kind for offset, kind in zip(log.offsets, kinds, strict=True) if offset < next_offset]
    return (below.count("event"), below.count("correction"), below.count("broken"), next_offset - len(below))


TOPIC = USAGE_EVENTS
