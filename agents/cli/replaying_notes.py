"""Replay of credit notes: drafts from their closes, amounts from the invoices that they correct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agents.store.documents import DocumentStore
from agents.store.looks import LookStore, StoredNote
from pipeline.proof.replayed_notes import earlier_than, note_again, unsettled, void_again
from schemas.credit_note import CreditNote
from schemas.invoice import Invoice

Again = Iterator[tuple[StoredNote | None, CreditNote | None, str]]
"""Stored and computed again, and what does not add up."""


class NoteReplay:
    """The stored notes of some closes, with all that they are computed from."""

    def __init__(self, looks: LookStore, documents: DocumentStore, close_ids: Sequence[str]) -> None:
        self._stored: dict[str, list[StoredNote]] = {}
        for found in looks.notes_of(close_ids):
            self._stored.setdefault(found.note.basis.close_id, []).append(found)
        corrected = sorted({n.note.invoice for notes in self._stored.values() for n in notes if n.note.invoice})
        known = documents.documents(corrected)
        self._invoices: Mapping[str, Invoice] = {
            document_id: document for document_id, document in known.items() if isinstance(document, Invoice)
        }
        self._notes = looks.notes_on(corrected)

    def of(self, close_id: str, drafts: Sequence[CreditNote]) -> Again:
        """Every note of a close, stored and computed again; one of both may be missing."""
        again = {draft.id: draft for draft in drafts}
        stored = {found.note.id: found for found in self._stored.get(close_id, ())}
        for document_id in sorted(again.keys() | stored.keys()):
            found, draft = stored.get(document_id), again.get(document_id)
            if found is None:
                yield None, draft, ""
            else:
                yield found, self._again(found.note, draft), unsettled(found.note)

    def _again(self, note: CreditNote, draft: CreditNote | None) -> CreditNote | None:
        invoice = self._invoices.get(note.invoice) if note.invoice is not None else None
        earlier = earlier_than(note, self._notes)
        if note.books_void:
            return None if invoice is None else void_again(note, invoice, earlier)
        return None if draft is None else note_again(draft, note, invoice, earlier)
