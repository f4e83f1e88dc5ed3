"""Collection: open invoices that fall due at one tick are requested, charged by a sample payment service, and paid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import islice

from agents.bench.catalogue import PLAN, loaded
from agents.bench.figures import Figures
from agents.bench.processes import cpu_s
from agents.bench.rating import CHUNK, JUNE, closes
from agents.bench.site import Deployment, Say, Site
from agents.store.connection import Connection
from agents.store.documents import DocumentStore
from agents.store.frozen_usage import usage_by_meter
from agents.store.ledger_looks import LedgerLooks
from agents.topics import FINALISATIONS
from pipeline.documents.invoicing import invoice_of
from schemas.document_log import Finalisation
from schemas.dunning import DunningPolicy
from schemas.invoice import DocumentTerms, Invoice

WANTED = 10_000
TERMS = DocumentTerms(payment_days=1, dunning=DunningPolicy.model_validate({"days": [0, 3]}))


async def measure(site: Site, figures: Figures, invoices: int, say: Say) -> None:
    """Figures of the part `collection`."""
    site.gather()
    say(f"collection: {invoices:,} open invoices, each requested, charged and paid")
    async with await site.deployment("collection") as deployment:
        await deployment.tick(JUNE.end)
        worker = deployment.worker("billing")
        began = time.monotonic()
        await _finalised(deployment, invoices)
        figures.add("collection", "drafts made final, with their events", invoices / (time.monotonic() - began), "/s")
        service = site.child("-m", "deploy.payments", "--kafka", deployment.settings.kafka,
                             "--prefix", deployment.settings.topic_prefix, settings=deployment.settings)  # fmt: skip
        try:
            before, began = cpu_s(worker.pid), time.monotonic()
            await deployment.tick(JUNE.end.replace(day=3))
            await deployment.until(lambda: _paid(deployment.db) == invoices)
            took, spent = time.monotonic() - began, cpu_s(worker.pid) - before
        finally:
            await asyncio.to_thread(service.stop)
        figures.add("collection", "10,000 open invoices, from due to paid", took * WANTED / invoices, "s", at_most=60)
        figures.add("collection", "worker, per invoice", spent / invoices * 1e3, "ms of CPU")
        faults = len(LedgerLooks(deployment.db).faults())
        figures.add("collection", "what does not add up in the books", faults, "", at_most=0)


async def _finalised(deployment: Deployment, invoices: int) -> None:
    """Drafts in the table, their order in the log; returns once the worker has made all of them final."""
    connection = Connection(deployment.settings)
    store = DocumentStore(connection, partitions=deployment.settings.billing_partitions)
    sent = []
    made = _drafts(invoices)
    while drafts := list(islice(made, CHUNK)):
        await asyncio.to_thread(store.insert_drafts, drafts)
        await asyncio.to_thread(store.mark_ordered, [draft.id for draft in drafts])
        for draft in drafts:
            record = Finalisation(document_id=draft.id, series="INV", customer=draft.customer, tick=1)
            sent.append(await deployment.logs.send(FINALISATIONS, None, record.model_dump_json().encode()))
    await deployment.logs.all_stored(sent)
    connection.close()
    await deployment.until(lambda: _count(deployment.db, "number != ''") == invoices)


def _drafts(invoices: int) -> Iterator[Invoice]:
    catalogue = loaded(PLAN)
    (entry,) = catalogue.plans.values()
    for first in range(0, invoices, CHUNK):
        for closed, rows in islice(closes(entry, first), invoices - first):
            for draft in invoice_of(closed, usage_by_meter(rows), catalogue):
                yield draft.model_copy(update={"terms": TERMS})


def _paid(connection: Connection) -> int:
    return _count(connection, "status = 'paid'")


def _count(connection: Connection, condition: str) -> int:
    return int(connection.tuples(f"SELECT count() FROM invoices FINAL WHERE {condition}")[0][0])
