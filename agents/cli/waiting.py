"""Asking again and again until something is so, with a limit and a message for when it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from agents.cli.failures import TimedOut
from agents.cli.screen import Wait

POLL_S = 0.1
LOOK: str = "see `tally status`"


async def until(done: Callable[[], Awaitable[bool]], wait: Wait, *, within_s: float, otherwise: str = LOOK) -> None:
    """Returns once `done` answers yes; it tells `wait` how far things are. Raises TimedOut, ending in `otherwise`."""
    deadline = time.monotonic() + within_s
    while not await done():
        if time.monotonic() > deadline:
            raise TimedOut(f"{wait.what}: {wait.done:,} of {wait.total or 0:,} after {within_s:g} s; {otherwise}")
        await asyncio.sleep(POLL_S)
