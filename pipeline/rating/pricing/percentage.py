"""The price of a list of transactions: a share of each, and a fee per transaction. Source: rating.md §2.

An allowance comes first: free transactions to a number, free money to an amount, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.price import Percentage
from schemas.quantity import HUNDRED, ZERO, exact, exactly
from schemas.rated_line import TransactionUse


@dataclass(frozen=True, slots=True)
class PercentageAmount:
    """The exact amount of transactions, what it consists of before bounds, and the transactions without a price."""

    amount: Decimal
    use: TransactionUse
    per_event: tuple[Decimal, ...]
    unpriced: tuple[Decimal, ...] = ()


@dataclass(slots=True)
class _Allowance:
    """What is still free: transactions to a number, money to an amount; open while neither is used up."""

    price: Percentage
    events: int = 0
    used: Decimal = ZERO

    def take(self, amount: Decimal) -> Decimal | None:
        """The free part of the next transaction; None if all of it is, even one of amount 0."""
        opened = self._is_open()
        free = self._free_part(amount) if opened else ZERO
        self.events += 1
        self.used += free
        return None if opened and free == amount else free

    def _is_open(self) -> bool:
        events, limit = self.price.free_events, self.price.free_amount
        if events is None and limit is None:
            return False
        return (events is None or self.events < events) and (limit is None or self.used < limit)

    def _free_part(self, amount: Decimal) -> Decimal:
        limit = self.price.free_amount
        return amount if limit is None else min(amount, limit - self.used)


@exactly
def price_transactions(price: Percentage, transactions: Sequence[Decimal]) -> PercentageAmount:
    """What transactions cost, in order of (event time, arrival). A negative one is unpriced, not free."""
    allowance = _Allowance(price)
    rate = price.rate_percent / HUNDRED
    rate_amount = fixed_amount = ZERO
    costs: list[Decimal] = []
    unpriced: list[Decimal] = []
    paid = 0
    for amount in map(exact, transactions):
        if amount < 0:
            unpriced.append(amount)
            continue
        free = allowance.take(amount)
        if free is None:
            costs.append(ZERO)
            continue
        share = (amount - free) * rate
        rate_amount += share
        fixed_amount += price.fixed_fee
        paid += 1
        costs.append(_bounded(price, share + price.fixed_fee))
    use = TransactionUse(len(costs), paid, allowance.used, rate_amount, fixed_amount)
    return PercentageAmount(sum(costs, ZERO), use, tuple(costs), tuple(unpriced))


def _bounded(price: Percentage, cost: Decimal) -> Decimal:
    if price.min_per_event is not None:
        cost = max(cost, price.min_per_event)
    if price.max_per_event is not None:
        cost = min(cost, price.max_per_event)
    return cost
