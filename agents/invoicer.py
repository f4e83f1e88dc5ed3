"""The invoicer: a close becomes rated drafts, some of which wait for a person.

A rebuild may read a close before its usage is frozen here: it is left to the copy that follows its usage. What makes
drafts final is `agents/finaliser.py`; the two meet at the table of documents. Source: design.md §4, §7.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.record_batch import RecordBatch
from agents.store.connection import StoreUnavailable
from agents.store.documents import DocumentStore
from agents.store.frozen_usage import usage_by_meter
from agents.store.run_lines import RunLineStore, in_rounds
from agents.topics import CATALOGUE, PERIODS
from pipeline.closing.engines import engine_of
from pipeline.closing.run_lines import RunLines
from pipeline.documents.books import Document
from pipeline.documents.holds import held
from pipeline.documents.invoicing import terms_of
from schemas.customer_state import PeriodClosed
from schemas.invoice import Invoice
from schemas.issuer import HoldRules
from schemas.tick import Tick


class NotHereYet(StoreUnavailable):
    """What a close rests on is still being computed: asked again like a store that is away."""


class Invoicer:
    """Rates closes."""

    def __init__(
        self,
        documents: DocumentStore,
        lines: RunLineStore,
        catalogue: CatalogueLog,
        periods: LedgerKeeper,
        crash: CrashPoint,
        *,
        waits: bool = False,
    ) -> None:
        """`waits`: nobody will publish a close again, so one that is not frozen or rated here yet is waited for."""
        self._documents, self._lines, self._catalogue = documents, lines, catalogue
        self._periods, self._crash, self._waits = periods, crash, waits

    async def rate(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle on billing.periods: every close becomes its drafts, stored; the first record of a close counts.

        In a rebuild a close may be read before its usage is frozen here, or before its customer's close before it is
        rated, whose lines it deducts; whoever freezes it publishes it again then.
        """
        closes = [PeriodClosed.model_validate_json(value or b"") for batch in batches for value in batch.values]
        frozen = await asyncio.to_thread(self._documents.period_usage, [closed.close_id for closed in closes])
        complete = [closed for closed in closes if len(frozen[closed.close_id]) >= closed.usage_rows]
        rated = 0
        for round_of_closes in in_rounds(complete):
            rated += await self._rate_round(round_of_closes, frozen)
        if self._waits and rated < len(closes):
            raise NotHereYet(
                f"{len(closes) - rated} of {len(closes)} closes are not frozen or follow one not rated yet"
            )
        await self._periods.record(batches)

    async def _rate_round(self, closes: Sequence[PeriodClosed], frozen: Mapping[str, list[dict[str, Any]]]) -> int:
        """Closes of different customers: lines and drafts, then the note that they are rated; how many could be."""
        before = {(closed.customer, closed.follows) for closed in closes if closed.follows}
        rated = await asyncio.to_thread(self._lines.rated, before)
        ready = [closed for closed in closes if not closed.follows or (closed.customer, closed.follows) in rated]
        issued = await asyncio.to_thread(self._lines.issued, ready)
        runs: list[tuple[PeriodClosed, tuple[RunLines, ...]]] = []
        drafts: list[Document] = []
        for tick, group in groupby(ready, key=lambda closed: closed.tick):
            catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
            made: list[Invoice] = []
            engine = engine_of(tick)
            of_tick = list(group)
            used = await asyncio.to_thread(self._documents.used_of_grants, [c for c in of_tick if c.grants])
            interims = await asyncio.to_thread(self._documents.interims, of_tick)
            giving: list[tuple[PeriodClosed, tuple[RunLines, ...], tuple[Invoice, ...]]] = []
            for closed in of_tick:
                usage = usage_by_meter(frozen[closed.close_id])
                found = engine.lines(closed, usage, catalogue, issued.get(closed.close_id, ()))
                runs.append((closed, found))
                invoices = engine.invoices(closed, found, catalogue, terms_of(closed, used, interims))
                made += invoices
                if any(run.credits for run in found):
                    giving.append((closed, found, invoices))
            drafts += await asyncio.to_thread(self._held, tick, made, catalogue.issuer.holds)
            billed = await asyncio.to_thread(self._documents.billed_lines, [closed for closed, _, _ in giving])
            for closed, found, invoices in giving:
                drafts += engine.notes(closed, found, catalogue, invoices, billed.get(closed.customer, ()))
        documents = Counter(draft.basis.close_id for draft in drafts)
        with self._crash.around(Step.RATE):
            lines = [(closed, [line for run in found for line in run.all]) for closed, found in runs]
            await asyncio.to_thread(self._lines.insert, lines)
            await asyncio.to_thread(self._documents.insert_drafts, drafts)
        with self._crash.around(Step.RATED):
            done = [(closed, documents[closed.close_id]) for closed, _ in runs]
            await asyncio.to_thread(self._lines.mark_rated, done)
        return len(ready)

    def _held(self, tick: Tick, drafts: Sequence[Invoice], rules: HoldRules) -> list[Invoice]:
        """The drafts, those that must wait with the reasons; history is what ticks before theirs have billed."""
        customers = sorted({draft.customer for draft in drafts})
        history = self._documents.largest_totals(customers, tick.number) if rules.above_history else {}
        versions = self._documents.billed_versions(customers, tick.number) if rules.new_plan_version else {}
        return [
            draft.model_copy(update={"held": reasons}) if reasons else draft
            for draft in drafts
            for reasons in [
                held(draft, rules, history.get((draft.customer, draft.currency)), versions.get(draft.customer, ()))
            ]
        ]


def attach(app: TallyApp, invoicer: Invoicer, periods: LedgerKeeper) -> None:
    """Rates what billing.periods says is closed."""
    app.deliver(PERIODS, process=invoicer.rate, resume=periods.resume, linger_s=0.02)
