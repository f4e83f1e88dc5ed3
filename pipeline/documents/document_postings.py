"""What a document books when it becomes final: an invoice what is owed, a credit note what is taken back."""

from __future__ import annotations

from decimal import Decimal

from pipeline.collection.booking import Booking, transaction
from pipeline.wallets.wallet_books import CreditSplit
from schemas.credit_note import CreditNote
from schemas.dunning import DunningPolicy
from schemas.invoice import Invoice
from schemas.posting import Book, Transaction
from schemas.quantity import ZERO
from schemas.receivable import Receivable


def receivable_of(invoice: Invoice, policy: DunningPolicy | None, order: str = "") -> Receivable:
    """A final invoice as money that is owed; nothing is if notes of its run or the customer's balance cover it.

    `order` is the sale of credits that it is for.
    """
    owed = invoice.totals.amount_due - invoice.balance.set_off - invoice.balance.from_balance
    return Receivable(
        document=invoice.id,
        number=str(invoice.number),
        currency=invoice.currency,
        due_at=invoice.due_at or invoice.issued_at,
        policy=policy,
        order=order,
        subscriptions=tuple(dict.fromkeys(line.subscription for line in invoice.lines if line.subscription)),
        state="open" if owed > ZERO else "paid",
        owed=owed,
        paid=owed - owed,
    )


def invoiced(invoice: Invoice, credits: CreditSplit) -> tuple[Transaction, ...]:
    """Revenue and tax against what is owed and what credits paid; then what the balance pays of it.

    A sale of credits is no revenue: it becomes a debt when it is paid, and revenue when they are burnt. What interim
    invoices booked is not booked again; what they billed too much is the customer's.
    """
    totals, booking = invoice.totals, Booking(invoice.customer, invoice.issued_at)
    net_before = sum((each.net for each in invoice.deductions), ZERO)
    tax_before = sum((each.tax for each in invoice.deductions), ZERO)
    postings: dict[Book, Decimal] = {
        "receivable": totals.amount_due, "prepaid_credits": credits.paid + credits.discounted,
        "promotions": credits.free, "customer_balance": -totals.excess,
        "revenue": net_before - (totals.net + credits.discounted - credits.on_order),
        "credits_on_order": -credits.on_order, "tax": tax_before - totals.tax,
    }  # fmt: skip
    made = [transaction(("invoiced", invoice.id), booking, invoice.currency, "invoiced", postings, invoice.id)]
    if used := invoice.balance.from_balance:
        moved: dict[Book, Decimal] = {"customer_balance": used, "receivable": -used}
        key = ("balance used", invoice.id)
        made.append(transaction(key, booking, invoice.currency, "balance_used", moved, invoice.id))
    return tuple(each for each in made if each.postings)


def noted(note: CreditNote, forgiven: Decimal, credits: CreditSplit) -> tuple[Transaction, ...]:
    """A credit note: revenue and tax back, against where its total goes. `forgiven` of it had been given up."""
    settled = note.settled
    unsold = credits.on_order + credits.lost
    postings: dict[Book, Decimal] = {
        "revenue": note.totals.net + credits.discounted - unsold, "tax": note.totals.tax,
        "credits_on_order": credits.on_order, "bad_debt": credits.lost - forgiven,
        "receivable": -(settled.set_off + settled.cancelled - forgiven),
        "prepaid_credits": -(settled.restored - credits.free + credits.discounted), "promotions": -credits.free,
        "customer_balance": -(settled.kept + settled.refunded),
    }  # fmt: skip
    booking = Booking(note.customer, note.issued_at)
    made = transaction(("credited", note.id), booking, note.currency, "credited", postings, note.id)
    return (made,) if made.postings else ()
