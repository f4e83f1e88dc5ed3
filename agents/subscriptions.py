"""Commands and ticks fold into state per customer, in log order; a tick turns what is due into billing runs.

The cycle per batch: load the clock and the states, fold in memory, store outcomes, announcements, runs and states,
publish outcomes and announcements, ledger, commit. Outcomes and what is announced of subscriptions are stored before
states, so that a replay repeats both with the same bytes instead of deciding anew.
Source: design.md §7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.logs import Logs
from agents.record_batch import RecordBatch, by_partition
from agents.refused_commands import Unreadable, unreadable
from agents.store.billing import BillingStore, StoredState
from agents.store.documents import DocumentStore
from agents.store.drafts import DraftStore, OpenStep
from agents.store.subscription_events import Announced, SubscriptionEventStore
from agents.topics import CATALOGUE, COMMANDS, INVOICES, OUTCOMES
from pipeline.closing.drafts import drafted, next_draft_at
from pipeline.closing.runs import bill, next_due_at
from pipeline.subscriptions.fold import decide
from pipeline.subscriptions.subscription_events import announced, next_transition_at, subscription_event, transitions
from pipeline.wallets.credit_commands import credit_action
from schemas.catalogue_entry import Catalogue
from schemas.command import COMMAND_RECORD, ActOnDocument, Command, CommandOutcome, TickCopy
from schemas.customer_state import BillingRun, CustomerState
from schemas.document_log import CreditAction, DocumentAction
from schemas.party import buyer_of
from schemas.subscription_event import Cause
from schemas.tick import Tick

Read = Command | TickCopy | Unreadable


@dataclass(slots=True)
class _Fold:
    """What one partition's records change, collected in memory before anything is stored."""

    partition: int
    clock: Tick | None
    clock_offset: int
    states: dict[str, StoredState]
    seen: dict[tuple[str, str], CommandOutcome]
    outcomes: list[CommandOutcome] = field(default_factory=list)
    runs: list[BillingRun] = field(default_factory=list)
    drafts: list[OpenStep] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    actions: list[DocumentAction | CreditAction] = field(default_factory=list)
    told: dict[tuple[int, str, int], Announced] = field(default_factory=dict)
    """What is announced, by its key: what an earlier try of these records stored, and what this one finds."""
    ticked: bool = False


