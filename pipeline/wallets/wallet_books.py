"""Wallets in the books: the entries of each record, their postings, and what the customer's state must know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from pipeline.collection.booking import Booking, transaction
from pipeline.wallets import wallet_changes
from pipeline.wallets.wallet import EMPTY, Order, Wallet, wallet_of
from schemas.command import SettleTopUp, TopUp
from schemas.credit_note import CreditNote, GrantShare
from schemas.document_log import CreditAction
from schemas.identity import derived_id
from schemas.invoice import Invoice
from schemas.posting import Book, Cause, Transaction
from schemas.quantity import ZERO
from schemas.receivable import Receivable
from schemas.wallet import WalletEntry

_CAUSES: dict[str, Cause] = {
    "granted": "credits_granted", "expired": "credits_expired", "revoked": "credits_revoked",
    "withdrawn": "credits_withdrawn", "closed": "credits_closed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WalletMoves:
    """What one record did to a wallet."""

    entries: tuple[WalletEntry, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    commands: tuple[TopUp | SettleTopUp, ...] = ()


@dataclass(frozen=True, slots=True)
class CreditSplit:
    """Whose money the credits of a document are: it decides where they are booked."""

    paid: Decimal = ZERO
    """Paid credits that paid the total."""
    free: Decimal = ZERO
    """Free credits that paid the total: a promotion."""
    discounted: Decimal = ZERO
    """Paid credits, taxed when they were sold, that were drawn before tax: revenue beside the net."""
    on_order: Decimal = ZERO
    """Of a sale of credits: what is owed in service once it is paid."""
    lost: Decimal = ZERO
    """Of a sale of credits that was given up before it was taken back."""


@dataclass(slots=True)
class Wallets:
    """The wallets of the customers that the next records speak of."""

    held: dict[str, Wallet] = field(default_factory=dict)

    def of(self, customer: str) -> Wallet:
        """A customer's wallet; empty if there is none."""
        return self.held.get(customer, EMPTY)

    def act(self, offset: int, action: CreditAction) -> WalletMoves:
        """A credit action at its place in the log. Raises ValueError, with why, where it does nothing."""
        entries, commands = wallet_changes.acted(self.of(action.customer), action)
        return self._took(offset, entries, commands)

    def final(self, offset: int, invoice: Invoice) -> tuple[CreditSplit, WalletMoves]:
        """An invoice has become final: its credits are burnt; those that it sells are on order."""
        wallet = self.of(invoice.customer)
        split = _split(wallet, [(use.grant, use.treatment, use.used) for use in invoice.credits])
        entries = [*wallet_changes.burnt(wallet, invoice), *wallet_changes.sold(wallet, invoice)]
        on_order = sum((entry.on_order for entry in entries if entry.kind == "sold"), ZERO)
        return replace(split, on_order=on_order), self._took(offset, entries)

    def noted(
        self, offset: int, note: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote]
    ) -> tuple[CreditSplit, tuple[GrantShare, ...], WalletMoves]:
        """A credit note gives credits back to their grants, and takes back a sale of credits that nobody paid."""
        if invoice is None:
            return CreditSplit(), (), WalletMoves()
        wallet = self.of(note.customer)
        shares = wallet_changes.shares_of(invoice, note, earlier)
        treatments = {use.grant: use.treatment for use in invoice.credits}
        split = _split(wallet, [(each.grant, treatments[each.grant], each.amount) for each in shares])
        moves = self._took(offset, tuple(wallet_changes.given_back(wallet, shares, note)))
        order = self.order_of(invoice)
        if order is None:
            return split, shares, moves
        split = replace(split, on_order=order.on_order, lost=note.totals.net if order.state == "closed" else ZERO)
        gone = wallet_changes.closed(order, invoice, note.issued_at)
        self.held[note.customer] = wallet_of([gone], self.of(note.customer))  # its posting is the note's
        return split, shares, WalletMoves((*moves.entries, gone), moves.transactions)

    def rejected(self, offset: int, draft: Invoice, at: datetime) -> WalletMoves:
        """The draft of a sale of credits is rejected: the sale is over."""
        order = self.order_of(draft)
        return WalletMoves() if order is None else self._took(offset, [wallet_changes.closed(order, draft, at)])

    def collected(self, offset: int, invoice: Invoice, after: Receivable, at: datetime) -> WalletMoves:
        """A sale of credits is paid, owed again or given up."""
        order = self.order_of(invoice) if after.order else None
        if order is None:
            return WalletMoves()
        wallet = self.of(invoice.customer)
        if after.state == "paid" and order.state != "paid":
            entry = wallet_changes.paid(order, wallet, invoice, at)
        elif after.state in ("open", "uncollectible") and order.state == "paid":
            entry = wallet_changes.unpaid(order, wallet, invoice, at)
        elif after.state == "uncollectible" and order.state != "closed":
            entry = wallet_changes.closed(order, invoice, at)
        else:
            return WalletMoves()
        moves = self._took(offset, [entry])
        if entry.kind == "closed":
            return moves
        return WalletMoves(moves.entries, moves.transactions, (self._settled(offset, invoice, entry),))

    def order_of(self, invoice: Invoice) -> Order | None:
        """The sale of credits that an invoice is for."""
        line = wallet_changes.sale_of(invoice)
        return None if line is None else self.of(invoice.customer).orders.get(line.rated.charge)

    def _settled(self, offset: int, invoice: Invoice, entry: WalletEntry) -> SettleTopUp:
        terms = self.of(invoice.customer).grants[entry.grant].terms if entry.kind == "granted" else None
        return SettleTopUp(
            request_id=str(derived_id("settled top-up", entry.grant, offset)), actor=wallet_changes.ACTOR,
            reason=f"invoice {invoice.number} is {'paid' if terms else 'owed again'}", customer=invoice.customer,
            document_id=invoice.id, grant=entry.grant, terms=terms,
        )  # fmt: skip

    def _took(
        self, offset: int, entries: Iterable[WalletEntry], commands: tuple[TopUp | SettleTopUp, ...] = ()
    ) -> WalletMoves:
        taken, booked = [], []
        for place, entry in enumerate(entries):
            wallet = wallet_of([entry], self.of(entry.customer))
            self.held[entry.customer] = wallet
            taken.append(entry)
            if postings := _postings(wallet, entry):
                key = ("credits", offset, entry.kind, entry.grant, place)
                cause = "credits_sold" if entry.kind == "granted" and entry.document else _CAUSES[entry.kind]
                booking = Booking(entry.customer, entry.at)
                booked.append(transaction(key, booking, entry.currency, cause, postings, entry.document, entry.reason))
        return WalletMoves(tuple(taken), tuple(booked), commands)


