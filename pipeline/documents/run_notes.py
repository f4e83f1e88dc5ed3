"""The credits of a run become credit notes of the invoices that billed what is given back. Source: rating.md §5, §8.

A draft says how much of which line; how much tax that is, and where the money goes, follows when it is issued.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.closing.run_lines import RunLine, RunLines
from pipeline.documents.document_keys import document_id
from pipeline.documents.invoicing import basis_of, exemption_notes
from pipeline.rating.tax import taxes_at
from pipeline.rating.totals import Line, totals
from schemas.catalogue_entry import Catalogue
from schemas.credit_note import CreditNote, CreditNoteLine, CreditTotals, SettleBy
from schemas.customer_state import PeriodClosed
from schemas.identity import canonical_json, derived_id
from schemas.invoice import Invoice, InvoiceLine
from schemas.party import buyer_of, seller_of
from schemas.period import Period
from schemas.quantity import ZERO

REASON = "What is owed for this period has become less than was billed."
GOODWILL = "Credited."


@dataclass(frozen=True, slots=True)
class BilledLine:
    """A line of an earlier invoice of the customer, and what drafts of notes have asked back of it so far."""

    invoice: str
    line: InvoiceLine
    credited: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        """What can still be given back."""
        return self.line.amount - self.credited


Key = tuple[object, ...]


def notes_of(
    closed: PeriodClosed,
    runs: Sequence[RunLines],
    catalogue: Catalogue,
    invoices: Sequence[Invoice],
    billed: Sequence[BilledLine],
) -> tuple[CreditNote, ...]:
    """The draft notes of a run: one per invoice that it corrects, and one for what no invoice billed.

    `invoices` are those of the same run, `billed` all lines of earlier ones, in their order.
    """
    left = {(each.invoice, each.line.id): each.left for each in billed}
    by_key: dict[Key, list[BilledLine]] = {}
    for each in billed:
        by_key.setdefault(_key_of(each.line), []).append(each)
    notes: list[CreditNote] = []
    for run in runs:
        parts: dict[str | None, dict[str, CreditNoteLine]] = {}
        for line in run.credits:
            for invoice, part in _parts(line, by_key.get(_key(line), ()), left, closed):
                found = parts.setdefault(invoice, {})
                place = part.invoice_line or part.id
                found[place] = _together(found.get(place), part)
        set_off = _run_invoice(closed, run, invoices)
        for invoice, lines in parts.items():
            notes.append(_note(closed, run, catalogue, invoice, list(lines.values()), set_off))
    return tuple(notes)


def _key(line: RunLine) -> Key:
    return line.subscription, line.charge.card, line.charge.number, line.period, _shown(line.rated.kind), _dims(line)


def _key_of(line: InvoiceLine) -> Key:
    rated = line.rated
    dims = tuple(sorted(rated.dimensions.items()))
    return line.subscription, rated.charge, line.charge_number, rated.period, _shown(rated.kind), dims


def _dims(line: RunLine) -> tuple[tuple[str, str | None], ...]:
    return tuple(sorted(line.rated.dimensions.items()))


def _shown(kind: str) -> str:
    """What is given back of a top-up was billed as one."""
    return "top_up" if kind == "top_up" else ""


def _parts(
    line: RunLine, candidates: Sequence[BilledLine], left: dict[tuple[str, str], Decimal], closed: PeriodClosed
) -> Iterator[tuple[str | None, CreditNoteLine]]:
    """A credit spread over the lines that billed it, the newest first; the rest, if any, corrects no invoice."""
    rest = -line.amount
    for each in reversed(candidates):
        place = (each.invoice, each.line.id)
        part = min(rest, left[place])
        if part > 0:
            left[place] -= part
            rest -= part
            yield each.invoice, _note_line(line, closed, part, each)
    if rest:
        yield None, _note_line(line, closed, rest, None)


def _together(one: CreditNoteLine | None, other: CreditNoteLine) -> CreditNoteLine:
    """What is given back of one line, in one line."""
    if one is None:
        return other
    gross = one.gross + other.gross
    return one.model_copy(update={"asked": gross, "gross": gross, "net": gross})


def _note_line(line: RunLine, closed: PeriodClosed, gross: Decimal, billed: BilledLine | None) -> CreditNoteLine:
    taxes = taxes_at(line.tax_rates, line.known_rates, line.tax_point, line.time_zone)
    behavior = "inclusive" if line.inclusive else "exclusive"
    original = billed.line if billed is not None else None
    parts = (closed.close_id, line.subscription, line.charge.card, line.charge.number, line.period.start.isoformat(),
             canonical_json(dict(line.rated.dimensions)).decode(), line.rated.kind, line.entry)  # fmt: skip
    return CreditNoteLine(
        id=str(derived_id("credit note line", *parts, "" if original is None else original.id)),
        invoice_line=None if original is None else original.id,
        subscription=line.subscription,
        charge=line.rated.charge,
        name=line.rated.name,
        period=line.period,
        service=line.span,
        asked=gross,
        gross=gross,
        net=gross,
        taxes=taxes if original is None else original.taxes,
        tax_behavior=behavior if original is None else original.tax_behavior,
        late=line.late,
        rated=line.rated if line.rated.kind != "fee" else None,
    )


def _run_invoice(closed: PeriodClosed, run: RunLines, invoices: Sequence[Invoice]) -> str | None:
    """The invoice of the same run: of the same group, else any in the currency."""
    own = document_id(closed.customer, run.money.code, closed.tick.number, group=run.group, revision=closed.revision)
    ids = [invoice.id for invoice in invoices if invoice.currency == run.money.code]
    return own if own in ids else next(iter(ids), None)


def _note(
    closed: PeriodClosed,
    run: RunLines,
    catalogue: Catalogue,
    invoice: str | None,
    lines: Sequence[CreditNoteLine],
    run_invoice: str | None,
) -> CreditNote:
    found = totals([Line(line.charge, line.gross, line.taxes, line.tax_behavior == "inclusive") for line in lines],
                   run.money, exemption=closed.record.exemption if invoice is None else None)  # fmt: skip
    group = run.group if invoice is None else canonical_json([run.group, invoice]).decode()
    shown = tuple(
        line.model_copy(update={"net": part.net, "taxes": part.taxes if invoice is None else line.taxes})
        for line, part in zip(lines, found.lines, strict=True)
    )
    return CreditNote(
        id=document_id(closed.customer, run.money.code, closed.tick.number, "credit_note", group=group,
                       revision=closed.revision),
        status="draft",
        number=None,
        customer=closed.customer,
        currency=run.money.code,
        minor_units=run.money.minor_units,
        issued_at=closed.tick.time,
        invoice=invoice,
        reason=GOODWILL if invoice is None else REASON,
        seller=seller_of(catalogue.issuer),
        buyer=buyer_of(closed.record, closed.customer),
        period=Period(min(line.service.start for line in lines), max(line.service.end for line in lines)),
        notes=exemption_notes(found.tax_by_rate, catalogue.issuer),
        lines=shown,
        totals=CreditTotals(gross=found.subtotal, discount=found.discount_total, net=found.net, tax=found.tax,
                            tax_by_rate=found.tax_by_rate, total=found.total),
        settle_by=_settle_by(closed, run, catalogue),
        series=catalogue.issuer.credit_note_series,
        run_invoice=run_invoice,
        basis=basis_of(closed),
        revision=closed.tick.number,
    )  # fmt: skip


def _settle_by(closed: PeriodClosed, run: RunLines, catalogue: Catalogue) -> SettleBy:
    """Out, if a plan refunds what a cancellation gives back; else kept for the next invoice."""
    plans = {(line.plan, line.plan_version) for line in run.credits}
    refunds = [entry.plan.on_cancel == "refund" for each in plans if (entry := catalogue.plan(*each)) is not None]
    return "refund" if refunds and all(refunds) else "balance"


def credited(billed: Sequence[BilledLine], asked: Mapping[tuple[str, str], Decimal]) -> tuple[BilledLine, ...]:
    """Lines with what earlier notes asked back of them, by (invoice, line)."""
    return tuple(replace(each, credited=asked.get((each.invoice, each.line.id), ZERO)) for each in billed)
