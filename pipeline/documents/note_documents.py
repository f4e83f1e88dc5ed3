"""Credit notes as documents: what a draft takes back now, what a void books, what stands in a void one's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from pipeline.documents.credit_notes import (
    Creditable,
    CreditableLine,
    CreditedLine,
    Settlement,
    credit_note,
    restore,
    settle,
    void,
)
from pipeline.documents.credit_notes import CreditNote as Amounts
from schemas.credit import CreditUse
from schemas.credit_note import CreditNote, CreditNoteLine, CreditTotals, GrantShare, Settled
from schemas.document_log import DocumentAction
from schemas.identity import derived_id
from schemas.invoice import FINAL, Balance, Invoice
from schemas.money import Currency
from schemas.quantity import ZERO


def creditable(invoice: Invoice) -> Creditable:
    """What credit notes need to know of an invoice."""
    lines = tuple(
        CreditableLine(line.id, line.amount, line.discount, line.taxes, line.tax_behavior == "inclusive")
        for line in invoice.lines
    )
    status = "draft" if invoice.status == "rejected" else invoice.status
    return Creditable(Currency(invoice.currency, invoice.minor_units), status, lines)


def amounts_of(note: CreditNote) -> Amounts:
    """An issued note as later ones take it into account."""
    lines = tuple(
        CreditedLine(line.invoice_line, line.gross, line.discount, line.net)
        for line in note.lines
        if line.invoice_line is not None
    )
    return Amounts(lines, note.totals.net, note.totals.tax, note.totals.tax_by_rate, note.totals.total)


def issued_note(
    draft: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote], run: Invoice | None, set_off: Decimal
) -> CreditNote | None:
    """A draft with what is left to be taken back, its tax, and where its total goes; None if nothing is left.

    `run` is the invoice of the same run while it is a draft, `set_off` what other notes take off it already.
    """
    if invoice is None:
        return _settled(draft.model_copy(update={"status": "issued"}), None, (), run, set_off)
    if invoice.status not in FINAL or invoice.status == "voided":
        return None
    note = taking_back(draft, invoice, earlier)
    return None if note is None else _settled(note, invoice, earlier, run, set_off)


def taking_back(draft: CreditNote, invoice: Invoice, earlier: Sequence[CreditNote]) -> CreditNote | None:
    """A draft with what is left of its lines, discount and tax by cumulative rounding; None if nothing is left."""
    gross = _left(draft, invoice, earlier)
    if not gross:
        return None
    made = credit_note(creditable(invoice), [amounts_of(note) for note in earlier], gross)
    return _with_amounts(draft, made).model_copy(update={"status": "issued", "invoice_number": invoice.number})


def void_note(invoice: Invoice, earlier: Sequence[CreditNote], action: DocumentAction) -> CreditNote:
    """The booking of a void: all that is left. Raises NoteRefused for what cannot be void."""
    made = void(creditable(invoice), [amounts_of(note) for note in earlier], invoice.balance.paid)
    credited = {line.line: line for line in made.lines}
    draft = CreditNote(
        engine=invoice.engine,
        id=str(derived_id("credit note", invoice.id, "void")),
        status="issued",
        number=None,
        customer=invoice.customer,
        currency=invoice.currency,
        minor_units=invoice.minor_units,
        issued_at=action.time,
        invoice=invoice.id,
        invoice_number=invoice.number,
        reason=action.reason,
        seller=invoice.seller,
        buyer=invoice.buyer,
        period=invoice.period,
        notes=invoice.notes,
        lines=tuple(note_line(invoice, line.id, line.amount) for line in invoice.lines if line.id in credited),
        totals=CreditTotals(),
        books_void=True,
        series=invoice.terms.credit_note_series,
        basis=invoice.basis,
    )
    return _settled(_with_amounts(draft, made), invoice, earlier, None, ZERO)


def note_line(invoice: Invoice, line_id: str, gross: Decimal) -> CreditNoteLine:
    """A line that takes back `gross` of a line of an invoice; its discount and tax follow when it is issued."""
    line = next(line for line in invoice.lines if line.id == line_id)
    return CreditNoteLine(
        id=str(derived_id("credit note line", line.id)),
        invoice_line=line.id,
        subscription=line.subscription,
        charge=line.rated.charge,
        name=line.rated.name,
        period=line.rated.period,
        service=line.rated.service,
        asked=gross,
        gross=gross,
        net=gross,
        taxes=line.taxes,
        tax_behavior=line.tax_behavior,
    )


def reissued(voided: Invoice, action: DocumentAction) -> Invoice:
    """The draft that takes the place of a void invoice: the same lines, the customer's details as they are now."""
    lines = tuple(line.model_copy(update={"id": str(derived_id("line again", line.id))}) for line in voided.lines)
    return voided.model_copy(update={
        "id": str(derived_id("invoice again", voided.id)), "status": "draft", "number": None, "replaces": voided.number,
        "lines": lines, "buyer": action.buyer or voided.buyer, "issued_at": action.time, "balance": Balance(),
    })  # fmt: skip


