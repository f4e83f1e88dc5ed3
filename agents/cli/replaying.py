"""Replay: closes computed again from their vectors and documents from their closes, compared byte for byte.

Nothing is stored or published; the computation is the one that closed and invoiced, not a second one. Source:
design.md §6.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from agents.catalogue import CatalogueLog
from agents.cli.replaying_notes import NoteReplay
from agents.freezing import Frozen, freeze, lines_of, usage_of
from agents.late_usage import looking_back
from agents.store.billing import PERIOD_USAGE_COLUMNS, BillingStore
from agents.store.documents import DocumentStore
from agents.store.looks import Gone, LookStore, StoredClose, StoredInvoice, StoredNote
from agents.store.run_lines import RunLineStore
from agents.topics import CATALOGUE
from pipeline.closing.engines import engine_of
from pipeline.closing.run_lines import RunLines
from pipeline.closing.whatif import last_closed, moved, with_candidate
from pipeline.documents.books import Document, as_entered
from pipeline.documents.invoicing import Terms, terms_of
from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry
from schemas.credit_note import CreditNote
from schemas.customer_state import BillingRun, PeriodClosed
from schemas.identity import canonical_json
from schemas.invoice import Invoice
from schemas.issued_line import IssuedLine
from schemas.period import Period

KEY = ("subscription", "meter", "meter_version", "period_start", "period_end", "grp", "shape",
       "window_start", "first_at", "k_offset", "k_partition")  # fmt: skip
VALUES = ("events", "invalid", "value", "fingerprint")
ABSENT = object()
Made = tuple[PeriodClosed, tuple[RunLines, ...], tuple[Invoice, ...]]
"""A close computed again, with its lines and its invoices."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a replay of one close or document found; identical if nothing differs."""

    kind: str
    name: str
    customer: str
    tick: int
    differences: tuple[str, ...] = ()
    note: str = ""
    """What could not be computed from raw events any more, and was taken as the close froze it."""

    @property
    def identical(self) -> bool:
        """Whether the bytes are the same."""
        return not self.differences


class Replayer:
    """Computes closes and their documents again."""

    def __init__(
        self,
        billing: BillingStore,
        documents: DocumentStore,
        lines: RunLineStore,
        looks: LookStore,
        catalogue: CatalogueLog,
    ) -> None:
        self._billing, self._documents, self._lines = billing, documents, lines
        self._looks, self._catalogue = looks, catalogue

    async def replay(self, close_ids: Sequence[str] | None = None, span: Period | None = None) -> tuple[Verdict, ...]:
        """A verdict per close, then one per document of it; of all closes for None, of those of a span."""
        verdicts: list[Verdict] = []
        closes = await asyncio.to_thread(self._looks.closes, close_ids, span)
        for _, group in groupby(closes, key=lambda close: (close.run.tick, close.run.revision)):
            verdicts += await self._tick(tuple(group))
        return tuple(verdicts)

    async def _tick(self, closes: Sequence[StoredClose]) -> list[Verdict]:
        """The closes of one tick together: one query per meter and span answers for all of them."""
        tick, revision = closes[0].run.tick, closes[0].run.revision
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        made = [close.run for close in closes]
        runs = await asyncio.to_thread(looking_back, self._billing.late_usage, tick, made, catalogue)
        usage = await asyncio.to_thread(usage_of, self._billing, tick, revision, runs, catalogue)
        frozen = [freeze(run, catalogue, usage) for run in runs]
        ids = [found.closed.close_id for found in frozen]
        rows = await asyncio.to_thread(self._documents.period_usage, ids)
        issued = await asyncio.to_thread(self._lines.issued, [found.closed for found in frozen])
        with_grants = [found.closed for found in frozen if found.closed.grants]
        used = await asyncio.to_thread(self._documents.used_of_grants, with_grants)
        interims = await asyncio.to_thread(self._documents.interims, [found.closed for found in frozen])
        stored = _by_close(await asyncio.to_thread(self._looks.documents_of, ids))
        verdicts: list[Verdict] = []
        made_of: list[Made] = []
        gone = await asyncio.to_thread(self._looks.gone)
        for close, again in zip(closes, frozen, strict=True):
            close_id, customer = again.closed.close_id, again.closed.customer
            found, note = as_kept(close, again, rows[close_id], gone)
            differences = (*_record_differences(close.record, found), *_row_differences(rows[close_id], found))
            verdicts.append(Verdict("close", close_id, customer, tick.number, tuple(differences), note))
            lines = lines_of(found, catalogue, issued.get(close_id, ()))
            terms = terms_of(found.closed, used, interims)
            drafts = engine_of(tick).invoices(found.closed, lines, catalogue, terms)
            verdicts += _documents(drafts, stored.get(close_id, ()))
            made_of.append((found.closed, lines, drafts))
        verdicts += await asyncio.to_thread(self._notes, made_of, catalogue)
        return verdicts

    def _notes(self, made_of: Sequence[Made], catalogue: Catalogue) -> list[Verdict]:
        """A verdict per credit note of closes of one tick."""
        giving = [closed for closed, lines, _ in made_of if any(run.credits for run in lines)]
        billed = self._documents.billed_lines(giving)
        replay = NoteReplay(self._looks, self._documents, [closed.close_id for closed, _, _ in made_of])
        found: list[Verdict] = []
        for closed, lines, drafts in made_of:
            made = engine_of(closed.tick).notes(closed, lines, catalogue, drafts, billed.get(closed.customer, ()))
            found += [_note(*each) for each in replay.of(closed.close_id, made)]
        return found

    async def shadow(
        self, candidate: PlanEntry, meters: Sequence[MeterEntry], plans: frozenset[str], span: Period | None
    ) -> tuple[list[Invoice], list[Invoice]]:
        """What the closed periods on `plans` come to now, as they are and with the candidate instead.

        Of a period that was closed several times the last close counts: it knows all its usage.
        """
        before, after = list[Invoice](), list[Invoice]()
        memory = Memory(), Memory()
        closes = await asyncio.to_thread(self._looks.closes, None, span)
        last = last_closed([close.closed_run(span) for close in closes], plans)
        for _, group in groupby(last, key=lambda run: (run.tick, run.revision)):
            billed, moved = await self._moved(tuple(group), candidate, meters, memory)
            before += billed
            after += moved
        return before, after

    async def _moved(
        self,
        runs: Sequence[BillingRun],
        candidate: PlanEntry,
        meters: Sequence[MeterEntry],
        memory: tuple[Memory, Memory],
    ) -> tuple[list[Invoice], list[Invoice]]:
        """Documents of one tick's runs, as they are and moved to the candidate."""
        tick, revision = runs[0].tick, runs[0].revision
        known = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        catalogue = with_candidate(known, candidate, meters)
        others = [moved(run, candidate, catalogue) for run in runs]
        usage = await asyncio.to_thread(usage_of, self._billing, tick, revision, [*runs, *others], catalogue)
        return (
            [draft for run in runs for draft in memory[0].drafts(freeze(run, catalogue, usage), catalogue)],
            [draft for run in others for draft in memory[1].drafts(freeze(run, catalogue, usage), catalogue)],
        )


