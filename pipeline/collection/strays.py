"""Money that came for a document that there is not: kept apart with the reason, and sent back when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.collection.booking import Booking
from pipeline.collection.receivables import unapplied
from pipeline.collection.refunds import answered, ask_apart, asked_by, is_meant
from schemas.document_log import DocumentAction
from schemas.payment import PaymentResult, RefundRequest, moved
from schemas.posting import Transaction
from schemas.receivable import Apart


@dataclass(slots=True)
class Strays:
    """Money without a document, by customer and the id of the result that told of it."""

    money: dict[tuple[str, str], Apart] = field(default_factory=dict)

    def act(self, action: DocumentAction) -> tuple[tuple[Transaction, ...], RefundRequest | None]:
        """What an action books and asks for. Raises ValueError for one that changes nothing, with why."""
        why = f"document: there is none with the id {action.document_id}"
        if action.action == "refund":
            return (), self._asked(action, why)
        if action.result is None:
            raise ValueError(why)
        knows = self._told(action.customer, action.result)
        booked = unapplied(action.result, Booking(action.customer, action.time), why)
        if not booked and not knows:
            raise ValueError(why)
        return booked, None

    def _asked(self, action: DocumentAction, why: str) -> RefundRequest:
        key = (action.customer, action.payment or "")
        if key not in self.money:
            raise ValueError(why)
        self.money[key], request = ask_apart(self.money[key], asked_by(action))
        return request

    def _told(self, customer: str, result: PaymentResult) -> bool:
        """Keeps money that came, and what came of refunds; whether it is about money that is known."""
        if result.outcome == "succeeded":
            if (customer, result.id) in self.money:
                raise ValueError(f"result: result {result.id} was booked before")
            came = Apart(payment=result.id, currency=result.currency, amount=moved(result))
            self.money[customer, result.id] = came
            return True
        for key, held in self.money.items():
            if key[0] == customer and is_meant(held, result):
                self.money[key] = answered(held, result)
                return True
        return False


def strays_of(actions: Iterable[DocumentAction]) -> Strays:
    """What the actions on documents that there were not have left, in their order; each request counts once."""
    strays, seen = Strays(), set[tuple[str, str]]()
    for action in actions:
        if action.request not in seen:
            seen.add(action.request)
            try:
                strays.act(action)
            except ValueError:  # it was refused then, and changed nothing
                continue
    return strays
