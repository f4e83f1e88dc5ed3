"""When actors look: once something was written to the tables that they read, and not before.

An idle deployment would otherwise ask the same questions some dozens of times a second. Of which parts tables consist
is one cheap question for all actors of a process: parts come and go with inserts and merges alone. What is asked before
a look begins cannot miss what is written while it looks. Tables that ingestion writes all the time are left out: who
waits for them says so, and looks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from agents.store.connection import Connection

FRESH_S = 0.25
"""How old an answer may be, while nothing was stored by this process."""
UNASKED_S = 15.0
"""An actor looks this often whatever was written: a net, should it ever depend on something else."""
BUSY = (
    "events", "ledger", "pane_totals", "seals", "open_tails", "touched_days", "day_totals", "day_seals",
    "metering_costs", "dead_letters", "settlements",
)  # fmt: skip
PARTS = (
    "SELECT table, groupBitXor(sipHash64(name)) FROM system.parts "
    "WHERE database = currentDatabase() AND active AND table NOT IN {busy:Array(String)} GROUP BY table"
)

Marks = Mapping[str, int]


class Pulse:
    """Marks of the tables, asked for at most a few times a second however many actors ask."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._marks: Marks = {}
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def marks(self) -> Marks:
        """Table -> a mark that changes whenever something is written to it."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._until = time.monotonic() + FRESH_S
                self._marks = dict(await asyncio.to_thread(self._db.tuples, PARTS, {"busy": list(BUSY)}))
        return self._marks

    async def close(self) -> None:
        """Closes the connection."""
        await asyncio.to_thread(self._db.close)

    def stored(self) -> None:
        """This process stored something: the next answer is asked for."""
        self._until = 0.0


class Looks:
    """One actor's looks. `look` says whether it waits for more than the tables it reads."""

    def __init__(self, pulse: Pulse, look: Callable[[], Awaitable[bool]], held: Callable[[], object]) -> None:
        self._pulse, self._look, self._held = pulse, look, held
        self._seen: object = None
        self._again_at = 0.0

    async def __call__(self) -> None:
        """Looks if there may be something to see."""
        seen = (await self._pulse.marks(), self._held())
        if time.monotonic() < self._again_at and self._seen in (None, seen):
            return
        self._seen, self._again_at = None, time.monotonic() + FRESH_S  # if it fails, it looks again then
        waits = await self._look()
        self._seen, self._again_at = seen, time.monotonic() + (FRESH_S if waits else UNASKED_S)