class Memory:
    """What runs computed anew have billed: commitments of later ones count it."""

    def __init__(self) -> None:
        self._issued: dict[str, list[IssuedLine]] = {}

    def drafts(self, frozen: Frozen, catalogue: Catalogue) -> tuple[Invoice, ...]:
        """The documents of the next run of its customer."""
        closed, issued = frozen.closed, self._issued.setdefault(frozen.closed.customer, [])
        lines = lines_of(frozen, catalogue, issued)
        issued += [line.issued() for run in lines for line in run.all]
        return engine_of(closed.tick).invoices(closed, lines, catalogue, Terms(discounts=closed.discounts))


def drafts_of(
    frozen: Frozen, catalogue: Catalogue, issued: Sequence[IssuedLine] = (), terms: Terms | None = None
) -> tuple[Invoice, ...]:
    """The documents of a close, from usage that was just computed and the lines issued before it.

    Without `terms` with its coupons, but without its credits: what was drawn of them depends on documents before it.
    """
    lines = lines_of(frozen, catalogue, issued)
    engine = engine_of(frozen.closed.tick)
    return engine.invoices(frozen.closed, lines, catalogue, terms or Terms(discounts=frozen.closed.discounts))


def as_kept(close: StoredClose, again: Frozen, rows: Sequence[dict[str, Any]], gone: Gone) -> tuple[Frozen, str]:
    """A close as it can be computed with the raw usage that is still kept, and what had to be taken as it was frozen.

    Behind a retirement that is all of it. Where subjects were erased it is the fingerprints, which hash the bytes that
    are gone: counts and values are still computed and compared.
    """
    if any(due.service.start < gone.before for due in close.run.periods):
        frozen = tuple(tuple(row[name] for name in PERIOD_USAGE_COLUMNS) for row in rows)
        return Frozen(PeriodClosed.model_validate_json(close.record), frozen), "frozen: its raw usage was retired"
    if again.closed.customer not in gone.customers:
        return again, ""
    place = PERIOD_USAGE_COLUMNS.index("fingerprint")
    held = {tuple(row[name] for name in KEY): row["fingerprint"] for row in rows}
    prints = [held.get(tuple(row[name] for name in KEY), row["fingerprint"]) for row in again.named_rows()]
    same = tuple((*row[:place], found, *row[place + 1 :]) for row, found in zip(again.rows, prints, strict=True))
    stated = PeriodClosed.model_validate_json(close.record).fingerprint
    return Frozen(again.closed.model_copy(update={"fingerprint": stated}), same), "fingerprints of erased subjects"


