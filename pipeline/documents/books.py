"""The books: billing.finalisations folded, in order, into numbers, issue dates, credit notes and how documents stand.

Everything here is a function of the log below a position and of the drafts that it names: whoever folds it, whenever,
gets the same documents. Source: design.md §4 and §7, rating.md §8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from pipeline.collection.collecting import COLLECTS, collect, standing, transitions
from pipeline.collection.receivables import credited
from pipeline.collection.refunds import Asked, ask
from pipeline.collection.strays import Strays
from pipeline.documents.credit_notes import NoteRefused
from pipeline.documents.document_keys import number_text
from pipeline.documents.document_postings import invoiced, noted, receivable_of
from pipeline.documents.note_documents import issued_note, reissued, void_note
from pipeline.wallets.wallet import Wallet
from pipeline.wallets.wallet_books import Wallets
from schemas.command import SettleTopUp, TopUp
from schemas.credit_note import CreditNote, GrantShare
from schemas.document_log import CreditAction, DocumentAction, Finalisation, LogRecord
from schemas.invoice import FINAL_REVISION, STANDING, Balance, Invoice
from schemas.payment import PaymentRequest, RefundRequest
from schemas.posting import Transaction
from schemas.quantity import ZERO
from schemas.receivable import Receivable
from schemas.wallet import WalletEntry

Document = Invoice | CreditNote


@dataclass(frozen=True, slots=True)
class SeriesEnd:
    """The last number of a series and its issue date."""

    number: int = 0
    issued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A document as it stands from now on, and the transitions that are announced of it."""

    document: Document
    transitions: tuple[str, ...]
    at: datetime
    receivable: Receivable | None = None
    """Of a final invoice: what it still brings."""
    transactions: tuple[Transaction, ...] = ()
    request: PaymentRequest | RefundRequest | None = None
    corrects: Invoice | None = None
    """Of a credit note: the invoice that it corrects."""
    entries: tuple[WalletEntry, ...] = ()
    """What it does to the customer's wallet."""
    returned: tuple[GrantShare, ...] = ()
    """Credit that later runs can draw again."""
    commands: tuple[SettleTopUp, ...] = ()
    """What the customer's state must know of a sale of credits."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What one record did: changes in order, or why an action is refused."""

    changes: tuple[Change, ...] = ()
    refusal: str = ""
    transactions: tuple[Transaction, ...] = ()
    """Money that no document takes, and what a credit action books."""
    entries: tuple[WalletEntry, ...] = ()
    commands: tuple[TopUp | SettleTopUp, ...] = ()
    """What a credit action asks for."""
    repeats: bool = False
    """Whether an action was entered before: it is answered as then, and changes nothing."""
    request: RefundRequest | None = None
    """For money that no document takes."""


class DraftMissing(LookupError):
    """A record speaks of a document that is not here yet: its close is still to come."""


class _Refused(Exception):
    """Why an action changes nothing."""


