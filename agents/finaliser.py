"""The finaliser: one order in which documents become final, numbers from that order, and every transition an event.

Drafts of a complete tick and commands about documents enter `billing.finalisations`; its records, in order, are folded
by `pipeline.documents.books` into numbers, issue dates, credit notes and how documents stand. Everything that is
decided here is a function of that log and of the drafts: a rebuild that reads it before it has computed a draft waits
for that one.
Per batch: events are published, then numbers, answers and lines are stored, then the documents in one insert, which is
the place from which a restarted worker goes on. Source: design.md §4, §7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.logs import Logs
from agents.record_batch import RecordBatch
from agents.store.billing import BillingStore
from agents.store.credits import CreditStore
from agents.store.documents import DocumentStore
from agents.store.money import MoneyStore
from agents.topics import CATALOGUE, COMMANDS, FINALISATIONS, INVOICES, INVOICES_LATEST, OUTCOMES
from pipeline.collection.collection_effects import effects_of
from pipeline.collection.revenue import booked_revenue, revenue_lines
from pipeline.documents.books import Change, Document, DraftMissing, Entered
from pipeline.documents.document_events import Written, commands_of, event_texts, rewritten, written
from pipeline.wallets.wallet_steps import due
from schemas.command import CommandOutcome, SettleTopUp, TopUp
from schemas.document_log import CreditAction, DocumentAction, Finalisation, LogRecord
from schemas.invoice import FINAL_REVISION, Invoice
from schemas.revenue import RevenueLine

ENTERED_AT_ONCE = 1000
UNKNOWN = -1

Record = tuple[int, LogRecord]


class Finaliser:
    """Orders documents, enters their log into the books, publishes what changes."""

    def __init__(
        self,
        logs: Logs,
        documents: DocumentStore,
        billing: BillingStore,
        money: MoneyStore,
        catalogue: CatalogueLog,
        credits: CreditStore,
        finals: LedgerKeeper,
        crash: CrashPoint,
    ) -> None:
        self._credits = credits
        self._looked: tuple[int, int] | None = None
        self._logs, self._documents, self._billing, self._money = logs, documents, billing, money
        self._catalogue, self._finals, self._crash = catalogue, finals, crash
        self._entered = UNKNOWN
        self._read = 0

    async def order_due(self) -> int:
        """Puts commands about documents, and the drafts of each complete tick, into their one order; how many."""
        complete = await asyncio.to_thread(self._documents.complete_tick)
        actions = await self._known_actions(complete)
        drafts = await asyncio.to_thread(self._documents.drafts_of_complete_ticks, complete)
        records: list[LogRecord] = [*actions]
        records += [
            Finalisation(document_id=document, series=series, customer=customer, tick=tick)
            for document, customer, tick, series in drafts
        ]
        steps = await asyncio.to_thread(self._wallet_steps, complete)
        records += steps  # behind the documents of the tick, which may draw from what expires with it
        if not records:
            return 0
        sent = []
        for record in records:
            with self._crash.around(Step.FINALISE):
                sent.append(await self._logs.send(FINALISATIONS, None, record.model_dump_json().encode()))
        await self._logs.all_stored(sent)
        ordered = [*(action.id for action in (*actions, *steps)), *(document for document, _, _, _ in drafts)]
        with self._crash.around(Step.FINALISED):
            await asyncio.to_thread(self._documents.mark_ordered, ordered)
        return len(records)

    def _wallet_steps(self, complete: int) -> list[CreditAction]:
        """What the last complete tick makes due for wallets; looked for when it or a wallet has changed."""
        seen = (complete, self._credits.last_position())
        if seen == self._looked or not complete:
            return []
        tick = self._billing.tick(complete)
        if tick is None:
            return []
        wallets = self._credits.wallets(self._credits.to_look_at(tick.time))
        steps = [step for customer, wallet in wallets.items() for step in due(customer, wallet, tick)]
        self._looked = seen
        return self._documents.unordered(steps)

    async def _known_actions(self, complete: int) -> list[DocumentAction | CreditAction]:
        """Actions whose document is here, and money for one that there is not: the books keep that apart.

        A document that no draft up to an action's billing time is, is none: everything else on it is refused.
        """
        found = await asyncio.to_thread(self._documents.waiting_actions)
        waiting = [action for action in found if isinstance(action, DocumentAction)]
        credits = [action for action in found if isinstance(action, CreditAction)]
        if not waiting:
            return [*credits]
        ids = [action.document_id for action in waiting]
        known = await asyncio.to_thread(self._documents.known_documents, ids)
        is_entered = await self._entered_to() >= self._read
        unknown = [
            action for action in waiting if action.document_id not in known and action.tick <= complete and is_entered
        ]
        money = [action.model_copy(update={"unknown": True}) for action in unknown if _is_about_money(action)]
        unknown = [action for action in unknown if not _is_about_money(action)]
        if unknown:
            refused = [_outcome(action, Entered(refusal=f"document: no {action.document_id}")) for action in unknown]
            with self._crash.around(Step.DECIDED):
                await asyncio.to_thread(self._billing.insert_outcomes, refused)
                await self._answer(refused)
            await asyncio.to_thread(self._documents.mark_ordered, [action.id for action in unknown])
        return [*credits, *(action for action in waiting if action.document_id in known), *money]

    async def project(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle on billing.finalisations: its records as rows, whatever is here of what they speak of."""
        records = [
            (offset, value or b"")
            for batch in batches
            for offset, value in zip(batch.offsets, batch.values, strict=True)
        ]
        with self._crash.around(Step.NUMBER):
            await asyncio.to_thread(self._documents.insert_records, records)
        await self._finals.record(batches)
        self._read = max(self._read, *(batch.next_offset for batch in batches))

    async def resume(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where the ledger of billing.finalisations ends; whoever held it before may have gone further in the books."""
        self._entered = UNKNOWN
        await self._spread_earlier()
        found = await self._finals.resume(partitions)
        self._read = max(found.values(), default=0)
        return found

    async def enter_due(self) -> int:
        """Enters the records that are read into the books, in order, as far as their drafts are here; how many."""
        if await self._entered_to() >= self._read:
            return 0
        records = await asyncio.to_thread(self._documents.records_from, self._entered, ENTERED_AT_ONCE)
        if not records:
            return 0
        entered, known = await asyncio.to_thread(self._enter, records)
        latest = await self._publish([change for _, found in entered for change in found.changes], known)
        await self._ask([command for _, found in entered for command in found.commands])
        await self._store(entered, latest)
        if entered:
            self._entered = entered[-1][0][0] + 1
        return len(entered)

    async def _entered_to(self) -> int:
        """The offset behind the last record that is in the books."""
        if self._entered == UNKNOWN:
            self._entered = await asyncio.to_thread(self._documents.entered_to)
        return self._entered

    def _enter(self, records: Sequence[Record]) -> tuple[list[tuple[Record, Entered]], dict[str, Written]]:
        """What the records do, and final documents as they were written before."""
        books, known = self._documents.books(records)
        entered = []
        for offset, record in records:
            try:
                entered.append(((offset, record), books.enter(offset, record)))
            except DraftMissing:  # those behind it wait, or numbers and a customer's order would break
                break
        return entered, known

    async def _publish(
        self, changes: Sequence[Change], known: dict[str, Written]
    ) -> dict[str, tuple[Change, Written]]:  # fmt: skip
        """Per change the events, the document, what the customer's state must know: the same bytes at each try.

        Document -> the last change of it, and what was written of it. `known` are final documents as they were written:
        nothing of them changes any more but how they stand.
        """
        sent: list[Awaitable[object]] = []
        latest: dict[str, tuple[Change, Written]] = {}
        for change in changes:
            document = change.document
            key = document.customer.encode()
            with self._crash.around(Step.PUBLISH):
                before = known.get(document.id)
                made = written(document) if before is None else rewritten(document, before)
                latest[document.id] = (change, made)
                if document.revision >= FINAL_REVISION:
                    known[document.id] = made
                for event in event_texts(change, made):
                    sent.append(await self._logs.send(INVOICES, key, event))
                sent.append(await self._logs.send(INVOICES_LATEST, document.id.encode(), made.text))
                for command in commands_of(change):
                    sent.append(await self._logs.send(COMMANDS, key, command.model_dump_json().encode()))
        await self._logs.all_stored(sent)
        return latest

    async def _ask(self, commands: Sequence[TopUp | SettleTopUp]) -> None:
        """Commands that follow from what happened to a wallet; asked for twice they are one."""
        sent = []
        for command in commands:
            with self._crash.around(Step.PUBLISH):
                sent.append(
                    await self._logs.send(COMMANDS, command.customer.encode(), command.model_dump_json().encode())
                )
        await self._logs.all_stored(sent)

    async def _store(
        self, entered: Sequence[tuple[Record, Entered]], latest: Mapping[str, tuple[Change, Written]]
    ) -> None:
        outcomes = [_outcome(record, found) for (_, record), found in entered if isinstance(record, DocumentAction)]
        if outcomes:
            with self._crash.around(Step.DECIDED):
                await asyncio.to_thread(self._billing.insert_outcomes, outcomes)
                await self._answer(outcomes)
        numbered = [
            (change.document, offset)
            for (offset, _), found in entered
            for change in found.changes
            if change.transitions[0] in ("finalized", "issued")
        ]
        changes = [change for _, found in entered for change in found.changes]
        await asyncio.to_thread(self._documents.insert_numbers, numbered)
        with self._crash.around(Step.BOOKED):
            await asyncio.to_thread(self._money.insert_transactions, [
                *(transaction for change in changes for transaction in change.transactions),
                *(transaction for _, found in entered for transaction in found.transactions),
            ])  # fmt: skip
            await asyncio.to_thread(self._money.insert_revenue, await self._revenue(changes))
            asked = [*(change.request for change in changes), *(found.request for _, found in entered)]
            await asyncio.to_thread(self._money.insert_requests, [each for each in asked if each is not None])
            await asyncio.to_thread(self._money.insert_effects, [effects_of(change) for change in changes])
            await asyncio.to_thread(self._credits.insert, [
                (offset, [*found.entries, *(entry for change in found.changes for entry in change.entries)])
                for (offset, _), found in entered
            ])  # fmt: skip
        with self._crash.around(Step.FINAL):
            await asyncio.to_thread(self._documents.insert_lines, [document for document, _ in numbered])
            await asyncio.to_thread(self._documents.insert_documents, [
                (change.document, made, change.receivable) for change, made in latest.values()
            ])  # fmt: skip

    async def _revenue(self, changes: Sequence[Change]) -> list[RevenueLine]:
        """What documents that became final booked as revenue, over the days in which it is earned."""
        return [
            line
            for change in changes
            if change.transitions[0] in ("finalized", "issued")
            for line in await self._spread(change.document, booked_revenue(change.transactions), change.corrects)
        ]

    async def _spread(self, document: Document, booked: Decimal, corrects: Invoice | None) -> tuple[RevenueLine, ...]:
        known = [document] if corrects is None else [document, corrects]
        catalogue = await self._catalogue.as_of(max(one.basis.vector.get(CATALOGUE, (0,))[0] for one in known))
        return revenue_lines(document, booked, catalogue, corrects)

    async def _spread_earlier(self) -> None:
        """Documents of a version that did not spread revenue over days; a function of them, so twice is once."""
        while found := await asyncio.to_thread(self._documents.not_spread, ENTERED_AT_ONCE):
            lines = [line for each in found for line in await self._spread(*each)]
            await asyncio.to_thread(self._money.insert_revenue, lines)

    async def _answer(self, outcomes: Sequence[CommandOutcome]) -> None:
        sent = [
            await self._logs.send(OUTCOMES, outcome.customer.encode(), outcome.model_dump_json().encode())
            for outcome in outcomes
        ]
        await self._logs.all_stored(sent)


def _is_about_money(action: DocumentAction) -> bool:
    """Whether it may be about money that came for a document that there is not: then the books keep it apart."""
    return action.result is not None or (action.action == "refund" and action.payment is not None)


def _outcome(action: DocumentAction, found: Entered) -> CommandOutcome:
    return CommandOutcome(
        request_id=action.request_id,
        customer=action.customer,
        command="act_on_document",
        actor=action.actor,
        reason=action.reason,
        accepted=not found.refusal,
        detail=found.refusal or ("repeats a request that was accepted: nothing changed" if found.repeats else ""),
        tick=action.tick,
        partition=action.partition,
        offset=action.offset,
    )


def attach(app: TallyApp, finaliser: Finaliser) -> None:
    """Runs the projection, and looks for what is due, in the worker that holds the log of documents."""
    finalisations = app.deliver(FINALISATIONS, process=finaliser.project, resume=finaliser.resume, linger_s=0.02)

    async def look() -> bool:
        if finalisations.partitions:
            await finaliser.order_due()
            while await finaliser.enter_due() == ENTERED_AT_ONCE:
                pass
        return False

    app.look("finalisation", look)
