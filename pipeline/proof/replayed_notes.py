"""A credit note computed again: from its draft, the invoice that it corrects, and the notes before it.

Lines, discount and tax follow from these. Its number, its date and where its total went follow from its place in
billing.finalisations and from what was paid by then: they are taken as they were entered, and must add up.
Source: rating.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.documents.note_documents import note_line, taking_back
from schemas.credit_note import CreditNote, CreditTotals
from schemas.invoice import Invoice

OF_THE_LOG = ("status", "number", "invoice_number", "issued_at", "settled", "held", "revision")


def note_again(
    draft: CreditNote, entered: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote]
) -> CreditNote:
    """The note that a draft becomes in the place of `entered`; the draft itself where it is one still."""
    if entered.status == "draft":
        return draft
    made = draft if invoice is None else taking_back(draft, _as_it_was(invoice), earlier)
    return _entered(made or draft, entered)


def void_again(entered: CreditNote, invoice: Invoice, earlier: Sequence[CreditNote]) -> CreditNote:
    """The booking of a void: all that the notes before it have left of the invoice."""
    lines = tuple(note_line(invoice, line.id, line.amount) for line in invoice.lines)
    asked = entered.model_copy(update={"lines": lines, "totals": CreditTotals()})
    made = taking_back(asked, _as_it_was(invoice), earlier)
    if made is None:
        return entered.model_copy(update={"lines": (), "totals": CreditTotals()})
    left = tuple(line for line in made.lines if line.gross)
    return _entered(made.model_copy(update={"lines": left}), entered)


def unsettled(note: CreditNote) -> str:
    """Why the parts of a settlement are not its total; empty if they are."""
    settled = note.settled
    parts = settled.set_off + settled.cancelled + settled.restored + settled.refunded + settled.kept
    if note.status == "draft" or parts == note.totals.total:
        return ""
    return f"settled: {parts:f} of {note.totals.total:f}"


def earlier_than(note: CreditNote, notes: Sequence[CreditNote]) -> list[CreditNote]:
    """The issued notes of the same invoice before one, in order."""
    before = [each for each in notes if each.invoice == note.invoice and each.revision < note.revision]
    return sorted((each for each in before if each.status == "issued"), key=lambda each: each.revision)


def _as_it_was(invoice: Invoice) -> Invoice:
    """Its status then: what became of it later is no matter of the note."""
    return invoice.model_copy(update={"status": "open"})


def _entered(made: CreditNote, entered: CreditNote) -> CreditNote:
    """With what the note's place in the log makes of it."""
    return made.model_copy(update={name: getattr(entered, name) for name in OF_THE_LOG})