@dataclass(slots=True)
class Books:
    """What the log so far adds up to, for the documents that the next records speak of."""

    documents: dict[str, Document] = field(default_factory=dict)
    receivables: dict[str, Receivable] = field(default_factory=dict)
    """Of final invoices, by document."""
    notes: dict[str, list[CreditNote]] = field(default_factory=dict)
    """Issued notes by the invoice that they correct, in order."""
    set_off: dict[str, Decimal] = field(default_factory=dict)
    """What notes of the same run take off an invoice."""
    series: dict[str, SeriesEnd] = field(default_factory=dict)
    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """What is kept for a customer, per currency."""
    requests: dict[tuple[str, str], str] = field(default_factory=dict)
    """Actions that were entered, with the refusal of those that were refused."""
    wallets: Wallets = field(default_factory=Wallets)
    strays: Strays = field(default_factory=Strays)

    def enter(self, offset: int, record: LogRecord) -> Entered:
        """The next record of the log. Raises DraftMissing where its document is not here yet."""
        if isinstance(record, CreditAction):
            return self._credit(offset, record)
        if isinstance(record, DocumentAction) and record.unknown:
            return self._stray(record)
        document = self.documents.get(record.document_id)
        if document is None:
            raise DraftMissing(record.document_id)
        if isinstance(record, Finalisation):
            if document.status != "draft":
                return Entered()  # a repetition: the first occurrence has the number
            return Entered(self._keep(self._final(document, offset, document.issued_at)))
        if record.request in self.requests:
            return Entered(refusal=self.requests[record.request], repeats=True)
        self.requests[record.request] = ""
        try:
            return Entered(self._keep(self._act(document, offset, record)))
        except (_Refused, NoteRefused) as refused:
            self.requests[record.request] = str(refused)
            return Entered(refusal=str(refused))

    def _stray(self, action: DocumentAction) -> Entered:
        """An action on a document that there is not: money is kept apart and can be sent back, all else is refused."""
        if action.request in self.requests:
            return Entered(refusal=self.requests[action.request], repeats=True)
        try:
            booked, request = self.strays.act(action)
        except ValueError as fault:
            self.requests[action.request] = str(fault)
            return Entered(refusal=str(fault))
        self.requests[action.request] = ""
        return Entered(transactions=booked, request=request)

    def _credit(self, offset: int, action: CreditAction) -> Entered:
        """Something happens to a wallet; once per request."""
        if action.request in self.requests:
            return Entered(refusal=self.requests[action.request], repeats=True)
        self.requests[action.request] = ""
        try:
            moves = self.wallets.act(offset, action)
        except ValueError as fault:
            self.requests[action.request] = str(fault)
            return Entered(refusal=str(fault))
        return Entered(transactions=moves.transactions, entries=moves.entries, commands=moves.commands)

    def _keep(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        kept = []
        for change in changes:
            self._put(change.document)
            if change.receivable is not None:
                self.receivables[change.document.id] = change.receivable
            kept.append(replace(change, receivable=self.receivables.get(change.document.id)))
        return tuple(kept)

    def _put(self, document: Document) -> None:
        """Keeps a document; notes also under the invoices that they concern."""
        before = self.documents.get(document.id)
        self.documents[document.id] = document
        key = (document.customer, document.currency)
        change = kept_by(document) - (kept_by(before) if before is not None else ZERO)
        self.balances[key] = self.balances.get(key, ZERO) + change
        if isinstance(document, CreditNote) and document.status == "issued":
            if document.invoice is not None:
                self.notes.setdefault(document.invoice, []).append(document)
            if (against := document.settled.set_off_against) is not None:
                self.set_off[against] = self.set_off.get(against, ZERO) + document.settled.set_off

    # -- becoming final ----------------------------------------------------------------------------------------------

    def _number(self, series: str, at: datetime) -> tuple[str, datetime]:
        """The next number of a series and its date: never before the one of the number before it."""
        end = self.series.get(series, SeriesEnd())
        issued_at = at if end.issued_at is None else max(at, end.issued_at)
        self.series[series] = SeriesEnd(end.number + 1, issued_at)
        return number_text(series, end.number + 1), issued_at

    def _final(self, draft: Document, offset: int, at: datetime) -> Iterable[Change]:
        if isinstance(draft, Invoice):
            return [self._invoice(draft, offset, at)]
        return self._note(draft, offset, at)

    def _invoice(self, draft: Invoice, offset: int, at: datetime) -> Change:
        number, issued_at = self._number(draft.terms.series, at)
        due = draft.totals.amount_due
        zero = due - due
        set_off = min(due, self.set_off.get(draft.id, ZERO))
        kept = max(ZERO, self.balances.get((draft.customer, draft.currency), ZERO))
        from_balance = min(kept, due - set_off)
        balance = Balance(
            set_off=set_off + zero, from_balance=from_balance + zero, cancelled=zero, paid=zero, overpaid=zero,
            open=due - set_off - from_balance,
        )  # fmt: skip
        final = draft.model_copy(update={
            "number": number, "issued_at": issued_at, "held": (), "balance": balance,
            "revision": FINAL_REVISION + offset + 1, "due_at": issued_at + timedelta(days=draft.terms.payment_days),
            "status": "open" if balance.open else "paid",
        })  # fmt: skip
        split, moves = self.wallets.final(offset, final)
        order = self.wallets.order_of(final)
        owed = receivable_of(final, draft.terms.dunning, order.terms.id if order is not None else "")
        booked = (*invoiced(final, split), *moves.transactions)
        finalized = Change(final, ("finalized",), issued_at, owed, booked, entries=moves.entries)
        if order is None or owed.state != "paid":
            return finalized
        paid = self.wallets.collected(offset, final, owed, issued_at)  # by what the customer's balance held
        return replace(
            finalized, entries=(*moves.entries, *paid.entries), commands=_settles(paid.commands),
            transactions=(*booked, *paid.transactions),
        )  # fmt: skip

    def _note(self, draft: CreditNote, offset: int, at: datetime) -> Iterable[Change]:
        """A note with what it takes back now, and the invoice as it stands after it; nothing if nothing is left."""
        invoice = self.documents.get(draft.invoice) if draft.invoice is not None else None
        if draft.invoice is not None and invoice is None:
            raise DraftMissing(draft.invoice)
        corrected = invoice if isinstance(invoice, Invoice) else None
        run = self.documents.get(draft.run_invoice) if draft.run_invoice is not None else None
        against = run if isinstance(run, Invoice) and run.status == "draft" and not run.held else None
        earlier = self.notes.get(draft.invoice or "", ())
        made = issued_note(draft, corrected, earlier, against, self.set_off.get(against.id, ZERO) if against else ZERO)
        if made is None:
            return
        number, issued_at = self._number(draft.series, at)
        note = made.model_copy(
            update={"number": number, "issued_at": issued_at, "revision": FINAL_REVISION + offset + 1}
        )
        held = self.receivables[corrected.id] if corrected is not None else None
        after = credited(held, note.settled) if held is not None else None
        forgiven = held.written_off - after.written_off if held is not None and after is not None else ZERO
        yield self._noted(offset, note, corrected, earlier, forgiven)
        if corrected is not None and after is not None and after != held:
            yield _credited(corrected, note, offset, after, draft.basis.tick)

    # -- actions -----------------------------------------------------------------------------------------------------

    def _act(self, document: Document, offset: int, action: DocumentAction) -> Iterable[Change]:
        if document.customer != action.customer:
            raise _Refused(f"document: {document.number or document.id} is not of {action.customer}")
        if action.action == "release":
            _refuse_unless(document.status == "draft", document, "released", "a held draft")
            return self._final(document.model_copy(update={"held": ()}), offset, action.time)
        if action.action == "reject":
            _refuse_unless(document.status == "draft", document, "rejected", "a held draft")
            if self.set_off.get(document.id):
                raise _Refused(f"document: a credit note is set off against it; release {document.id} and void it")
            rejected = document.model_copy(update={"status": "rejected", "revision": FINAL_REVISION + offset + 1})
            return [self._rejected(offset, rejected, action)]
        if not isinstance(document, Invoice):
            raise _Refused(f"document: {document.number or document.id} is a credit note; only invoices can be that")
        if action.action in ("void", "reissue"):
            return self._void(document, offset, action)
        if action.action in COLLECTS:
            return [self._collect(document, offset, action)]
        return [_marked(document, offset, action)]

    def _collect(self, invoice: Invoice, offset: int, action: DocumentAction) -> Change:
        """An attempt to collect, or what came of one."""
        held = self.receivables.get(invoice.id)
        if held is None:
            raise _Refused(f"document: is {invoice.status}; only a final invoice is collected")
        try:
            moved = collect(held, action, self.balances.get((invoice.customer, invoice.currency), ZERO))
        except ValueError as fault:
            raise _Refused(str(fault)) from None
        stands = standing(invoice, held, moved.receivable).model_copy(update={"revision": FINAL_REVISION + offset + 1})
        moves = self.wallets.collected(offset, stands, moved.receivable, action.time)
        return Change(
            stands, transitions(invoice, stands, moved), action.time, moved.receivable,
            (*moved.transactions, *moves.transactions), moved.request, entries=moves.entries,
            commands=_settles(moves.commands),
        )  # fmt: skip

    def _noted(
        self, offset: int, note: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote], forgiven: Decimal
    ) -> Change:
        split, shares, moves = self.wallets.noted(offset, note, invoice, earlier)
        booked = (*noted(note, forgiven, split), *moves.transactions)
        return Change(
            note, ("issued",), note.issued_at, None, booked, corrects=invoice, entries=moves.entries, returned=shares
        )  # fmt: skip

    def _rejected(self, offset: int, rejected: Document, action: DocumentAction) -> Change:
        """What a draft would have drawn can be drawn again; what it would have sold is not sold."""
        if not isinstance(rejected, Invoice):
            return Change(rejected, ("rejected",), action.time)
        moves = self.wallets.rejected(offset, rejected, action.time)
        shares = tuple(GrantShare(grant=use.grant, amount=use.used) for use in rejected.credits)
        return Change(rejected, ("rejected",), action.time, entries=moves.entries, returned=shares)

    def _void(self, invoice: Invoice, offset: int, action: DocumentAction) -> Iterable[Change]:
        earlier = self.notes.get(invoice.id, ())
        again = action.action == "reissue"  # then the document in its place draws its credits at once
        if again and earlier and invoice.credits:
            raise _Refused(f"document: credit notes gave credits of {invoice.number} back; void it and bill anew")
        note = void_note(invoice, earlier, action)
        number, issued_at = self._number(note.series, action.time)
        note = note.model_copy(
            update={"number": number, "issued_at": issued_at, "revision": FINAL_REVISION + offset + 1}
        )
        cancelled = invoice.balance.cancelled + note.settled.cancelled
        balance = invoice.balance.model_copy(
            update={"cancelled": cancelled, "open": invoice.balance.open - note.settled.cancelled}
        )
        voided = invoice.model_copy(
            update={"status": "voided", "balance": balance, "revision": FINAL_REVISION + offset + 1}
        )
        held = credited(self.receivables[invoice.id], note.settled).model_copy(update={"state": "void"})
        forgiven = self.receivables[invoice.id].written_off - held.written_off
        booked = self._noted(offset, note, invoice, earlier, forgiven)
        yield replace(booked, returned=()) if again else booked
        yield Change(voided, ("voided",), action.time, held)
        if again:
            # The note is not kept yet, so what it leaves the customer is not taken twice.
            yield self._invoice(reissued(voided, action), offset, action.time)


