"""Billing time: which records of billing.ticks count. A fold over the log, without a clock of its own.

Source: design.md §2.4. The first tick fixes whether the clock is `wall` or `test`; numbers ascend by one and the first
record of a number wins; time never goes back; on a wall clock a tick may not be ahead of the broker's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.tick import Tick


@dataclass(frozen=True, slots=True)
class ClockRefusal:
    """A record of billing.ticks that does not count, and why."""

    reason: str


def advance(last: Tick | None, tick: Tick, appended_at: datetime) -> Tick | ClockRefusal:
    """The tick if it moves billing time on from `last`, else why it does not.

    `appended_at` is the broker's time of the record; it bounds a wall clock and says nothing about a test clock.
    """
    if last is None:
        if tick.number != 1:
            return ClockRefusal(f"the first tick has number 1, not {tick.number}")
    elif tick.number <= last.number:
        return ClockRefusal(f"tick {tick.number} is there already: the first record of a number wins")
    elif tick.number != last.number + 1:
        return ClockRefusal(f"tick {tick.number} does not follow tick {last.number}")
    elif tick.clock != last.clock:
        return ClockRefusal(f"the clock is {last.clock}, fixed by the first tick")
    elif tick.time < last.time:
        return ClockRefusal(f"time goes back from {last.time.isoformat()} to {tick.time.isoformat()}")
    elif not tick.vector.covers(last.vector):
        return ClockRefusal("the vector goes back")
    if tick.clock == "wall" and tick.time > appended_at:
        return ClockRefusal(f"{tick.time.isoformat()} is ahead of the broker's time {appended_at.isoformat()}")
    return tick