def _left(draft: CreditNote, invoice: Invoice, earlier: Sequence[CreditNote]) -> dict[str, Decimal]:
    """What the draft asks for per line, as far as earlier notes have left it."""
    left = {line.id: line.amount for line in invoice.lines}
    for note in earlier:
        for line in note.lines:
            if line.invoice_line in left:
                left[line.invoice_line] -= line.gross
    wanted: dict[str, Decimal] = {}
    for line in draft.lines:
        if line.invoice_line in left:
            wanted[line.invoice_line] = wanted.get(line.invoice_line, ZERO) + line.gross
    found = {line: min(amount, left[line]) for line, amount in wanted.items()}
    return {line: amount for line, amount in found.items() if amount > 0}


def _with_amounts(draft: CreditNote, made: Amounts) -> CreditNote:
    nothing = made.total - made.total
    credited: Mapping[str | None, CreditedLine] = {line.line: line for line in made.lines}
    lines = []
    for line in draft.lines:
        of = credited.get(line.invoice_line) or CreditedLine("", nothing, nothing, nothing)
        lines.append(line.model_copy(update={"gross": of.gross, "discount": of.discount, "net": of.net}))
    totals = CreditTotals(
        gross=sum((line.gross for line in lines), ZERO),
        discount=sum((line.discount for line in lines), ZERO),
        net=made.net,
        tax=made.tax,
        tax_by_rate=made.tax_by_rate,
        total=made.total,
    )
    return draft.model_copy(update={"lines": tuple(lines), "totals": totals})


def _settled(
    note: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote], run: Invoice | None, taken: Decimal
) -> CreditNote:
    """Where the total goes: against the run's invoice, what is open, credits, then money.

    What is set off stays out of the settlement of the corrected invoice: it was used elsewhere.
    """
    total = note.totals.total
    set_off = min(total, max(ZERO, run.totals.amount_due - taken)) if run is not None else ZERO
    rest = total - set_off
    if invoice is None:
        there = Settlement(ZERO, ZERO, ZERO, rest)  # there is no payment that it could be sent back of
    else:
        balance = invoice.balance
        there = settle(
            rest,
            invoice.totals.total,
            balance.paid + balance.set_off + balance.from_balance + invoice.totals.deducted - invoice.totals.excess,
            invoice.totals.credits_applied,
            before=[_settlement(note.settled) for note in earlier],
            policy=note.settle_by,
        )
    grants = _restored(there.restored, invoice, earlier) if invoice is not None and there.restored else ()
    zero = total - total
    settled = Settled(
        set_off=set_off + zero,
        set_off_against=run.id if run is not None and set_off else None,
        cancelled=there.cancelled + zero,
        restored=there.restored + zero,
        grants=grants,
        refunded=there.refunded + zero,
        kept=there.kept + zero,
    )
    return note.model_copy(update={"settled": settled})


def _settlement(settled: Settled) -> Settlement:
    return Settlement(settled.cancelled, settled.restored, settled.refunded, settled.kept)


def _restored(amount: Decimal, invoice: Invoice, earlier: Sequence[CreditNote]) -> tuple[GrantShare, ...]:
    """What goes back to which grant that paid, the last burnt first."""
    given = [share for note in earlier for share in note.settled.grants]
    uses = [
        CreditUse(
            use.grant, use.treatment, use.used - sum((s.amount for s in given if s.grant == use.grant), ZERO), use.left
        )
        for use in invoice.credits
        if use.treatment == "payment"
    ]
    return tuple(GrantShare(grant=grant, amount=part) for grant, part in restore(amount, uses))
