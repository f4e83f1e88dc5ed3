"""Prepaid credits are burnt in one order, as a payment of the total or as a discount before tax.

Source: rating.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.credit import CreditGrant, CreditUse
from schemas.discount import DiscountPart, unknown_charges
from schemas.money import Currency, allocate, round_money
from schemas.period import Moment
from schemas.quantity import ZERO, exactly


class InsufficientBalance(ValueError):
    """An all-or-nothing debit is beyond the usable balance; nothing is drawn."""

    code = "insufficient_balance"

    def __init__(self, due: Decimal, balance: Decimal) -> None:
        super().__init__(f"insufficient_balance: {due} is due, {balance} can be used")
        self.due, self.balance = due, balance


@dataclass(frozen=True, slots=True)
class Drawn:
    """What grants paid, in burn order; what is still due; what usable grants have left."""

    uses: tuple[CreditUse, ...]
    due: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Payable:
    """A line that credits may pay: its net, its tax, and the moment at which a grant must be valid (None: never)."""

    charge: str
    net: Decimal
    moment: Moment | None
    tax: Decimal = ZERO


def burn_order(grants: Iterable[CreditGrant]) -> list[CreditGrant]:
    """Priority (lower first, missing last), expiry (earliest first, missing last), free before paid, creation, id."""
    return sorted(grants, key=_rank)


def _rank(grant: CreditGrant) -> tuple[object, ...]:
    priority = (grant.priority is None, grant.priority or 0)
    expiry = (grant.expires_at is None, grant.expires_at or grant.effective_at)
    return (*priority, *expiry, grant.funding == "paid", grant.created_at or grant.effective_at, grant.id)


@exactly
def draw(
    due: Decimal, grants: Sequence[CreditGrant], at: Moment, currency: Currency, *, all_or_nothing: bool = False
) -> Drawn:
    """Pays an amount at a moment with the grants that are valid then and restricted to nothing.

    Uses what is due and keeps the rest. Raises InsufficientBalance for an all-or-nothing debit beyond the balance, and
    ValueError for a negative amount and for a grant in another currency.
    """
    checked_due(due)
    usable = [grant for grant in _in_currency(grants, currency) if grant.is_usable_at(at) and not grant.applies_to]
    balance = sum((grant.left for grant in usable), due - due)
    if all_or_nothing and balance < due:
        raise InsufficientBalance(due, balance)
    rest = due
    uses = []
    for grant in burn_order(usable):
        used = min(grant.left, rest)
        rest -= used
        if used:
            uses.append(_use(grant, used, currency))
    return Drawn(tuple(uses), rest, balance - (due - rest))


@exactly
def pay(due: Decimal, lines: Sequence[Payable], grants: Sequence[CreditGrant], currency: Currency) -> Drawn:
    """Pays the total of a document, tax included, from the grants that are a payment.

    A grant that is restricted to charges pays at most the nets of their lines; one that is valid for some lines only
    pays at most what these come to with tax; both less what earlier ones limited in this way took there.
    """
    checked_due(due)
    payments = [grant for grant in _in_currency(grants, currency) if grant.treatment == "payment"]
    taken = [ZERO] * len(lines)
    rest, balance = due, due - due
    uses = []
    for grant in burn_order(payments):
        covered = [index for index, line in enumerate(lines) if _pays(grant, line)]
        if not covered:
            continue
        used = min(grant.left, rest)
        if grant.applies_to or len(covered) < len(lines):
            weights = [_limit(grant, lines[index], taken[index]) for index in covered]
            used = min(used, sum(weights, ZERO))
            for index, part in zip(covered, allocate(used, weights, currency), strict=True):
                taken[index] += part
        rest -= used
        balance += grant.left - used
        if used:
            uses.append(_use(grant, used, currency))
    return Drawn(tuple(uses), rest, balance)


@exactly
def discount_by_grants(
    lines: Sequence[Payable], grants: Sequence[CreditGrant], currency: Currency
) -> tuple[tuple[CreditUse, ...], tuple[tuple[DiscountPart, ...], ...]]:
    """What the grants that are a discount take off the nets of the lines they cover, before tax; per grant and line."""
    rests = [line.net for line in lines]
    parts: list[list[DiscountPart]] = [[] for _ in lines]
    uses = []
    for grant in burn_order(grant for grant in _in_currency(grants, currency) if grant.treatment == "discount"):
        weights = [rest if _pays(grant, line) else rest - rest for rest, line in zip(rests, lines, strict=True)]
        used = min(grant.left, sum(weights, ZERO))
        if not used:
            continue
        for index, part in enumerate(allocate(used, weights, currency)):
            rests[index] -= part
            if part:
                parts[index].append(DiscountPart(grant.id, part))
        uses.append(_use(grant, used, currency))
    return tuple(uses), tuple(tuple(held) for held in parts)


def refuse_unknown_charges(grants: Sequence[CreditGrant], charges: Iterable[str]) -> None:
    """Raises ValueError for the first grant that is restricted to a charge that is not there."""
    known = tuple(charges)
    for index, grant in enumerate(grants):
        for place, charge in unknown_charges(grant.applies_to, known):
            raise ValueError(f"grants[{index}].applies_to[{place}]: no charge {charge!r}")


def checked_due(due: Decimal) -> None:
    """Raises ValueError for an amount due that is negative."""
    if not due.is_finite() or due < 0:
        raise ValueError(f"due: must be at least 0, not {due}")


def _in_currency(grants: Sequence[CreditGrant], currency: Currency) -> Sequence[CreditGrant]:
    for index, grant in enumerate(grants):
        if grant.currency != currency.code:
            raise ValueError(f"grants[{index}].currency: must be {currency.code}, not {grant.currency}")
        if round_money(grant.left, currency) != grant.left:
            raise ValueError(f"grants[{index}].amount: {grant.left} is not rounded to {currency.minor_units} decimals")
    return grants


def _pays(grant: CreditGrant, line: Payable) -> bool:
    return line.moment is not None and grant.covers(line.charge) and grant.is_usable_at(line.moment)


def _limit(grant: CreditGrant, line: Payable, taken: Decimal) -> Decimal:
    """What a limited grant may still pay of a line: only its net, if it is restricted to charges."""
    return max(ZERO, line.net + (ZERO if grant.applies_to else line.tax) - taken)


def _use(grant: CreditGrant, used: Decimal, currency: Currency) -> CreditUse:
    left = round_money(grant.left - used, currency)
    return CreditUse(grant.id, grant.treatment or "payment", round_money(used, currency), left)
