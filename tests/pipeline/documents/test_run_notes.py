"""rating.md §5 and §8: what a run gives back is a credit note of the invoice that billed it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from pipeline.closing.run_lines import RunLines, run_lines
from pipeline.documents.books import Books, Document
from pipeline.documents.invoicing import invoices_of
from pipeline.documents.run_notes import BilledLine, credited, notes_of
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import Catalogue, IssuerEntry, MeterEntry, PlanEntry, catalogue_of
from schemas.credit_note import CreditNote
from schemas.customer import Customer
from schemas.customer_state import DueCharge, DuePeriod, OneOff, PeriodClosed
from schemas.document_log import Finalisation
from schemas.invoice import Invoice
from schemas.issued_line import IssuedLine
from schemas.issuer import Issuer
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tax import TaxRate
from schemas.tick import Tick, Vector

D = Decimal
JUNE = Period(datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))
CUT = Period(JUNE.start, datetime(2027, 6, 16, tzinfo=UTC))
CALLS = Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count"})
VAT = TaxRate.model_validate({"id": "vat", "percentages": [{"percentage": "21"}]})
PLAN = PlanEntry.of(
    Plan.model_validate({
        "id": "p", "currency": "EUR", "tax_rates": ["vat"], "on_cancel": "refund",
        "rate_cards": [
            {"id": "fee", "timing": "advance", "price": {"model": "flat", "amount": "60.00"}},
            {"id": "use", "meter": "calls", "price": {"model": "per_unit", "unit_price": "0.10"}},
        ],
    }),
    {"calls": MeterEntry.of(CALLS).version}, [VAT],
)  # fmt: skip
CATALOGUE: Catalogue = catalogue_of([MeterEntry.of(CALLS), PLAN, IssuerEntry.of(Issuer(name="Seller"))])


def due(service: Period, *cards: str, rerates: bool = False) -> DuePeriod:
    charges = tuple(DueCharge(card=card) for card in cards)
    return DuePeriod(
        subscription="s", plan="p", plan_version=PLAN.version, currency="EUR", time_zone="UTC", period=JUNE,
        service=service, charges=charges, rerates=rerates,
    )  # fmt: skip


def closed(tick: int, *dues: DuePeriod, one_offs: tuple[OneOff, ...] = ()) -> PeriodClosed:
    time = datetime(2027, 7, tick, 6, tzinfo=UTC)
    return PeriodClosed(
        close_id=f"close {tick}", customer="acme", revision=0, tick=Tick(number=tick, time=time, clock="test",
        vector=Vector()), follows=tick - 1, periods=dues, one_offs=one_offs, record=Customer(name="Acme SA"),
        usage_rows=0, events=0, fingerprint="0",
    )  # fmt: skip


def used(calls: int, service: Period = JUNE) -> dict[tuple[str, str, Period], list[Usage]]:
    return {("s", "calls", service): [Usage((), D(calls), calls)]}


def run(
    of: PeriodClosed, calls: int, issued: list[IssuedLine], billed: tuple[BilledLine, ...] = ()
) -> tuple[tuple[RunLines, ...], list[Document]]:
    found = run_lines(of, used(calls), CATALOGUE, issued)
    invoices = invoices_of(of, found, CATALOGUE)
    return found, [*notes_of(of, found, CATALOGUE, invoices, billed), *invoices]


def lines_of(invoice: Document) -> tuple[BilledLine, ...]:
    assert isinstance(invoice, Invoice)
    return tuple(BilledLine(invoice.id, line) for line in invoice.lines)


def test_a_service_that_ends_early_gives_back_the_rest_of_an_advance_fee_on_a_note_of_its_invoice() -> None:
    found, (original,) = run(closed(1, due(JUNE, "fee")), 0, [])
    issued = [line.issued() for line in found[0].all]
    _, documents = run(closed(2, due(CUT, "fee", rerates=True), due(JUNE, "use")), 100, issued, lines_of(original))
    note, invoice = documents
    assert note.kind == "credit_note"
    (line,) = note.lines
    assert (note.invoice, line.invoice_line, line.gross) == (original.id, original.lines[0].id, D("30.00"))
    assert (note.seller and note.seller.name, note.buyer and note.buyer.name) == ("Seller", "Acme SA")
    assert (note.run_invoice, note.settle_by) == (invoice.id, "refund")
    assert line.service == Period(CUT.end, JUNE.end)


def test_late_usage_that_lowers_a_quantity_is_given_back_of_the_newest_line_first() -> None:
    first, (one,) = run(closed(1, due(JUNE, "use")), 100, [])
    issued = [line.issued() for line in first[0].all]
    second, (two,) = run(closed(2, due(JUNE, "use", rerates=True)), 130, issued, lines_of(one))
    assert two.kind == "invoice"
    assert two.totals.subtotal == D("3.00")
    issued += [line.issued() for line in second[0].all]
    billed = (*lines_of(one), *lines_of(two))
    _, notes = run(closed(3, due(JUNE, "use", rerates=True)), 50, issued, billed)
    assert [(note.kind, note.totals.gross) for note in notes if note.kind == "credit_note"] == [  # type: ignore[union-attr]
        ("credit_note", D("3.00")), ("credit_note", D("5.00")),
    ]  # fmt: skip
    asked = {(two.id, two.lines[0].id): D("3.00"), (one.id, one.lines[0].id): D("5.00")}
    assert [each.left for each in credited(billed, asked)] == [D("5.00"), D("0.00")]


def test_goodwill_corrects_no_invoice_and_has_its_own_tax() -> None:
    goodwill = OneOff(
        id="sorry", name="Sorry", amount=D("-10.00"), currency="EUR", at=datetime(2027, 7, 1, tzinfo=UTC),
        plan=("p", PLAN.version), alone=True,
    )  # fmt: skip
    _, (note,) = run(closed(1, one_offs=(goodwill,)), 0, [])
    assert note.kind == "credit_note"
    assert (note.invoice, note.totals.net, note.totals.tax, note.totals.total) == (
        None, D("10.00"), D("2.10"), D("12.10"),
    )  # fmt: skip
    books = Books(documents={note.id: note})
    (change,) = books.enter(0, Finalisation(document_id=note.id, series="CN", customer="acme", tick=1)).changes
    assert isinstance(change.document, CreditNote)
    settled = change.document.settled  # there is no payment of it that could be sent back: the next invoice uses it
    assert (change.document.number, settled.kept, settled.refunded) == ("CN-000001", D("12.10"), 0)
