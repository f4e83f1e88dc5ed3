"""Invoices: frozen usage, as it is stored, becomes rated, numbered, serialised documents; a process per core."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

from agents.bench.catalogue import PLAN, loaded
from agents.bench.figures import Figures
from agents.bench.processes import CORES, peak_mb
from agents.bench.site import Say, Site
from agents.store.frozen_usage import usage_by_meter
from agents.worker import GC_THRESHOLDS
from pipeline.documents.books import Books, SeriesEnd
from pipeline.documents.invoicing import invoice_of
from pipeline.rating.pricing import price_quantity
from schemas.catalogue_entry import Catalogue, PlanEntry
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.document_log import Finalisation
from schemas.identity import canonical_json
from schemas.period import Period
from schemas.price import Graduated
from schemas.tick import Tick, Vector

JUNE = Period(datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))
TICK = Tick(
    number=7, time=datetime(2027, 7, 1, 6, tzinfo=UTC), clock="test",
    vector=Vector(ends={"usage.events": (10,) * 8}),
)  # fmt: skip
CHUNK = 500
WANTED = 100_000
LINES = 5
PRICED = 20_000


async def measure(site: Site, figures: Figures, invoices: int, say: Say) -> None:
    """Figures of the part `rating`."""
    site.gather()
    say(f"rating: {invoices:,} invoices of {LINES} lines, on {len(CORES)} cores")
    await asyncio.to_thread(_measure, figures, invoices)


def _measure(figures: Figures, invoices: int) -> None:
    cpu = 0.0
    documents = size = 0
    peaks: dict[int, float] = {}
    began = time.monotonic()
    with ProcessPoolExecutor(len(CORES), mp_context=get_context("spawn")) as pool:
        for pid, spent, made, written, peak in pool.map(rate, range(0, invoices, CHUNK)):
            cpu, documents, size = cpu + spent, documents + made, size + written
            peaks[pid] = max(peaks.get(pid, 0.0), peak)
    took = time.monotonic() - began
    each = cpu / documents
    figures.add("rating", "CPU per invoice of five lines", each * 1e6, "µs")
    figures.add("rating", "100,000 invoices, 500,000 lines, two cores", each * WANTED / 2, "s of CPU", at_most=60)
    figures.add("rating", "on the wall, processes started and usage made up", took, "s")
    figures.add("rating", "most memory of all processes", sum(peaks.values()), "MB", at_most=1000)
    figures.add("rating", "bytes of a document", size / documents, "B")
    figures.add("rating", "one price of three tiers", _one_price(), "µs", at_most=50)


def rate(first: int) -> tuple[int, float, int, int, float]:
    """Process, CPU seconds, documents, bytes and megabytes of a chunk of closes; making them up is not counted."""
    gc.set_threshold(*GC_THRESHOLDS)
    found = loaded(PLAN)
    (entry,) = found.plans.values()
    made_up = [(made.model_dump_json().encode(), rows) for made, rows in closes(entry, first)]
    before = time.process_time()
    size = 0
    books = Books(series={"INV": SeriesEnd(first)})
    for value, rows in made_up:
        for document in documents_of(value, rows, found, books):
            size += len(document)
    return os.getpid(), time.process_time() - before, len(made_up), size, peak_mb(os.getpid())


def documents_of(value: bytes, rows: Sequence[dict[str, Any]], catalogue: Catalogue, books: Books) -> Iterator[bytes]:
    """The final documents of a close, as they are published."""
    closed = PeriodClosed.model_validate_json(value)
    for draft in invoice_of(closed, usage_by_meter(rows), catalogue):
        record = Finalisation(
            document_id=draft.id, series=draft.terms.series, customer=draft.customer, tick=TICK.number
        )
        books.documents[draft.id] = draft
        final = books.enter(0, record).changes[-1].document
        yield canonical_json(final.model_dump(mode="json"))


def closes(entry: PlanEntry, first: int) -> Iterator[tuple[PeriodClosed, list[dict[str, Any]]]]:
    """A chunk of closes with their frozen usage, made up: the same on every machine."""
    for number in range(first, first + CHUNK):
        customer = f"cust-{number:06d}"
        due = DuePeriod(
            subscription=f"{customer}-mixed", plan=entry.name, plan_version=entry.version, currency="EUR",
            time_zone="UTC", period=JUNE, service=JUNE,
        )  # fmt: skip
        rows = [_row(due, meter, number) for meter in entry.meters]
        yield PeriodClosed(
            close_id=f"00000000-0000-0000-0000-{number:012d}", customer=customer, revision=0, tick=TICK, periods=(due,),
            usage_rows=len(rows), events=sum(row["events"] for row in rows), fingerprint="0",
        ), rows  # fmt: skip


def _row(due: DuePeriod, meter: str, number: int) -> dict[str, Any]:
    start, none = JUNE.start, datetime(1970, 1, 1, tzinfo=UTC)
    return {
        "subscription": due.subscription, "meter": meter, "period_start": start, "period_end": JUNE.end,
        "window_start": none, "window_end": none, "first_at": 0, "k_offset": number, "k_partition": 0, "grp": "[]",
        "shape": "", "value": Decimal(1000 + number * 7919 % 9_000_000), "events": 1000 + number % 5000, "invalid": 0,
    }  # fmt: skip


def _one_price() -> float:
    """Microseconds for a quantity that reaches the last of three tiers."""
    (entry,) = loaded(PLAN).plans.values()
    price = next(card.price for card in entry.plan.rate_cards if isinstance(card.price, Graduated))
    quantity = Decimal("7654321.5")
    before = time.process_time()
    for _ in range(PRICED):
        price_quantity(price, quantity)
    return (time.process_time() - before) / PRICED * 1e6
