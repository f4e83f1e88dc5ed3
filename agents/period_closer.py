"""The period closer: usage of a run's periods is frozen as of its tick's vector, once the ledger covers it.

Nothing waits in a body: what is not covered yet stays an open run, and is looked at again a moment later. Closing twice
writes the same rows under the same ids and publishes the same bytes. Source: design.md §6.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.freezing import Days, freeze, usage_of
from agents.gate import touched_customers
from agents.late_usage import looking_back
from agents.logs import Logs
from agents.store.billing import BillingStore
from agents.store.reconciliation import ReconciliationStore
from agents.topics import CATALOGUE, COMMANDS, PERIODS
from pipeline.closing.period_close import all_wanted
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.customer_state import BillingRun
from schemas.period import Period
from schemas.tick import Tick

log = logging.getLogger(__name__)

TOGETHER_S = 30.0
"""How long runs of a tick wait for those of the other partitions held here: gate and usage are read once for all."""


class PeriodCloser:
    """Closes the open runs of the partitions of billing.commands that this worker holds."""

    def __init__(
        self,
        logs: Logs,
        store: BillingStore,
        reconciliation: ReconciliationStore,
        catalogue: CatalogueLog,
        crash: CrashPoint,
    ) -> None:
        self._crash = crash
        self._logs, self._store, self._reconciliation, self._catalogue = logs, store, reconciliation, catalogue
        self.waiting_for = ""
        self._since: dict[int, float] = {}

    async def look(self, partitions: Sequence[int]) -> int:
        """Closes every run whose vector is covered, in order of ticks; how many that were."""
        closed = 0
        clocks = await asyncio.to_thread(self._store.clocks)  # before the runs: what they had folded by then is there
        runs = await asyncio.to_thread(self._store.open_runs, partitions)
        self.waiting_for = ""
        for (tick, revision), group in groupby(runs, key=lambda run: (run.tick, run.revision)):
            self.waiting_for = await asyncio.to_thread(self._store.missing, tick)
            behind = [partition for partition in partitions if clocks.get(partition, 0) < tick.number]
            self.waiting_for = self.waiting_for or self._being_folded(tick, behind)
            if self.waiting_for:
                break
            closed += await self._close(tick, revision, tuple(group))
        return closed

    def _being_folded(self, tick: Tick, behind: Sequence[int]) -> str:
        """What of a tick will be due in a moment, in words; empty if nothing, or if it was waited for long enough."""
        since = self._since.setdefault(tick.number, time.monotonic())
        if behind and time.monotonic() - since < TOGETHER_S:
            return f"{COMMANDS}/{behind[0]} is about to fold tick {tick.number}"
        self._since = {number: at for number, at in self._since.items() if number > tick.number}
        return ""

    async def _close(self, tick: Tick, revision: int, runs: Sequence[BillingRun]) -> int:
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        runs = await asyncio.to_thread(looking_back, self._store.late_usage, tick, runs, catalogue)
        days = await asyncio.to_thread(self._store.days.usable, tick)
        passed = await asyncio.to_thread(self._gate, tick, runs, catalogue, days)
        with self._crash.around(Step.LATE):
            await asyncio.to_thread(self._store.late_usage.insert, passed)
        usage = await asyncio.to_thread(usage_of, self._store, tick, revision, passed, catalogue, days=days)
        frozen = [freeze(run, catalogue, usage) for run in passed]
        with self._crash.around(Step.FREEZE):
            await asyncio.to_thread(self._store.insert_period_usage, [row for close in frozen for row in close.rows])
        sent = []
        for close in frozen:
            key = close.closed.customer.encode()
            with self._crash.around(Step.CLOSE):
                sent.append(await self._logs.send(PERIODS, key, close.closed.model_dump_json().encode()))
        await self._logs.all_stored(sent)
        with self._crash.around(Step.CLOSED):
            await asyncio.to_thread(self._store.insert_closes, [close.closed for close in frozen])
        log.info("tick %s: closed %s of %s runs", tick.number, len(frozen), len(runs))
        return len(frozen)

    def _gate(self, tick: Tick, runs: Sequence[BillingRun], catalogue: Catalogue, days: Days) -> list[BillingRun]:
        """The runs that pass; what `tally reconcile` would find of them parks the customers that it touches."""
        touched = touched_customers(self._reconciliation, tick, gated(runs, catalogue), days)
        passed = []
        for run in runs:
            faults = [touched[key] for due in run.periods if (key := (run.customer, due.service)) in touched]
            if faults:
                log.error("%s is parked at tick %s: %s", run.customer, tick.number, faults[0].detail)
                self._store.park(run, faults[0].reason, faults[0].detail)
            else:
                passed.append(run)
        return passed


def gated(runs: Sequence[BillingRun], catalogue: Catalogue) -> Iterator[tuple[MeterEntry, Period]]:
    """Each meter version and served span that the runs need, once."""
    seen: set[tuple[str, str, Period]] = set()
    for wanted in all_wanted([due for run in runs for due in run.periods], catalogue):
        entry, span = wanted.entry, wanted.frame.span
        if (entry.name, entry.version, span) not in seen:
            seen.add((entry.name, entry.version, span))
            yield entry, span


def attach(app: TallyApp, closer: PeriodCloser) -> None:
    """Looks for closable runs; again and again while one waits for the ledger."""
    commands = app.deliveries[app.settings.topic_prefix + COMMANDS]

    async def look() -> bool:
        await closer.look(commands.partitions)
        return bool(closer.waiting_for)

    app.look("period closer", look)
