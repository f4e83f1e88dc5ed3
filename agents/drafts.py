"""Drafts of open periods: what the end of grace would bill, published hourly where it has changed.

A tick at a full hour asks for it (`pipeline.closing.drafts`), in the order of the log: a rebuild comes to the same
drafts. It is rated as its run will be, as of the tick's vector, once that is audited; nothing of it is frozen, numbered
or deducted. Once the run is rated, the draft is replaced by its invoice. Source: design.md §4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from itertools import groupby

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.freezing import freeze, lines_of, usage_of
from agents.late_usage import looking_back
from agents.logs import Logs
from agents.store.billing import BillingStore
from agents.store.documents import DocumentStore
from agents.store.drafts import DraftStore, OpenStep, Published
from agents.store.run_lines import RunLineStore
from agents.topics import CATALOGUE, COMMANDS, INVOICES
from pipeline.closing.drafts import draft_of, drafted_content, replaced
from pipeline.closing.engines import engine_of
from pipeline.documents.books import Change
from pipeline.documents.document_events import event_texts, written
from pipeline.documents.document_keys import document_id
from pipeline.documents.invoicing import terms_of
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import BillingRun
from schemas.invoice import Invoice
from schemas.tick import Tick

AT_ONCE = 2000

Open = Mapping[str, Mapping[str, Published]]
"""Customer -> id -> its open drafts."""


class Drafter:
    """Takes the steps of the partitions of billing.commands that this worker holds."""

    def __init__(
        self,
        logs: Logs,
        billing: BillingStore,
        documents: DocumentStore,
        lines: RunLineStore,
        drafts: DraftStore,
        catalogue: CatalogueLog,
        crash: CrashPoint,
    ) -> None:
        self._logs, self._billing, self._documents = logs, billing, documents
        self._lines, self._drafts, self._catalogue, self._crash = lines, drafts, catalogue, crash
        self.waits = False
        """Whether there were steps at the last look."""

    async def look(self, partitions: Sequence[int]) -> int:
        """Takes every step that can be taken, in order of ticks; those of a customer in their order. How many."""
        steps = await asyncio.to_thread(self._drafts.open_steps, partitions, AT_ONCE)
        self.waits = bool(steps)
        waiting: set[str] = set()
        taken = 0
        for number, group in groupby(steps, key=lambda each: each.step.tick):
            tick = await asyncio.to_thread(self._billing.tick, number)
            of_tick = list(group)
            if tick is None:
                break
            if await asyncio.to_thread(self._billing.missing, tick):
                break
            ready = await self._ready(of_tick, waiting)
            for place in sorted({each.place for each in ready}):
                await self._take(tick, [each for each in ready if each.place == place])
            taken += len(ready)
        return taken

    async def _ready(self, steps: Sequence[OpenStep], waiting: set[str]) -> list[OpenStep]:
        """Those that wait for no run: a draft deducts what runs before it issued, and goes once its own is rated."""
        needed = {
            (each.step.customer, each.step.run.follows if each.step.run is not None else each.step.billed_by)
            for each in steps
        }
        rated = await asyncio.to_thread(self._lines.rated, {one for one in needed if one[1]})
        ready = []
        for each in steps:
            step = each.step
            after = step.run.follows if step.run is not None else step.billed_by
            if step.customer in waiting or (after and (step.customer, after) not in rated):
                waiting.add(step.customer)
            else:
                ready.append(each)
        return ready

    async def _take(self, tick: Tick, steps: Sequence[OpenStep]) -> None:
        customers = [each.step.customer for each in steps]
        known = await asyncio.to_thread(self._drafts.published, customers)
        changed = await self._rated(tick, [each for each in steps if each.step.run is not None], known)
        changed += await self._replaced(tick, [each for each in steps if each.step.run is None], known)
        await self._publish(tick, changed)
        with self._crash.around(Step.DRAFTED):
            await asyncio.to_thread(self._drafts.insert_steps, steps, done=True)

    async def _rated(self, tick: Tick, steps: Sequence[OpenStep], known: Open) -> list[tuple[Published, str]]:
        """What the runs would bill, where that is other than what was published last."""
        if not steps:
            return []
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        runs = [each.step.run for each in steps if each.step.run is not None]
        found: list[tuple[Published, str]] = []
        made = await asyncio.to_thread(self._invoices, tick, runs, catalogue)
        for each, invoices in zip(steps, made, strict=True):
            own = known.get(each.step.customer, {})
            for group, invoice in invoices:
                draft = draft_of(invoice, each.step.key, group)
                content = drafted_content(draft)
                before = own.get(draft.id)
                if before is None or before.content != content or before.document.revision == tick.number:
                    found.append((Published(each.step.key, each.step.due, group, content, draft), "drafted"))
        return found

    def _invoices(
        self, tick: Tick, runs: Sequence[BillingRun], catalogue: Catalogue
    ) -> list[list[tuple[str, Invoice]]]:
        """Per run the invoices of its groups, as the run would make them as of the tick's vector."""
        engine = engine_of(tick)
        days = self._billing.days.usable(tick)
        looking = looking_back(self._billing.late_usage, tick, runs, catalogue)
        customers = tuple(sorted(run.customer for run in runs))
        usage = usage_of(self._billing, tick, 0, looking, catalogue, customers=customers, days=days)
        frozen = [freeze(run, catalogue, usage) for run in looking]
        closes = [each.closed for each in frozen]
        issued = self._lines.issued(closes)
        used = self._documents.used_of_grants([closed for closed in closes if closed.grants])
        interims = self._documents.interims(closes)
        found = []
        for each in frozen:
            lines = lines_of(each, catalogue, issued.get(each.closed.close_id, ()))
            invoices = engine.invoices(each.closed, lines, catalogue, terms_of(each.closed, used, interims))
            groups = [run.group for run in lines if not run.is_skipped]
            made = zip(groups, invoices, strict=True)
            found.append([(group, invoice) for group, invoice in made if not invoice.interim])
        return found

    async def _replaced(self, tick: Tick, steps: Sequence[OpenStep], known: Open) -> list[tuple[Published, str]]:
        """The open drafts of runs that are rated, with the invoices that stand in their place."""
        places = {
            one.document.id: _billed(one, each.step.billed_by)
            for each in steps
            for one in known.get(each.step.customer, {}).values()
        }
        there = await asyncio.to_thread(self._documents.known_documents, list(places.values())) if places else set()
        found: list[tuple[Published, str]] = []
        for each in steps:
            for one in known.get(each.step.customer, {}).values():
                place = places[one.document.id]
                last = replaced(one.document, tick, place if place in there else "")
                found.append((Published(one.key, one.due, one.group, one.content, last), "replaced"))
        return found

    async def _publish(self, tick: Tick, changed: Sequence[tuple[Published, str]]) -> None:
        sent: list[Awaitable[object]] = []
        rows = []
        for one, transition in changed:
            made = written(one.document)
            change = Change(one.document, (transition,), tick.time)
            with self._crash.around(Step.DRAFT):
                for text in event_texts(change, made):
                    sent.append(await self._logs.send(INVOICES, one.document.customer.encode(), text))
            rows.append((one, tick.number, made.text))
        await self._logs.all_stored(sent)
        if rows:
            await asyncio.to_thread(self._drafts.insert, rows)


def _billed(draft: Published, tick: int) -> str:
    """The id of the invoice that a tick's run would have made of it."""
    return document_id(draft.document.customer, draft.document.currency, tick, group=draft.group)


def attach(app: TallyApp, drafter: Drafter) -> None:
    """Looks while there are steps, which is only in the hours of a grace."""
    commands = app.deliveries[app.settings.topic_prefix + COMMANDS]

    async def look() -> bool:
        await drafter.look(commands.partitions)
        return drafter.waits

    app.look("drafts", look)
