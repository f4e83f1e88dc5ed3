"""What documents, payments and credit actions do to a wallet: entries, in the order of the log.

A document draws from a grant because it was valid for the service that it bills; it may be issued after the grant has
expired or was revoked. Then what it draws is taken out of what had expired or was revoked: nothing is lost or doubled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from pipeline.wallets.wallet import HeldGrant, Order, Wallet, recharge_refusal
from schemas.command import TopUp
from schemas.credit import CreditGrant
from schemas.credit_note import CreditNote, GrantShare
from schemas.document_log import CreditAction
from schemas.identity import derived_id
from schemas.invoice import Invoice, InvoiceLine
from schemas.money import Currency, round_money
from schemas.quantity import ZERO
from schemas.wallet import CreditOrder, EntryKind, WalletEntry

ACTOR = "tally"


class NotDrawable(AssertionError):
    """A final document draws more than its grant ever held: our mistake, never the customer's."""


def sale_of(invoice: Invoice) -> InvoiceLine | None:
    """The line that sells credits; such an invoice has no other."""
    return next((line for line in invoice.lines if line.rated.kind == "credits"), None)


def burnt(wallet: Wallet, invoice: Invoice) -> Iterator[WalletEntry]:
    """What a document draws when it becomes final, grant by grant. Grants that the books do not know are left out."""
    for use in invoice.credits:
        held = wallet.grants.get(use.grant)
        if held is not None:
            yield from _reached_back(wallet, held, use.used - held.left, invoice)
            yield _of(invoice, "burnt", use.grant, -use.used, invoice.issued_at)


def _reached_back(wallet: Wallet, held: HeldGrant, missing: Decimal, invoice: Invoice) -> Iterator[WalletEntry]:
    """Credit that had expired, was revoked or withdrawn, but was valid for the service that is billed."""
    there: tuple[tuple[EntryKind, Decimal], ...] = (
        ("expired", held.expired), ("revoked", held.revoked), ("withdrawn", held.withdrawn)
    )  # fmt: skip
    order = wallet.orders.get(held.terms.id)
    for kind, amount in there:
        part = min(amount, max(missing, ZERO))
        missing -= part
        if part:
            ordered = -min(part, order.on_order) if kind == "withdrawn" and order is not None else ZERO
            yield _of(invoice, kind, held.terms.id, part, invoice.issued_at, on_order=ordered)
    if missing > 0:
        raise NotDrawable(f"{invoice.id} draws {missing} more from {held.terms.id} than was granted")


def sold(wallet: Wallet, invoice: Invoice) -> Iterator[WalletEntry]:
    """The invoice of a sale of credits has become final: they are on order until it is paid."""
    line = sale_of(invoice)
    if line is not None and line.rated.charge in wallet.orders:
        yield _of(invoice, "sold", line.rated.charge, ZERO, invoice.issued_at, on_order=line.net)


def given_back(wallet: Wallet, shares: Iterable[GrantShare], note: CreditNote) -> Iterator[WalletEntry]:
    """Credit comes back to its grants; of one that was revoked it is revoked again at once."""
    for share in shares:
        held = wallet.grants.get(share.grant)
        if held is None:
            continue
        yield _of(note, "returned", share.grant, share.amount, note.issued_at)
        order = wallet.orders.get(share.grant)
        if held.revoking is not None:
            yield _of(note, "revoked", share.grant, -share.amount, note.issued_at)
        elif order is not None and order.state in ("unpaid", "closed"):
            ordered = share.amount if order.state == "unpaid" else ZERO
            yield _of(note, "withdrawn", share.grant, -share.amount, note.issued_at, on_order=ordered)


def shares_of(invoice: Invoice, note: CreditNote, earlier: Sequence[CreditNote]) -> tuple[GrantShare, ...]:
    """What a note gives back to which grant: what paid, by its settlement; what was a discount, in proportion.

    A discount comes back like any other of its line: by cumulative rounding, so that all notes together give back all.
    """
    back = {share.grant: share.amount for share in note.settled.grants}
    gifts = {use.grant for use in invoice.credits if use.treatment == "discount"}
    money = Currency(invoice.currency, invoice.minor_units)
    for line in invoice.lines if gifts else ():
        before = sum((each.gross for one in earlier for each in one.lines if each.invoice_line == line.id), ZERO)
        now = before + sum((each.gross for each in note.lines if each.invoice_line == line.id), ZERO)
        for part in line.discounts:
            if part.source in gifts and line.amount:
                share = _share(part.amount, now, line, money) - _share(part.amount, before, line, money)
                back[part.source] = back.get(part.source, ZERO) + share
    return tuple(GrantShare(grant=grant, amount=amount) for grant, amount in back.items() if amount)


def _share(part: Decimal, gross: Decimal, line: InvoiceLine, money: Currency) -> Decimal:
    return round_money(part * gross / line.amount, money)


