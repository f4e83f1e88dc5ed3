"""What is announced of a document: CloudEvents whose ids follow from the document and its transition."""

from __future__ import annotations

from typing import Any

from pipeline.books import Change
from schemas.credit_note import CreditNote, CreditNoteEvent
from schemas.identity import derived_id
from schemas.invoice import InvoiceEvent

ONCE = ("finalized", "issued", "voided", "rejected")
"""Transitions that a document has once; others are told apart by the revision."""


def events_of(change: Change) -> tuple[InvoiceEvent | CreditNoteEvent, ...]:
    """The events of a change, in order: each with the whole document as it stands after all of them."""
    return tuple(_event(change, transition) for transition in change.transitions)


def _event(change: Change, transition: str) -> InvoiceEvent | CreditNoteEvent:
    document = change.document
    told: dict[str, Any] = {"subject": document.customer, "time": change.at, "data": document}
    if isinstance(document, CreditNote):
        return CreditNoteEvent(id=str(derived_id("credit note event", document.id, transition)), **told)
    parts = (document.id, transition) if transition in ONCE else (document.id, transition, document.revision)
    kind = f"tally.invoice.{transition}.v1"
    return InvoiceEvent.model_validate({"id": str(derived_id("invoice event", *parts)), "type": kind, **told})