class SubscriptionAgent:
    """Folds billing.commands."""

    def __init__(
        self,
        logs: Logs,
        store: BillingStore,
        actions: DocumentStore,
        events: SubscriptionEventStore,
        drafts: DraftStore,
        keeper: LedgerKeeper,
        catalogue: CatalogueLog,
        crash: CrashPoint,
    ) -> None:
        self._actions, self._events, self._drafts = actions, events, drafts
        self._logs, self._store, self._keeper, self._catalogue = logs, store, keeper, catalogue
        self._crash = crash

    async def fold(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle over all partitions of a flush."""
        for partition, mine in by_partition(batches):
            records = list(_read(mine))
            fold = await asyncio.to_thread(self._load, partition, records)
            for offset, record in records:
                if isinstance(record, TickCopy):
                    await self._tick(fold, record.tick, offset)
                elif isinstance(record, Unreadable):
                    fold.outcomes.append(record.outcome(fold.clock.number if fold.clock else 0, partition, offset))
                else:
                    await self._command(fold, record, offset)
            await asyncio.to_thread(self._store_fold, fold)
            with self._crash.around(Step.ANSWERS):
                await self._publish(fold)
        await self._keeper.record(batches)

    def _load(self, partition: int, records: Sequence[tuple[int, Read]]) -> _Fold:
        commands = [record for _, record in records if not isinstance(record, TickCopy | Unreadable)]
        clock = self._store.clock_of(partition)
        told = self._events.between(partition, records[0][0], records[-1][0]) if records else ()
        return _Fold(
            partition=partition,
            clock=clock[0] if clock else None,
            clock_offset=clock[1] if clock else -1,
            states=self._store.states(command.customer for command in commands),
            seen=self._store.outcomes((command.customer, command.request_id) for command in commands),
            told={each.key: each for each in told},
        )

    async def _command(self, fold: _Fold, command: Command, offset: int) -> None:
        known = fold.seen.get((command.customer, command.request_id))
        held = fold.states.get(command.customer, StoredState(CustomerState(customer=command.customer), -1))
        if known is not None and (known.offset != offset or held.offset >= offset or not known.accepted):
            # The same request again, or the same record again: the first outcome stands, also a refusal, which leaves
            # no state and may have been decided under an earlier clock than the one that is stored now.
            fold.outcomes.append(known if known.offset == offset else _repeated(known, fold, offset))
            return
        if isinstance(command, ActOnDocument) and fold.clock is not None:
            fold.actions.append(_action(command, held.state, fold, fold.clock, offset))
            return
        decision = decide(held.state, command, fold.clock, await self._catalogue_of(fold.clock))
        outcome = CommandOutcome(
            request_id=command.request_id,
            customer=command.customer,
            command=command.command,
            actor=command.actor,
            reason=command.reason,
            accepted=not decision.refusal,
            detail=decision.refusal,
            tick=fold.clock.number if fold.clock else 0,
            partition=fold.partition,
            offset=offset,
        )
        fold.outcomes.append(outcome)
        fold.seen.setdefault((command.customer, command.request_id), outcome)
        if outcome.accepted and fold.clock is not None:
            credit = credit_action(command, decision.state, fold.clock, outcome)
            fold.actions += [credit] if credit is not None else []
            cause = Cause(command=command.command, request_id=command.request_id, actor=command.actor,
                          reason=command.reason, tick=outcome.tick)  # fmt: skip
            _put(fold, held.state, decision.state, cause, offset)

    async def _catalogue_of(self, clock: Tick | None) -> Catalogue:
        return Catalogue() if clock is None else await self._catalogue.as_of(clock.vector.end(CATALOGUE, 0))

    async def _tick(self, fold: _Fold, tick: Tick, offset: int) -> None:
        if fold.clock is not None and tick.number <= fold.clock.number and offset != fold.clock_offset:
            return  # a second copy: the first of a number counts
        fold.clock, fold.clock_offset, fold.ticked = tick, offset, True
        due = await asyncio.to_thread(self._store.due_customers, fold.partition, tick.time)
        missing = [customer for customer in due if customer not in fold.states]
        fold.states.update(await asyncio.to_thread(self._store.states, missing))
        changed = {
            customer
            for customer in fold.touched
            if any(at <= tick.time for at in _next_moments(fold.states[customer].state) if at is not None)
        }
        for customer in sorted({*due, *changed}):
            held = fold.states[customer]
            if held.offset >= offset:
                continue  # stored by an earlier try of this very record
            state, run = bill(held.state, tick)
            state, steps = drafted(state, tick)
            fold.drafts += [OpenStep(fold.partition, place, step) for place, step in enumerate(steps)]
            _put(fold, held.state, state, Cause(command="tick", tick=tick.number), offset)
            if run is not None:
                fold.runs.append(run)

    def _store_fold(self, fold: _Fold) -> None:
        self._actions.insert_actions(fold.actions)
        with self._crash.around(Step.OUTCOMES):
            self._store.insert_outcomes(fold.outcomes)
        with self._crash.around(Step.TOLD):
            self._events.insert(fold.partition, list(fold.told.values()))
        with self._crash.around(Step.RUNS):
            self._store.insert_runs(fold.partition, fold.runs)
            self._drafts.insert_steps(fold.drafts)
        states = [fold.states[customer] for customer in sorted(fold.touched)]
        with self._crash.around(Step.STATES):
            self._store.insert_states(
                fold.partition,
                [(held.state, *_next_moments(held.state), held.offset) for held in states],
                fold.clock.time if fold.clock else None,
            )
        if fold.ticked and fold.clock is not None:
            with self._crash.around(Step.CLOCK):
                self._store.insert_clock(fold.partition, fold.clock, fold.clock_offset)

    async def _publish(self, fold: _Fold) -> None:
        sent = [
            await self._logs.send(OUTCOMES, outcome.customer.encode(), outcome.model_dump_json().encode())
            for outcome in fold.outcomes
        ]
        sent += [
            await self._logs.send(INVOICES, fold.told[key].customer.encode(), fold.told[key].content())
            for key in sorted(fold.told)
        ]
        await self._logs.all_stored(sent)


def _put(fold: _Fold, before: CustomerState, after: CustomerState, cause: Cause, offset: int) -> None:
    """Keeps a customer's state as of a record, with what is to be announced of it."""
    assert fold.clock is not None, "nothing is accepted before the first tick"
    now = fold.clock.time
    for place, found in enumerate(transitions(before, after, now)):
        told = Announced(offset, after.customer, place, subscription_event(after.customer, found, cause, offset))
        fold.told[told.key] = told
    fold.states[after.customer] = StoredState(announced(after, now), offset)
    fold.touched.add(after.customer)


def _next_moments(state: CustomerState) -> tuple[datetime | None, datetime | None, datetime | None]:
    """When a tick bills something next, when time changes a subscription next, when something is drafted next."""
    return next_due_at(state), next_transition_at(state), next_draft_at(state)


def attach(app: TallyApp, agent: SubscriptionAgent, keeper: LedgerKeeper) -> None:
    """Runs the fold on billing.commands."""
    app.deliver(COMMANDS, process=agent.fold, resume=keeper.resume, linger_s=0.02)


def _read(batches: Sequence[RecordBatch]) -> Iterator[tuple[int, Read]]:
    for batch in batches:
        for offset, key, value in zip(batch.offsets, batch.keys, batch.values, strict=True):
            try:
                yield offset, COMMAND_RECORD.validate_json(value or b"")
            except ValidationError as error:
                yield offset, unreadable(key, value, error)


def _action(command: ActOnDocument, state: CustomerState, fold: _Fold, clock: Tick, offset: int) -> DocumentAction:
    """The command on its way to the books, with its place, its billing time and the customer's details then."""
    return DocumentAction(
        action=command.action,
        document_id=command.document_id,
        customer=command.customer,
        request_id=command.request_id,
        actor=command.actor,
        reason=command.reason,
        tick=clock.number,
        time=clock.time,
        partition=fold.partition,
        offset=offset,
        amount=command.amount,
        payment=command.payment,
        result=command.result,
        until=command.until,
        buyer=buyer_of(state.record, command.customer),
    )


def _repeated(known: CommandOutcome, fold: _Fold, offset: int) -> CommandOutcome:
    return known.model_copy(
        update={
            "partition": fold.partition,
            "offset": offset,
            "detail": known.detail or f"repeats the request accepted at offset {known.offset}: nothing changed",
        }
    )
