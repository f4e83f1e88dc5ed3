"""The lines of one run as documents: an invoice of its debits, a credit note of its credits. Source: rating.md §8."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pipeline.documents.credit_notes import SetOff, set_off
from pipeline.rating.totals import Line, Totals, totals
from schemas.credit import CreditGrant
from schemas.discount import Discount
from schemas.money import Currency
from schemas.quantity import ZERO
from schemas.tax import Exemption


@dataclass(frozen=True, slots=True)
class RunDocuments:
    """Two documents, each with its own tax rounding, and what the customer pays once they are set off."""

    invoice: Totals | None
    note: Totals | None
    """Amounts given back, all positive."""
    set_off: SetOff


def run_documents(
    lines: Sequence[Line],
    currency: Currency,
    *,
    discounts: Sequence[Discount] = (),
    grants: Sequence[CreditGrant] = (),
    exemption: Exemption | None = None,
    charges: Collection[str] | None = None,
) -> RunDocuments:
    """Splits lines by sign: negative ones never stand on an invoice.

    Discounts and grants belong to the invoice. A credit here is an amount without discounts; what gives back a line
    that had some is a `pipeline.documents.credit_notes.credit_note` of its invoice.
    """
    debits = [line for line in lines if line.amount >= 0]
    credits = [replace(line, amount=-line.amount, discounts=()) for line in lines if line.amount < 0]
    invoice = totals(
        debits, currency, discounts=discounts, grants=grants, exemption=exemption, charges=charges
    ) if debits else None  # fmt: skip
    note = totals(credits, currency, exemption=exemption) if credits else None
    due = invoice.amount_due if invoice else ZERO
    return RunDocuments(invoice, note, set_off(due, note.total if note else ZERO))