def _by_close(documents: Sequence[StoredInvoice]) -> Mapping[str, Sequence[StoredInvoice]]:
    found: dict[str, list[StoredInvoice]] = {}
    for document in documents:
        found.setdefault(document.invoice.basis.close_id, []).append(document)
    return found


def _record_differences(record: str, frozen: Frozen) -> Iterator[str]:
    again = frozen.closed.model_dump_json()
    yield from (f"record: {said}" for said in text_differences(record, again))


def _row_differences(stored: Sequence[dict[str, Any]], frozen: Frozen) -> Iterator[str]:
    """Frozen usage that is not what the raw events give now as of the vector."""
    before, after = ({tuple(row[name] for name in KEY): row for row in rows} for rows in (stored, frozen.named_rows()))
    for key in sorted(before.keys() | after.keys(), key=str):
        said, now = ([row[name] for name in VALUES] if row else None for row in (before.get(key), after.get(key)))
        if said != now:
            yield f"usage of {key[1]} {key[5]}: stored {_shown(said)}, replayed {_shown(now)}"


def _shown(values: list[Any] | None) -> str:
    return "nothing" if values is None else ", ".join(f"{n} {v}" for n, v in zip(VALUES, values, strict=True))


def _documents(drafts: Sequence[Invoice], stored: Sequence[StoredInvoice]) -> Iterator[Verdict]:
    """The documents of a close; one that stands in the place of a void one follows from that, not from the close."""
    again = {draft.id: draft for draft in drafts}
    held = {document.invoice.id: document for document in stored if document.invoice.replaces is None}
    for document_id in sorted(again.keys() | held.keys()):
        yield _document(held.get(document_id), again.get(document_id))


def _document(stored: StoredInvoice | None, again: Invoice | None) -> Verdict:
    known = stored.invoice if stored is not None else again
    assert known is not None
    name = known.number or f"draft {known.id}"
    if stored is None or again is None:
        missing = "is not stored" if stored is None else "does not follow from its close"
        return Verdict(known.kind, name, known.customer, known.basis.tick, (missing,))
    replayed = as_entered(again, known)
    return Verdict(known.kind, name, known.customer, known.basis.tick, tuple(_byte_differences(stored, replayed)))


def _note(stored: StoredNote | None, again: CreditNote | None, unsettled: str) -> Verdict:
    known = stored.note if stored is not None else again
    assert known is not None
    name = known.number or f"draft {known.id}"
    if stored is None or again is None:
        missing = "is not stored" if stored is None else "does not follow from its close"
        return Verdict(known.kind, name, known.customer, known.basis.tick, (missing,))
    differences = (*_byte_differences(stored, again), *([unsettled] if unsettled else []))
    return Verdict(known.kind, name, known.customer, known.basis.tick, differences)


def _byte_differences(stored: StoredInvoice | StoredNote, replayed: Document) -> Iterator[str]:
    yield from text_differences(stored.document, canonical_json(replayed.model_dump(mode="json")).decode())
    if replayed.sha256() != stored.sha256:
        yield f"sha256: stored {stored.sha256}, replayed {replayed.sha256()}"


def text_differences(stored: str, again: str) -> Iterator[str]:
    """Where two JSON texts differ, by path; nothing only if they are the same bytes."""
    if stored == again:
        return
    found = list(json_differences(json.loads(stored), json.loads(again)))
    yield from found or ["the same content in other bytes: order of keys, spaces or spelling of numbers"]


def json_differences(stored: Any, again: Any, path: str = "") -> Iterator[str]:
    """Where two JSON documents differ, by path."""
    if isinstance(stored, dict) and isinstance(again, dict):
        for name in sorted(stored.keys() | again.keys()):
            yield from json_differences(stored.get(name, ABSENT), again.get(name, ABSENT), f"{path}.{name}".lstrip("."))
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for index, (one, other) in enumerate(zip(stored, again, strict=True)):
            yield from json_differences(one, other, f"{path}[{index}]")
    elif stored != again:
        yield f"{path}: stored {_text(stored)}, replayed {_text(again)}"


def _text(value: Any) -> str:
    return "nothing" if value is ABSENT else json.dumps(value)