def paid(order: Order, wallet: Wallet, invoice: Invoice, at: datetime) -> WalletEntry:
    """The sale is paid: what is bought can be used from now on; after a payment that was sent back, what was left."""
    held = wallet.grants.get(order.terms.id)
    if held is not None:
        return _of(invoice, "granted", held.terms.id, held.withdrawn, at, on_order=-order.on_order)
    terms = terms_of(order.terms, at)
    return _of(invoice, "granted", terms.id, terms.amount, at, on_order=-order.on_order).model_copy(
        update={"terms": terms}
    )


def terms_of(order: CreditOrder, at: datetime) -> CreditGrant:
    """The grant that a sale brings when it is paid; one that was taxed then is drawn before tax."""
    return CreditGrant(
        id=order.id, amount=order.amount, currency=order.currency, priority=order.priority, created_at=at,
        effective_at=at, funding="paid", treatment="discount" if order.taxed else "payment",
        expires_at=None if order.valid_days is None else at + timedelta(days=order.valid_days),
        applies_to=order.applies_to,
    )  # fmt: skip


def unpaid(order: Order, wallet: Wallet, invoice: Invoice, at: datetime) -> WalletEntry:
    """The money of the sale went back: what is left of it cannot be used."""
    left = wallet.grants[order.terms.id].left
    return _of(invoice, "withdrawn", order.terms.id, -left, at, on_order=left)


def closed(order: Order, document: Invoice, at: datetime) -> WalletEntry:
    """Nobody pays the sale, or it is void."""
    return _of(document, "closed", order.terms.id, ZERO, at, on_order=-order.on_order)


def acted(wallet: Wallet, action: CreditAction) -> tuple[tuple[WalletEntry, ...], tuple[TopUp, ...]]:
    """What an action does at its place in the log, and what is asked for because of it.

    Raises ValueError, with why, where it does nothing.
    """
    if action.action == "recharge":
        order = _recharge(wallet, action)
        entry = _by(action, "ordered", order.id, ZERO, order.currency).model_copy(update={"order": order})
        return (entry,), (_top_up(order, action),)
    return (_entry(wallet, action),), ()


def _entry(wallet: Wallet, action: CreditAction) -> WalletEntry:
    if action.terms is not None:
        made = _by(action, "granted", action.terms.id, action.terms.amount, action.terms.currency)
        return made.model_copy(update={"terms": action.terms})
    if action.order is not None:
        if action.order.id in wallet.orders:
            raise ValueError(f"order: {action.order.id} is known: a recharge asked for it")
        made = _by(action, "ordered", action.order.id, ZERO, action.order.currency)
        return made.model_copy(update={"order": action.order})
    if action.action == "recharge_rule":
        return _by(action, "recharge_rule", "", ZERO, action.currency).model_copy(update={"rule": action.rule})
    held = wallet.grants.get(action.grant_id)
    if held is None:
        raise ValueError(f"grant: there is no {action.grant_id}")
    if action.action == "revoke":
        made = _by(action, "revoked", held.terms.id, -held.left, held.terms.currency)
        return made.model_copy(update={"revoking": action.revoking or "forfeited"})
    if held.terms.expires_at is None or action.time < held.terms.expires_at or not held.left:
        raise ValueError(f"grant: nothing of {action.grant_id} expires")
    return _by(action, "expired", held.terms.id, -held.left, held.terms.currency)


def _recharge(wallet: Wallet, action: CreditAction) -> CreditOrder:
    if refusal := recharge_refusal(wallet, action.currency, action.time):
        raise ValueError(refusal)
    rule = wallet.rules[action.currency]
    return CreditOrder(
        id=str(derived_id("recharge", action.customer, action.request_id)), currency=rule.currency,
        amount=rule.amount, taxed=rule.taxed, valid_days=rule.valid_days, at=action.time, recharge=True,
    )  # fmt: skip


def _top_up(order: CreditOrder, action: CreditAction) -> TopUp:
    return TopUp(
        request_id=order.id, actor=ACTOR, reason=action.reason, customer=action.customer, amount=order.amount,
        currency=order.currency, taxed=order.taxed, valid_days=order.valid_days, recharge=True,
    )  # fmt: skip


def _of(
    document: Invoice | CreditNote, kind: EntryKind, grant: str, amount: Decimal, at: datetime, *,
    on_order: Decimal = ZERO,
) -> WalletEntry:  # fmt: skip
    return WalletEntry(
        kind=kind, customer=document.customer, currency=document.currency, grant=grant, amount=amount,
        on_order=on_order, at=at, document=document.id, reason=document.number or "",
    )  # fmt: skip


def _by(action: CreditAction, kind: EntryKind, grant: str, amount: Decimal, currency: str) -> WalletEntry:
    return WalletEntry(
        kind=kind, customer=action.customer, currency=currency, grant=grant, amount=amount, at=action.time,
        reason=action.reason,
    )  # fmt: skip
