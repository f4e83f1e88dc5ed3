"""What can be sent back, for a person: the money that a number of an invoice or the id of a payment stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from agents.store.connection import Connection
from pipeline.collection.refunds import Asked, Refundable, ask, ask_apart
from pipeline.collection.strays import strays_of
from schemas.document_log import DocumentAction
from schemas.quantity import ZERO
from schemas.receivable import Apart, Receivable


@dataclass(frozen=True, slots=True)
class Payable:
    """Money that came: for an invoice, or for none."""

    customer: str
    document: str
    """The id of the invoice, or what the money came with."""
    name: str
    payment: str
    """The id of the payment that is meant; empty for any of the invoice."""
    balance: Decimal
    """What the customer's balance holds in the currency of the invoice."""
    held: Receivable | Apart

    @property
    def currency(self) -> str:
        """In which it came."""
        return self.held.currency

    def sent_back(self, amount: Decimal, reason: str) -> Refundable:
        """What an amount would be taken from. Raises ValueError where the books would refuse it, as they say it."""
        asked = Asked(self.customer, self.document, amount, self.payment, reason, 0, NEVER)
        if isinstance(self.held, Apart):
            ask_apart(self.held, asked)
            return Refundable(amount, ZERO, ZERO)
        after, _ = ask(self.held, asked, self.balance)
        refund = after.refunds[-1]
        return Refundable(refund.aside - refund.from_balance, refund.from_balance, amount - refund.aside)


NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing is asked for: it is only looked at what could be."""


class RefundLooks:
    """Reads of money that can be sent back."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def find(self, name: str) -> list[Payable]:
        """What a number, the beginning of an id, or the id of a payment stands for; several if it is ambiguous."""
        return self._invoices(name) or self._paid_by(name) or self._strays(name)

    def _invoices(self, name: str) -> list[Payable]:
        return self._payables(
            "lower(number) = lower({name:String}) "
            "OR (lengthUTF8({name:String}) >= 4 AND startsWith(toString(document_id), lower({name:String})))",
            name, "",
        )  # fmt: skip

    def _paid_by(self, payment: str) -> list[Payable]:
        """The invoice whose payment it is; of money in another currency just that."""
        named = "has(JSONExtract(receivable, 'results', 'Array(String)'), {name:String})"
        return self._payables(named, payment, payment)

    def _payables(self, where: str, name: str, payment: str) -> list[Payable]:
        rows = self._db.tuples(
            "SELECT customer, toString(document_id), number, currency, receivable FROM invoices FINAL "
            f"WHERE receivable != '' AND ({where})",
            {"name": name},
        )
        found = []
        for customer, document, number, currency, text in rows:
            held = Receivable.model_validate_json(text)
            apart = next((each for each in held.apart if each.payment == payment), None)
            found.append(
                Payable(customer, document, number, payment, self._balance(customer, currency), apart or held)
            )  # fmt: skip
        return found

    def _balance(self, customer: str, currency: str) -> Decimal:
        rows = self._db.tuples(
            "SELECT sum(kept) FROM invoices FINAL WHERE customer = {customer:String} AND currency = {currency:String}",
            {"customer": customer, "currency": currency},
        )
        return Decimal(rows[0][0])

    def _strays(self, payment: str) -> list[Payable]:
        """Money without a document, by the log of documents."""
        rows = self._db.tuples(
            "SELECT record FROM document_log FINAL WHERE JSONExtractBool(record, 'unknown') AND customer IN "
            "(SELECT customer FROM document_log WHERE JSONExtractString(record, 'result', 'id') = {payment:String}) "
            "ORDER BY k_offset",
            {"payment": payment},
        )
        actions = [DocumentAction.model_validate_json(row[0]) for row in rows]
        documents = {
            (each.customer, each.result.id): each.document_id for each in actions if each.result is not None
        }  # fmt: skip
        return [
            Payable(customer, documents[customer, of], f"payment {of}", of, ZERO, held)
            for (customer, of), held in strays_of(actions).money.items()
            if of == payment
        ]
