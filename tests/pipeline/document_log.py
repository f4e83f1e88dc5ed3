"""Documents as a test needs them: an invoice of a few lines with tax, and the log that they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from pipeline.documents.books import Books, Document, Entered
from pipeline.documents.invoicing import invoice_totals
from pipeline.documents.note_documents import note_line
from pipeline.rating.totals import Line, totals
from schemas.credit import CreditGrant
from schemas.credit_note import CreditNote, CreditTotals
from schemas.discount import Discount
from schemas.document_log import ActionKind, CreditAction, DocumentAction, Finalisation, LogRecord
from schemas.invoice import Basis, DocumentTerms, Invoice, InvoiceLine
from schemas.money import currency
from schemas.period import Period
from schemas.posting import Book, Transaction, balance
from schemas.price import Flat
from schemas.rated_line import Kind, RatedLine
from schemas.tax import AppliedTax
from schemas.wallet import WalletEntry

D = Decimal
EUR = currency("EUR")
VAT = AppliedTax("vat", D(21))
JUNE = Period(datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))


def day(number: int) -> datetime:
    """A day of July 2027, 06:00."""
    return datetime(2027, 7, number, 6, tzinfo=UTC)


FIRST, SECOND, NINTH = day(1), day(2), day(9)


def basis(tick: int) -> Basis:
    """What documents of a tick rest on."""
    return Basis(
        tick=tick, clock="test", close_id="close", revision=0, events=0, usage_fingerprint="0", vector={}
    )  # fmt: skip


def rated(charge: str, amount: Decimal, kind: Kind = "fee") -> RatedLine:
    """A fee, if nothing else is said."""
    price = Flat(model="flat", amount=amount)
    return RatedLine(
        charge=charge, name=charge, kind=kind, meter=None, meter_version=None, aggregation=None, price_version="1",
        period=JUNE, service=JUNE, time_zone="UTC", currency="EUR", minor_units=2, price=price, gross=amount,
        amount_exact=amount, amount=amount,
    )  # fmt: skip


def invoice(
    name: str = "a", lines: Mapping[str, str] | None = None, *, tick: int = 1, at: datetime = FIRST,
    customer: str = "acme", discounts: Iterable[Discount] = (), grants: Iterable[CreditGrant] = (),
    held: tuple[str, ...] = (), sells: bool = False, taxes: tuple[AppliedTax, ...] = (VAT,),
) -> Invoice:  # fmt: skip
    """A draft of `name` with lines of charge -> amount at 21 % tax."""
    amounts = {charge: D(amount) for charge, amount in (lines or {"fee": "120.00"}).items()}
    found = totals(
        [Line(charge, amount, taxes, moment=JUNE.last_moment) for charge, amount in amounts.items()], EUR,
        discounts=tuple(discounts), grants=tuple(grants),
    )  # fmt: skip
    made = tuple(
        InvoiceLine(
            id=f"{name}/{part.charge}", subscription="s", plan="p", plan_version="1",
            rated=rated(part.charge, part.amount, "credits" if sells else "fee"), amount=part.amount,
            discounts=part.discounts, discount=part.discount, net=part.net, taxes=part.taxes, tax=part.tax,
        )
        for part in found.lines
    )  # fmt: skip
    return Invoice(
        id=name, status="draft", number=None, customer=customer, currency="EUR", minor_units=2, issued_at=at,
        period=JUNE, lines=made, totals=invoice_totals(found), credits=found.credits, basis=basis(tick),
        terms=DocumentTerms(), held=held, revision=tick,
    )  # fmt: skip


def note(
    name: str, corrected: Invoice, gross: Mapping[str, str], *, run: str | None = None, tick: int = 2,
    at: datetime = SECOND, refund: bool = False,
) -> CreditNote:  # fmt: skip
    """A draft note that takes back charge -> gross of an invoice."""
    ids = {line.rated.charge: line.id for line in corrected.lines}
    lines = tuple(note_line(corrected, ids[charge], D(amount)) for charge, amount in gross.items())
    return CreditNote(
        id=name, status="draft", number=None, customer=corrected.customer, currency="EUR", minor_units=2, issued_at=at,
        invoice=corrected.id, reason="a test", period=JUNE, lines=lines, totals=CreditTotals(), run_invoice=run,
        basis=basis(tick), settle_by="refund" if refund else "balance", revision=tick,
    )  # fmt: skip


class Log:
    """billing.finalisations in a test: records entered one after the other."""

    def __init__(self, *drafts: Document) -> None:
        self.books = Books(documents={draft.id: draft for draft in drafts})
        self.offset = 0
        self.entries: list[WalletEntry] = []
        self.transactions: list[Transaction] = []

    def add(self, *drafts: Document) -> None:
        """Drafts that are rated later."""
        self.books.documents.update({draft.id: draft for draft in drafts})

    def final(self, name: str) -> Entered:
        """A draft becomes final."""
        draft = self.books.documents.get(name)
        customer = draft.customer if draft else "acme"
        return self._enter(Finalisation(document_id=name, series="INV", customer=customer, tick=1))

    def act(
        self, action: ActionKind, name: str, *, at: datetime = NINTH, amount: str | None = None, request: str = "",
        customer: str = "acme",
    ) -> Entered:  # fmt: skip
        """A command about a document."""
        return self._enter(
            DocumentAction(
                action=action, document_id=name, customer=customer, request_id=request or f"r{self.offset}",
                actor="test", reason="a test", tick=9, time=at, partition=0, offset=self.offset,
                amount=None if amount is None else D(amount),
            )
        )  # fmt: skip

    def result(self, name: str, result: dict[str, str], *, at: datetime = NINTH) -> Entered:
        """What a payment service says about a document."""
        return self._enter(
            DocumentAction.model_validate({
                "action": "payment", "document_id": name, "customer": "acme", "request_id": f"r{self.offset}",
                "actor": "test", "reason": "a test", "tick": 9, "time": at, "partition": 0, "offset": self.offset,
                "result": result,
            })
        )  # fmt: skip

    def credit(self, action: str, *, at: datetime = FIRST, customer: str = "acme", **told: object) -> Entered:
        """Something that happens to a wallet."""
        asked = {"request_id": f"c{self.offset}", "actor": "test", "reason": "a test", "tick": 1} | told
        return self._enter(CreditAction.model_validate({"action": action, "customer": customer, "time": at, **asked}))

    def _enter(self, record: LogRecord) -> Entered:
        found = self.books.enter(self.offset, record)
        self.offset += 1
        self.entries += [*found.entries, *(entry for change in found.changes for entry in change.entries)]
        self.transactions += found.transactions
        self.transactions += [each for change in found.changes for each in change.transactions]
        return found

    def balance(self, book: Book) -> Decimal:
        """What stands on an account after everything: positive is debit."""
        return sum((balance(each.postings, book) for each in self.transactions), D(0))

    def invoice(self, name: str) -> Invoice:
        """An invoice as it stands."""
        found = self.books.documents[name]
        assert isinstance(found, Invoice)
        return found

    def note(self, name: str) -> CreditNote:
        """A note as it stands."""
        found = self.books.documents[name]
        assert isinstance(found, CreditNote)
        return found
