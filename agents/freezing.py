"""Freezing: the usage of runs as of a tick's vector, as rows and as the record that announces them.

The closer stores and publishes them; a replay compares them; the watch of thresholds rates them. One computation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from agents.store.billing import PERIOD_USAGE_COLUMNS, BillingStore
from agents.store.frozen_usage import usage_by_meter
from agents.store.metered_usage import Question, UsageRow
from pipeline.closing.engines import engine_of
from pipeline.closing.period_close import Wanted, all_wanted, wanted_of
from pipeline.closing.run_lines import RunLines
from pipeline.meters.usage_needed import GROUPS
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import BillingRun, PeriodClosed
from schemas.identity import derived_id
from schemas.issued_line import IssuedLine
from schemas.meter import GROUPS_ALERT, GROUPS_MAX
from schemas.tick import Tick

log = logging.getLogger(__name__)

FINGERPRINT_MODULUS = 1 << 128

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

Days = Mapping[tuple[str, str], Mapping[date, int]]
"""Meter version -> day -> tick of the seal."""
NONE: Days = {}

FrozenUsage = Mapping[object, Mapping[str, Sequence[UsageRow]]]
"""What is wanted (`Wanted.key`) -> customer -> rows."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The rows of `period_usage` of one close, and the record that announces it."""

    closed: PeriodClosed
    rows: tuple[tuple[object, ...], ...]

    def named_rows(self) -> list[dict[str, Any]]:
        """The rows by the names of their columns, as the table gives them back."""
        return [dict(zip(PERIOD_USAGE_COLUMNS, row, strict=True)) for row in self.rows]


def usage_of(
    store: BillingStore,
    tick: Tick,
    revision: int,
    runs: Sequence[BillingRun],
    catalogue: Catalogue,
    customers: tuple[str, ...] = (),
    days: Days = NONE,
) -> FrozenUsage:
    """What the runs want -> customer -> rows, as of the tick's vector; one query per meter, frame and shape.

    Of `customers`, if they are named: runs that are stored need not be, whose customers are known. `days` are sealed
    and need not be read from raw events (`DayTotalsStore.usable`); without them everything is.
    """
    found: dict[object, dict[str, list[UsageRow]]] = {}
    for wanted in all_wanted([due for run in runs for due in run.periods], catalogue):
        entry = wanted.entry
        known = days.get((entry.name, entry.version), {})
        asked = Question(tick, revision, wanted.meter, wanted.frame, wanted.zone, entry.version, customers, known)
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


def lines_of(frozen: Frozen, catalogue: Catalogue, issued: Sequence[IssuedLine] = ()) -> tuple[RunLines, ...]:
    """The lines of a close, from usage that was just computed and the lines issued before it."""
    engine = engine_of(frozen.closed.tick)
    return engine.lines(frozen.closed, usage_by_meter(frozen.named_rows()), catalogue, issued)


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
