"""What a credit note stands on: the invoice that it corrects, the notes before it, and what its run gave back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from agents.cli.explaining import Counted, close_of
from agents.cli.reading import Reading
from agents.store.frozen_usage import usage_by_meter
from agents.store.looks import StoredInvoice, StoredNote
from agents.topics import CATALOGUE
from pipeline.closing.engines import engine_of
from pipeline.proof.note_evidence import credit_key, key_of
from pipeline.proof.replayed_notes import earlier_than
from schemas.catalogue_entry import Catalogue
from schemas.credit_note import CreditNote
from schemas.customer_state import PeriodClosed
from schemas.evidence import GivenBack
from schemas.invoice import Invoice
from schemas.issued_line import IssuedLine
from schemas.tick import Vector


@dataclass(frozen=True, slots=True)
class Grounds:
    """A note with everything that its amounts follow from."""

    stored: StoredNote
    corrects: StoredInvoice | None
    earlier: tuple[StoredNote, ...]
    closed: PeriodClosed
    catalogue: Catalogue
    given_back: tuple[GivenBack, ...]
    """The lines of its run that gave back of its charges; none of a void."""
    issued: tuple[IssuedLine, ...]
    """What runs before had issued of them."""

    @property
    def counted(self) -> tuple[Counted, ...]:
        """What the lines that gave back usage count, as of the close of the run."""
        note = self.stored.note
        return tuple(counted_by(note, given) for given in self.given_back if given.rated.meter is not None)

    @property
    def invoice(self) -> Invoice | None:
        """The invoice that it corrects."""
        return self.corrects.invoice if self.corrects is not None else None


def counted_by(note: CreditNote, given: GivenBack) -> Counted:
    """What a line that gives back counts."""
    rated = given.rated
    return Counted(note.customer, note.basis, given.subscription, rated.price_version, rated, rated.service)


async def grounds_of(readers: Reading, stored: StoredNote) -> Grounds:
    """Gathers what a note stands on. Raises NotFound where its close is not stored."""
    vector = Vector(ends=stored.note.basis.vector)
    catalogue = await readers.catalogue.as_of(vector.end(CATALOGUE, 0))
    return await asyncio.to_thread(_grounds, readers, stored, catalogue)


def _grounds(readers: Reading, stored: StoredNote, catalogue: Catalogue) -> Grounds:
    note = stored.note
    corrects, earlier = _corrected(readers, note)
    closed = close_of(readers, note.basis)
    given, issued = ((), ()) if note.books_void else _given_back(readers, stored, corrects, closed, catalogue)
    return Grounds(stored, corrects, earlier, closed, catalogue, given, issued)


def _corrected(readers: Reading, note: CreditNote) -> tuple[StoredInvoice | None, tuple[StoredNote, ...]]:
    """The invoice that a note corrects, and the notes of it that were issued before, in order."""
    if note.invoice is None:
        return None, ()
    (invoice,) = readers.looks.documents("document_id = {id:UUID}", {"id": note.invoice})
    others = {found.note.id: found for found in readers.looks.stored_notes_on([note.invoice])}
    before = earlier_than(note, [found.note for found in others.values()])
    return invoice, tuple(others[each.id] for each in before)


def _given_back(
    readers: Reading, stored: StoredNote, corrects: StoredInvoice | None, closed: PeriodClosed, catalogue: Catalogue
) -> tuple[tuple[GivenBack, ...], tuple[IssuedLine, ...]]:
    """The credits of the run, computed again from what its close froze, that belong to the charges on the note."""
    rows = readers.documents.period_usage([closed.close_id])[closed.close_id]
    before = readers.lines.issued([closed]).get(closed.close_id, [])
    runs = engine_of(closed.tick).lines(closed, usage_by_meter(rows), catalogue, before)
    invoice = corrects.invoice if corrects is not None else None
    wanted = {key_of(line, invoice) for line in stored.note.lines}
    given = tuple(
        each
        for line in (line for run in runs for line in run.credits)
        if credit_key(each := GivenBack(
            subscription=line.subscription, number=line.charge.number, entry=line.entry, span=line.span,
            rated=line.rated,
        )) in wanted
    )  # fmt: skip
    return given, tuple(_of_the_same(before, given))


def _of_the_same(issued: list[IssuedLine], given: tuple[GivenBack, ...]) -> Iterator[IssuedLine]:
    """The issued lines of the charges and periods that give back."""
    keys = {(each.subscription, each.rated.charge, each.number, each.rated.period) for each in given}
    yield from (line for line in issued if line.key in keys and not line.interim)
