"""The invoicer: PeriodClosed becomes a rated invoice, becomes final in a fixed order, becomes an event.

Two deliveries meet here at a log. `billing.periods` gives drafts; once every run of a tick has its draft or is parked,
they enter `billing.finalisations` sorted by customer, so numbers follow the order of issue dates on every machine.
`billing.finalisations` gives numbers: the place of a document among first occurrences. A numbered draft is published
and then final. A rebuild reads both logs before it has computed what they speak of, so nothing here waits for a row:
a close without its usage is left to the copy that follows its usage, a number without its draft to a later look.
Source: design.md §4, §7.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.ledger import LedgerKeeper
from agents.logs import Logs
from agents.record_batch import RecordBatch
from agents.store.documents import DocumentStore
from agents.store.run_lines import RunLineStore, in_rounds
from agents.topics import CATALOGUE, FINALISATIONS, INVOICES, INVOICES_LATEST, PERIODS
from pipeline.invoicing import SERIES, finalized, invoices_of
from pipeline.rating import Usage
from pipeline.run_lines import RunLines, run_lines
from pipeline.usage_needed import GROUPS
from schemas.customer_state import PeriodClosed
from schemas.identity import canonical_json, derived_id
from schemas.invoice import Finalisation, Invoice, InvoiceEvent
from schemas.period import Period

PUBLISHED_AT_ONCE = 1000


class Invoicer:
    """Rates closes, orders and numbers their invoices, publishes them."""

    def __init__(
        self,
        logs: Logs,
        documents: DocumentStore,
        lines: RunLineStore,
        catalogue: CatalogueLog,
        periods: LedgerKeeper,
        finals: LedgerKeeper,
        crash: CrashPoint,
    ) -> None:
        self._logs, self._documents, self._lines, self._catalogue = logs, documents, lines, catalogue
        self._periods, self._finals, self._crash = periods, finals, crash
        self._numbered_drafts = True

    async def rate(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle on billing.periods: every close becomes its drafts, stored; the first record of a close counts.

        In a rebuild a close may be read before its usage is frozen here, or before its customer's close before it is
        rated, whose lines it deducts; whoever freezes it publishes it again then.
        """
        closes = [PeriodClosed.model_validate_json(value or b"") for batch in batches for value in batch.values]
        frozen = await asyncio.to_thread(self._documents.period_usage, [closed.close_id for closed in closes])
        complete = [closed for closed in closes if len(frozen[closed.close_id]) >= closed.usage_rows]
        for round_of_closes in in_rounds(complete):
            await self._rate_round(round_of_closes, frozen)
        await self._periods.record(batches)

    async def _rate_round(self, closes: Sequence[PeriodClosed], frozen: Mapping[str, list[dict[str, Any]]]) -> None:
        """Closes of different customers: lines and drafts, then the note that they are rated."""
        before = {(closed.customer, closed.follows) for closed in closes if closed.follows}
        rated = await asyncio.to_thread(self._lines.rated, before)
        ready = [closed for closed in closes if not closed.follows or (closed.customer, closed.follows) in rated]
        issued = await asyncio.to_thread(self._lines.issued, ready)
        runs: list[tuple[PeriodClosed, tuple[RunLines, ...]]] = []
        drafts: list[list[Invoice]] = []
        for closed in ready:
            catalogue = await self._catalogue.as_of(closed.tick.vector.end(CATALOGUE, 0))
            usage = usage_by_meter(frozen[closed.close_id])
            runs.append((closed, run_lines(closed, usage, catalogue, issued.get(closed.close_id, ()))))
            drafts.append(list(invoices_of(*runs[-1])))
        with self._crash.around(Step.RATE):
            lines = [(closed, [line for run in found for line in run.all]) for closed, found in runs]
            await asyncio.to_thread(self._lines.insert, lines)
            await asyncio.to_thread(self._documents.insert_drafts, [draft for held in drafts for draft in held])
        with self._crash.around(Step.RATED):
            done = [(closed, len(held)) for (closed, _), held in zip(runs, drafts, strict=True)]
            await asyncio.to_thread(self._lines.mark_rated, done)

    async def finalise_due(self) -> int:
        """Puts the drafts of each complete tick into the order in which they become final; how many."""
        drafts = await asyncio.to_thread(self._documents.drafts_of_complete_ticks)
        for document_id, customer, tick in drafts:
            record = Finalisation(document_id=document_id, series=SERIES, customer=customer, tick=tick)
            with self._crash.around(Step.FINALISE):
                await self._logs.append(FINALISATIONS, None, record.model_dump_json().encode())
        with self._crash.around(Step.FINALISED):
            await asyncio.to_thread(self._documents.mark_ordered, [document_id for document_id, _, _ in drafts])
        return len(drafts)

    async def number(self, batches: Sequence[RecordBatch]) -> None:
        """One cycle on billing.finalisations: first occurrences get the next number, whatever is here of them."""
        records = [
            (offset, Finalisation.model_validate_json(value or b""))
            for batch in batches
            for offset, value in zip(batch.offsets, batch.values, strict=True)
        ]
        with self._crash.around(Step.NUMBER):
            await asyncio.to_thread(lambda: self._documents.insert_numbers(SERIES, self._numbers(records)))
        await self._finals.record(batches)
        self._numbered_drafts = True

    async def resume_numbers(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where the ledger of billing.finalisations ends; whoever held it before may have left drafts numbered."""
        self._numbered_drafts = True
        return await self._finals.resume(partitions)

    async def publish_due(self) -> int:
        """Publishes drafts that have a number, in its order, and makes them final; how many."""
        if not self._numbered_drafts:
            return 0
        self._numbered_drafts = False
        count = 0
        for number, draft in await asyncio.to_thread(self._documents.numbered_drafts, PUBLISHED_AT_ONCE):
            self._numbered_drafts = True
            if draft is None:  # its close is still to come; those behind it wait, or a customer's order would break
                break
            invoice = finalized(draft, number)
            with self._crash.around(Step.PUBLISH):
                await self._publish(invoice)
            with self._crash.around(Step.FINAL):
                await asyncio.to_thread(self._documents.insert_finals, [invoice])
            count += 1
        return count

    def _numbers(self, records: Sequence[tuple[int, Finalisation]]) -> list[tuple[str, int, int]]:
        """(document, number, offset) of first occurrences; those numbered by an earlier try keep their number."""
        known = self._documents.numbers([record.document_id for _, record in records])
        following = self._documents.next_number(SERIES, min((offset for offset, _ in records), default=0))
        numbered: dict[str, tuple[str, int, int]] = {}
        for offset, record in records:
            held = known.get(record.document_id)
            if record.document_id in numbered or (held is not None and held[1] < offset):
                continue  # a repetition: the first occurrence has the number
            numbered[record.document_id] = (record.document_id, following, offset)
            following += 1
        return list(numbered.values())

    async def _publish(self, invoice: Invoice) -> None:
        """The event, then the document: the same bytes however often it is done."""
        event = InvoiceEvent(
            id=str(derived_id("invoice event", invoice.id, "finalized")),
            type="tally.invoice.finalized.v1",
            subject=invoice.customer,
            time=invoice.issued_at,
            data=invoice,
        )
        await self._logs.append(INVOICES, invoice.customer.encode(), canonical_json(event.model_dump(mode="json")))
        await self._logs.append(INVOICES_LATEST, invoice.id.encode(), canonical_json(invoice.model_dump(mode="json")))


def usage_by_meter(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str, Period], list[Usage]]:
    """Frozen rows as the rating takes them: by window, then in order of first usage."""
    found: dict[tuple[str, str, Period], list[Usage]] = {}
    order = ("shape", "window_start", "first_at", "k_offset", "k_partition", "grp")
    for row in sorted(rows, key=lambda row: tuple(row[name] for name in order)):
        span = Period(start=row["period_start"], end=row["period_end"])
        start, end = row["window_start"], row["window_end"]
        window = Period(start=start, end=end) if end > start else None
        group = tuple(json.loads(row["grp"]))
        usage = Usage(group, row["value"], row["events"], row["invalid"], window, row["shape"] or GROUPS.name)
        found.setdefault((row["subscription"], row["meter"], span), []).append(usage)
    return found


def attach(app: TallyApp, invoicer: Invoicer, periods: LedgerKeeper) -> None:
    """Runs both deliveries, and between them the look for complete ticks, by the worker that holds the numbers."""
    app.deliver(PERIODS, process=invoicer.rate, resume=periods.resume, linger_s=0.02)
    finalisations = app.deliver(FINALISATIONS, process=invoicer.number, resume=invoicer.resume_numbers, linger_s=0.02)

    async def look() -> None:
        if finalisations.partitions:
            await invoicer.finalise_due()
            await invoicer.publish_due()

    app.repeat("finalisation", 0.25, look)
