"""The period closer: usage of a run's periods is frozen as of its tick's vector, once the ledger covers it.

Nothing waits in a body: what is not covered yet stays an open run, and is looked at again a moment later. Closing twice
writes the same rows under the same ids and publishes the same bytes. Source: design.md §6.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.gate import touched_customers
from agents.late_usage import looking_back
from agents.logs import Logs
from agents.store.billing import BillingStore
from agents.store.metered_usage import Question, UsageRow
from agents.store.reconciliation import ReconciliationStore
from agents.topics import CATALOGUE, COMMANDS, PERIODS
from pipeline.period_close import Wanted, all_wanted, wanted_of
from pipeline.usage_needed import GROUPS
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.customer_state import BillingRun, PeriodClosed
from schemas.identity import derived_id
from schemas.meter import GROUPS_ALERT, GROUPS_MAX
from schemas.period import Period
from schemas.tick import Tick

log = logging.getLogger(__name__)

FINGERPRINT_MODULUS = 1 << 128

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

FrozenUsage = Mapping[object, Mapping[str, Sequence[UsageRow]]]
"""What is wanted (`Wanted.key`) -> customer -> rows."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The rows of `period_usage` of one close, and the record that announces it."""

    closed: PeriodClosed
    rows: tuple[tuple[object, ...], ...]


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

    async def look(self, partitions: Sequence[int]) -> int:
        """Closes every run whose vector is covered, in order of ticks; how many that were."""
        closed = 0
        runs = await asyncio.to_thread(self._store.open_runs, partitions)
        for (tick, revision), group in groupby(runs, key=lambda run: (run.tick, run.revision)):
            self.waiting_for = await asyncio.to_thread(self._store.missing, tick)
            if self.waiting_for:
                break
            closed += await self._close(tick, revision, tuple(group))
        return closed

    async def _close(self, tick: Tick, revision: int, runs: Sequence[BillingRun]) -> int:
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        runs = await asyncio.to_thread(looking_back, self._store.late_usage, tick, runs, catalogue)
        passed = await asyncio.to_thread(self._gate, tick, runs, catalogue)
        with self._crash.around(Step.LATE):
            await asyncio.to_thread(self._store.late_usage.insert, passed)
        usage = await asyncio.to_thread(usage_of, self._store, tick, revision, passed, catalogue)
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

    def _gate(self, tick: Tick, runs: Sequence[BillingRun], catalogue: Catalogue) -> list[BillingRun]:
        """The runs that pass; what `tally reconcile` would find of them parks the customers that it touches."""
        touched = touched_customers(self._reconciliation, tick, gated(runs, catalogue))
        passed = []
        for run in runs:
            faults = [touched[key] for due in run.periods if (key := (run.customer, due.service)) in touched]
            if faults:
                log.error("%s is parked at tick %s: %s", run.customer, tick.number, faults[0].detail)
                self._store.park(run, faults[0].reason, faults[0].detail)
            else:
                passed.append(run)
        return passed


def usage_of(
    store: BillingStore, tick: Tick, revision: int, runs: Sequence[BillingRun], catalogue: Catalogue
) -> FrozenUsage:
    """What the runs want -> customer -> rows, as of the tick's vector; one query per meter, frame and shape."""
    found: dict[object, dict[str, list[UsageRow]]] = {}
    for wanted in all_wanted([due for run in runs for due in run.periods], catalogue):
        asked = Question(tick, revision, wanted.meter, wanted.frame, wanted.zone, wanted.entry.version)
        rows = store.run_transactions(asked) if wanted.shape.transactions else store.run_usage(asked)
        by_customer: dict[str, list[UsageRow]] = {}
        for row in rows:
            by_customer.setdefault(row.customer, []).append(row)
        found[wanted.key] = by_customer
        _warn_of_groups(wanted, by_customer)
    return found


def _warn_of_groups(wanted: Wanted, usage: Mapping[str, Sequence[UsageRow]]) -> None:
    """Who comes near the limit of groups, while there is time to mend a meter or its events."""
    for customer, rows in usage.items() if wanted.shape == GROUPS else ():
        if len(rows) >= GROUPS_ALERT:
            log.warning("%s: %s has %s groups of %s", wanted.entry.name, customer, len(rows), GROUPS_MAX)


def gated(runs: Sequence[BillingRun], catalogue: Catalogue) -> Iterator[tuple[MeterEntry, Period]]:
    """Each meter version and served span that the runs need, once."""
    seen: set[tuple[str, str, Period]] = set()
    for wanted in all_wanted([due for run in runs for due in run.periods], catalogue):
        entry, span = wanted.entry, wanted.frame.span
        if (entry.name, entry.version, span) not in seen:
            seen.add((entry.name, entry.version, span))
            yield entry, span


def freeze(run: BillingRun, catalogue: Catalogue, usage: FrozenUsage) -> Frozen:
    """What a run's close consists of; a function of the run and of the usage as of its vector.

    Events and fingerprint are counted from the rows by group, which every meter has: other shapes hold the same events.
    """
    close_id = str(derived_id("close", run.customer, run.tick.number, run.revision))
    rows: list[tuple[object, ...]] = []
    events = fingerprint = 0
    for due in run.periods:
        for wanted in wanted_of(due, catalogue):
            for row in usage[wanted.key].get(run.customer, ()):
                rows.append((close_id, run.customer, due.subscription, *_frozen_row(wanted, row)))
                if wanted.shape == GROUPS:
                    events += row.events
                    fingerprint = (fingerprint + row.fingerprint) % FINGERPRINT_MODULUS
    closed = PeriodClosed(
        close_id=close_id,
        customer=run.customer,
        revision=run.revision,
        tick=run.tick,
        follows=run.follows,
        periods=run.periods,
        disregarded=run.disregarded,
        one_offs=run.one_offs,
        record=run.record,
        grants=run.grants,
        discounts=run.discounts,
        usage_rows=len(rows),
        events=events,
        fingerprint=f"{events}-{fingerprint:032x}",
    )
    return Frozen(closed, tuple(rows))


def _frozen_row(wanted: Wanted, row: UsageRow) -> tuple[object, ...]:
    """The columns of `period_usage` from the meter on."""
    group = json.dumps(list(row.group), ensure_ascii=False, separators=(",", ":"))
    at, offset, partition = row.first
    window = (row.window.start, row.window.end) if row.window else (EPOCH, EPOCH)
    return (
        wanted.entry.name, wanted.entry.version, wanted.frame.span.start, wanted.frame.span.end, group, row.events,
        row.invalid, row.value, row.fingerprint, wanted.shape.name, *window, EPOCH + at * MILLISECOND, offset,
        partition,
    )  # fmt: skip


def attach(app: TallyApp, closer: PeriodCloser) -> None:
    """Looks for closable runs a few times a second."""
    commands = app.deliveries[app.settings.topic_prefix + COMMANDS]
    app.repeat("period closer", 0.25, lambda: closer.look(commands.partitions))
