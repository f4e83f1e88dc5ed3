"""Where the crash stories kill a worker: before or after each write of each cycle, by SIGKILL.

`TALLY_CRASH_AT=step:before|after:n` names the place and the passage on which it dies there, from 1; with several, by
commas, it dies at whichever comes first and says which. Without it nothing happens.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from agents.telemetry import STEP_SECONDS


class Step(StrEnum):
    """Every write that a worker does, cycle by cycle and in order."""

    EVENTS = "events"
    CORRECTIONS = "corrections"
    DEAD_LETTERS = "dead_letters"
    LEDGER = "ledger"
    COMMIT = "commit"

    RETRACT = "retract"
    LOOK_UP = "look_up"
    SLICE = "slice"
    AUDIT = "audit"

    TICKS = "ticks"
    COPIES = "copies"

    OUTCOMES = "outcomes"
    TOLD = "told"
    RUNS = "runs"
    STATES = "states"
    CLOCK = "clock"
    ANSWERS = "answers"

    LATE = "late"
    FREEZE = "freeze"
    CLOSE = "close"
    CLOSED = "closed"

    RATE = "rate"
    RATED = "rated"

    FINALISE = "finalise"
    FINALISED = "finalised"

    NUMBER = "number"

    PUBLISH = "publish"
    DECIDED = "decided"
    BOOKED = "booked"
    FINAL = "final"

    DUN = "dun"
    REQUEST = "request"
    NOTIFY = "notify"
    CARRY = "carry"

    THRESHOLD = "threshold"

    DRAFT = "draft"
    DRAFTED = "drafted"


INGESTION = (Step.EVENTS, Step.CORRECTIONS, Step.DEAD_LETTERS, Step.LEDGER, Step.COMMIT)
AUDITING = (Step.RETRACT, Step.LOOK_UP, Step.SLICE, Step.AUDIT)
"""By ingest workers, before anything closes."""
BILLING = tuple(step for step in Step if step not in (*INGESTION, *AUDITING))
OF_COLLECTION = (Step.DECIDED, Step.DUN, Step.CARRY, Step.THRESHOLD, Step.DRAFT, Step.DRAFTED)
"""Of billing, what only payments, overdue invoices, thresholds and hours of grace lead to: a plain month does none."""


SAYS = "killed at "
"""What a worker writes to its standard error before it dies at a place; the place follows."""


class CrashPoint:
    """Kills this process at one of some named places; at most once, as there is no twice."""

    def __init__(self, places: str = "") -> None:
        self._left: dict[tuple[str, str], int] = {}
        for place in places.split(",") if places else ():
            step, when, count = place.split(":")
            self._left[step, when] = int(count)

    @contextmanager
    def around(self, step: Step) -> Iterator[None]:
        """Dies on the way in or on the way out, if that is a place; else the write is timed."""
        self._at(step, "before")
        began = time.perf_counter()
        yield
        STEP_SECONDS.labels(step.value).observe(time.perf_counter() - began)
        self._at(step, "after")

    def _at(self, step: Step, when: str) -> None:
        if (step, when) in self._left:
            self._left[step, when] -= 1
            if self._left[step, when] == 0:
                os.write(2, f"{SAYS}{step}:{when}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)