def _settles(commands: Iterable[TopUp | SettleTopUp]) -> tuple[SettleTopUp, ...]:
    return tuple(each for each in commands if isinstance(each, SettleTopUp))


def as_entered(draft: Invoice, entered: Invoice) -> Invoice:
    """A draft with what its place in billing.finalisations makes of it, taken from the document as it was entered."""
    of_the_log = ("number", "issued_at", "due_at", *STANDING)
    return draft.model_copy(update={name: getattr(entered, name) for name in of_the_log})


def number_of(document: Document) -> tuple[str, int]:
    """The series of a final document and its number in it."""
    series, _, number = str(document.number).rpartition("-")
    return series, int(number)


def kept_by(document: Document) -> Decimal:
    """What a document adds to what is kept for its customer."""
    if isinstance(document, CreditNote):
        return document.settled.kept if document.status == "issued" else ZERO
    excess = document.totals.excess if document.number is not None else ZERO
    return excess + document.balance.overpaid - document.balance.from_balance - document.balance.refunded


def books_of(
    documents: Iterable[Document],
    notes: Iterable[CreditNote],
    series: Mapping[str, SeriesEnd],
    balances: Mapping[tuple[str, str], Decimal],
    requests: Mapping[tuple[str, str], str],
    receivables: Mapping[str, Receivable] | None = None,
    wallets: Mapping[str, Wallet] | None = None,
    strays: Strays | None = None,
) -> Books:
    """The books as they were stored: `documents` as they stand, every issued note that concerns one of them."""
    books = Books()
    for note in notes:
        books._put(note)
    for document in documents:
        books.documents[document.id] = document
    books.receivables, books.wallets = dict(receivables or {}), Wallets(dict(wallets or {}))
    books.strays = strays or Strays()
    books.series, books.balances, books.requests = dict(series), dict(balances), dict(requests)
    return books