def _postings(wallet: Wallet, entry: WalletEntry) -> dict[Book, Decimal]:
    """Only paid credits are a debt. What is burnt or comes back is booked with its document."""
    if entry.kind == "closed":
        return {"credits_on_order": -entry.on_order, "bad_debt": entry.on_order} if entry.on_order else {}
    if entry.kind not in _CAUSES or not entry.amount or wallet.grants[entry.grant].terms.funding == "free":
        return {}
    against: Book = "breakage"
    if entry.kind in ("granted", "withdrawn") and entry.grant in wallet.orders:
        given_up = entry.amount + entry.on_order
        return {"prepaid_credits": -entry.amount, "credits_on_order": -entry.on_order, "bad_debt": given_up}
    if entry.kind == "granted" or (entry.kind == "revoked" and wallet.grants[entry.grant].revoking == "refunded"):
        against = "cash"
    return {"prepaid_credits": -entry.amount, against: entry.amount}


def _split(wallet: Wallet, uses: Iterable[tuple[str, str | None, Decimal]]) -> CreditSplit:
    """Grants that the books do not know are taken as paid, where they paid a total."""
    paid = free = discounted = ZERO
    for grant, treatment, amount in uses:
        held = wallet.grants.get(grant)
        is_free = held is not None and held.terms.funding == "free"
        if treatment == "discount":
            discounted += ZERO if held is None or is_free else amount
        elif is_free:
            free += amount
        else:
            paid += amount
    return CreditSplit(paid, free, discounted)
