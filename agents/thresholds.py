"""Watches unbilled usage of running periods: where it crosses a threshold of its plan, an interim invoice is asked for.

It is asked with a command whose id follows from the period and the number of the invoice, so asking twice is asking
once, and a rebuild bills it where this one did. The run of the next tick bills what is unbilled then. Looked at once a
tick, at its vector, with the rating that the run will use. Source: rating.md §5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.freezing import freeze, lines_of, usage_of
from agents.logs import Logs
from agents.store.billing import BillingStore
from agents.store.run_lines import RunLineStore
from agents.topics import CATALOGUE, COMMANDS
from pipeline.closing.interims import Crossed, crossed, is_asked
from pipeline.closing.runs import interim_dues
from schemas.catalogue_entry import Catalogue
from schemas.command import BillInterim
from schemas.customer_state import BillingRun, CustomerState, DuePeriod, PeriodClosed
from schemas.identity import derived_id
from schemas.plan import Plan
from schemas.quantity import ZERO
from schemas.subscription import Subscription
from schemas.tick import Tick

ACTOR = "tally/thresholds"


@dataclass(frozen=True, slots=True)
class _Running:
    """A subscription whose plan has thresholds, and what of its running period is not billed by a run."""

    state: CustomerState
    held: Subscription
    plan: Plan
    dues: tuple[DuePeriod, ...]


class Thresholds:
    """Looks at the customers of the partitions of billing.commands that this worker holds."""

    def __init__(
        self, logs: Logs, billing: BillingStore, lines: RunLineStore, catalogue: CatalogueLog, crash: CrashPoint
    ) -> None:
        self._logs, self._billing, self._lines = logs, billing, lines
        self._catalogue, self._crash = catalogue, crash
        self._done: dict[str, int] = {}
        """Customer -> the last tick that it was looked at under."""
        self._looked: tuple[int, tuple[int, ...]] = (0, ())
        """The last tick under which all customers of these partitions were looked at."""
        self.waits = False
        """Whether the newest tick's vector is not covered yet."""

    async def look(self, partitions: Sequence[int]) -> None:
        """Asks for every interim invoice that the newest tick's usage makes due, once the ledger covers its vector."""
        self.waits = False
        newest = await asyncio.to_thread(self._billing.newest_tick)
        if newest is None:
            return
        tick, all_of = newest[0], (newest[0].number, tuple(partitions))
        if all_of == self._looked:
            return
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        plans = [entry for entry in catalogue.plans.values() if has_thresholds(entry.plan)]
        if not plans:
            return
        # Copies are audited before the run that is asked for, not before it is asked for.
        self.waits = bool(await asyncio.to_thread(self._billing.uncovered, tick))
        if self.waits:
            return
        # A customer whose partition has not folded the tick is not found yet: the tick is not done with then.
        clocks = await asyncio.to_thread(self._billing.clocks)
        folded = all(clocks.get(partition, 0) >= tick.number for partition in partitions)
        wanted = sorted({(entry.name, entry.version) for entry in plans})
        states = await asyncio.to_thread(self._billing.customers_on, wanted, partitions, tick.number)
        states = [state for state in states if self._done.get(state.customer, 0) < tick.number]
        rated = await asyncio.to_thread(self._lines.rated, [(one.customer, one.last_run) for one in states])
        ready = [one for one in states if not one.last_run or (one.customer, one.last_run) in rated]
        for state in ready:
            await self._look_at(tick, state, catalogue)
            self._done[state.customer] = tick.number
        if folded and len(ready) == len(states):
            self._looked = all_of

    async def _look_at(self, tick: Tick, state: CustomerState, catalogue: Catalogue) -> None:
        for one in running_periods(state, tick, catalogue):
            found = await asyncio.to_thread(self._crossed, tick, one, catalogue)
            if found is None:
                continue
            crossing, amount = found
            command = _asked(one, crossing, amount)
            with self._crash.around(Step.THRESHOLD):
                await self._logs.append(COMMANDS, command.customer.encode(), command.model_dump_json().encode())

    def _crossed(self, tick: Tick, one: _Running, catalogue: Catalogue) -> tuple[Crossed, Decimal] | None:
        closed, unbilled = self._unbilled(tick, one, catalogue)
        if unbilled <= 0:
            return None
        period, is_lifetime = one.dues[0].period, one.plan.threshold_base == "lifetime"
        lifetime = unbilled + self._lines.usage_billed(closed, one.held.id, period) if is_lifetime else ZERO
        found = crossed(one.plan, one.held.progress, period, unbilled, lifetime)
        return None if found is None else (found, lifetime if is_lifetime else unbilled)

    def _unbilled(self, tick: Tick, one: _Running, catalogue: Catalogue) -> tuple[PeriodClosed, Decimal]:
        """What an interim run under this tick would bill."""
        customer = one.state.customer
        run = BillingRun(customer=customer, tick=tick, periods=one.dues, disregarded=one.state.disregarded)
        usage = usage_of(self._billing, tick, 0, [run], catalogue, customers=(customer,))
        frozen = freeze(run, catalogue, usage)
        issued = self._lines.issued([frozen.closed]).get(frozen.closed.close_id, ())
        found = lines_of(frozen, catalogue, issued)
        return frozen.closed, sum((line.amount for lines in found for line in lines.debits), ZERO)


def has_thresholds(plan: Plan) -> bool:
    """Whether a plan bills progressively."""
    return bool(plan.thresholds) or plan.recurring_threshold is not None


def running_periods(state: CustomerState, tick: Tick, catalogue: Catalogue) -> list[_Running]:
    """The subscriptions to look at: those on a plan with thresholds whose last interim invoice is billed."""
    found = []
    for held in state.subscriptions:
        dues = tuple(interim_dues(state, held, tick.time))
        entry = catalogue.plan(dues[0].plan, dues[0].plan_version) if dues else None
        if entry is not None and has_thresholds(entry.plan) and not is_asked(held):
            of_period = tuple(due for due in dues if due.period == dues[0].period)
            found.append(_Running(state, held, entry.plan.in_currency(held.currency), of_period))
    return found


def _asked(one: _Running, crossing: Crossed, amount: Decimal) -> BillInterim:
    period, before = one.dues[0].period, one.held.progress
    number = before.asked + 1 if before is not None and before.period == period else 1
    key = (one.state.customer, one.held.id, period.start.isoformat(), number)
    base = "usage of the lifetime" if one.plan.threshold_base == "lifetime" else "unbilled usage"
    return BillInterim(
        request_id=str(derived_id("interim invoice", *key)),
        actor=ACTOR,
        reason=f"{base} of {amount} {one.held.currency} reached {crossing.threshold}",
        customer=one.state.customer,
        subscription=one.held.id,
        period=period,
        number=number,
        used=crossing.used,
        steps=crossing.steps,
        amount=amount,
    )


def attach(app: TallyApp, thresholds: Thresholds) -> None:
    """Looks at each customer once per tick; again and again until its vector is covered."""
    commands = app.deliveries[app.settings.topic_prefix + COMMANDS]

    async def look() -> bool:
        await thresholds.look(commands.partitions)
        return thresholds.waits

    app.look("thresholds", look)