def _credited(invoice: Invoice, note: CreditNote, offset: int, held: Receivable, tick: int) -> Change:
    """The invoice after a note. What the note refunds is asked back of the payment service, if that collected it."""
    cancelled = note.settled.cancelled
    left = invoice.balance.open - cancelled
    balance = invoice.balance.model_copy(update={"cancelled": invoice.balance.cancelled + cancelled, "open": left})
    told, status, request = ["credited"], invoice.status, None
    if not left and status in ("open", "past_due"):
        told, status = ["credited", "paid"], "paid"
    if note.settled.refunded and any(attempt.state == "succeeded" for attempt in held.attempts):
        why = f"credit note {note.number}"
        asked = Asked(note.customer, invoice.id, note.settled.refunded, "", why, tick, note.issued_at)
        held, request = ask(held, asked, ZERO)
        told.append("refund_requested")
    changed = invoice.model_copy(update={"status": status, "balance": balance, "revision": FINAL_REVISION + offset + 1})
    return Change(changed, tuple(told), note.issued_at, held, request=request)


MARKED = {"past_due": ("open",)}


def _marked(invoice: Invoice, offset: int, action: DocumentAction) -> Change:
    allowed = MARKED[action.action]
    _refuse_unless(invoice.status in allowed, invoice, action.action.replace("_", " "), f"an {allowed[0]} invoice")
    changed = invoice.model_copy(update={"status": action.action, "revision": FINAL_REVISION + offset + 1})
    return Change(changed, (action.action,), action.time)


def _refuse_unless(allowed: bool, document: Document, what: str, wanted: str) -> None:
    if not allowed:
        name = document.number or document.id
        raise _Refused(f"document: {name} is {document.status}; only {wanted} can be {what}")
