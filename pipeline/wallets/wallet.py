"""A customer's prepaid credits as a fold of what happened to them: the one definition of a balance.

Entries follow from billing.finalisations in order, so a wallet is a function of a prefix of that log; tables and views
hold sums of the same entries. Per grant, to the minor unit: granted = burnt + expired + revoked + left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from pipeline.calendar.windows import window_at
from schemas.credit import CreditGrant
from schemas.period import Moment
from schemas.quantity import ZERO
from schemas.wallet import CreditOrder, OrderState, RechargeRule, Revoking, WalletEntry


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant and what became of it."""

    terms: CreditGrant
    granted: Decimal = ZERO
    burnt: Decimal = ZERO
    """What final documents drew, less what came back."""
    expired: Decimal = ZERO
    revoked: Decimal = ZERO
    revoking: Revoking | None = None
    withdrawn: Decimal = ZERO
    """Its money went back: what cannot be used until it is paid again."""
    changes: int = 0
    """How many entries speak of it."""

    @property
    def left(self) -> Decimal:
        """What can still be drawn while it is valid."""
        return self.granted - self.burnt - self.expired - self.revoked - self.withdrawn


@dataclass(frozen=True, slots=True)
class Order:
    """A sale of credits and how it stands."""

    terms: CreditOrder
    state: OrderState = "ordered"
    document: str = ""
    on_order: Decimal = ZERO
    """Credits that are sold and not paid."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """The credits of one customer, in any currency."""

    grants: Mapping[str, HeldGrant] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)
    rules: Mapping[str, RechargeRule] = field(default_factory=dict)
    """By currency."""


EMPTY = Wallet()


def wallet_of(entries: Iterable[WalletEntry], before: Wallet = EMPTY) -> Wallet:
    """What entries, in order, make of a wallet."""
    for entry in entries:
        before = _BY_KIND[entry.kind](before, entry)
    return before


def balance(wallet: Wallet, currency: str, at: datetime) -> Decimal:
    """What can be used at a moment of billing time: what is left of the grants that are valid then.

    For the balance as of a position of billing.finalisations: fold the entries below it.
    """
    moment = Moment(at)
    usable = (each for each in wallet.grants.values() if each.terms.is_usable_at(moment))
    return sum((each.left for each in usable if each.terms.currency == currency), ZERO)


def recharge_refusal(wallet: Wallet, currency: str, at: datetime) -> str:
    """Why the recharge rule buys nothing at a moment of billing time; empty if it buys."""
    rule = wallet.rules.get(currency)
    if rule is None or at < rule.at:
        return f"recharge: there is no rule for {currency} at that time"
    there = balance(wallet, currency, at)
    if there >= rule.below:
        return f"recharge: {there} {currency} is not below {rule.below}"
    own = [each for each in wallet.orders.values() if each.terms.recharge and each.terms.currency == currency]
    if any(each.state in ("ordered", "open", "unpaid") for each in own):
        return "recharge: the sale before is not paid yet"
    if any(each.state == "closed" and each.terms.at >= rule.at for each in own):
        return "recharge: it has stopped, as nobody paid; set it anew"
    if any(each.terms.at > at for each in own):
        return "recharge: a later one was made already"
    for size, cap in (("day", rule.per_day), ("month", rule.per_month)):
        window = window_at("day" if size == "day" else "month", at, rule.time_zone)
        bought = sum((each.terms.amount for each in own if window.contains(each.terms.at)), ZERO)
        if cap is not None and bought + rule.amount > cap:
            return f"recharge: {bought} were bought this {size} of at most {cap}"
    return ""


def _ordered(wallet: Wallet, entry: WalletEntry) -> Wallet:
    assert entry.order is not None
    return replace(wallet, orders={**wallet.orders, entry.grant: Order(entry.order)})


def _sold(wallet: Wallet, entry: WalletEntry) -> Wallet:
    return _moved(wallet, entry, "open")


def _closed(wallet: Wallet, entry: WalletEntry) -> Wallet:
    return _moved(wallet, entry, "closed")


def _granted(wallet: Wallet, entry: WalletEntry) -> Wallet:
    held = wallet.grants.get(entry.grant)
    if held is None:
        assert entry.terms is not None
        held = HeldGrant(entry.terms, granted=entry.amount)
    else:  # paid again
        held = replace(held, withdrawn=held.withdrawn - entry.amount)
    return _moved(_with(wallet, held), entry, "paid")


def _withdrawn(wallet: Wallet, entry: WalletEntry) -> Wallet:
    """Less than nothing if a document, made before, draws from what was withdrawn."""
    held = wallet.grants[entry.grant]
    wallet = _with(wallet, replace(held, withdrawn=held.withdrawn - entry.amount))
    return _moved(wallet, entry, "unpaid" if entry.amount <= 0 else wallet.orders[entry.grant].state)


def _burnt(wallet: Wallet, entry: WalletEntry) -> Wallet:
    held = wallet.grants[entry.grant]
    return _with(wallet, replace(held, burnt=held.burnt - entry.amount))


def _expired(wallet: Wallet, entry: WalletEntry) -> Wallet:
    held = wallet.grants[entry.grant]
    return _with(wallet, replace(held, expired=held.expired - entry.amount))


def _revoked(wallet: Wallet, entry: WalletEntry) -> Wallet:
    held = wallet.grants[entry.grant]
    revoking = entry.revoking or held.revoking or "forfeited"
    return _with(wallet, replace(held, revoked=held.revoked - entry.amount, revoking=revoking))


def _rule(wallet: Wallet, entry: WalletEntry) -> Wallet:
    rules = {code: rule for code, rule in wallet.rules.items() if code != entry.currency}
    return replace(wallet, rules=rules if entry.rule is None else {**rules, entry.currency: entry.rule})


def _with(wallet: Wallet, held: HeldGrant) -> Wallet:
    return replace(wallet, grants={**wallet.grants, held.terms.id: replace(held, changes=held.changes + 1)})


def _moved(wallet: Wallet, entry: WalletEntry, state: OrderState) -> Wallet:
    order = wallet.orders.get(entry.grant)
    if order is None:
        return wallet
    document = entry.document if entry.kind == "sold" else order.document
    after = replace(order, state=state, document=document, on_order=order.on_order + entry.on_order)
    return replace(wallet, orders={**wallet.orders, entry.grant: after})


_BY_KIND = {
    "ordered": _ordered, "sold": _sold, "granted": _granted, "burnt": _burnt, "returned": _burnt, "expired": _expired,
    "revoked": _revoked, "withdrawn": _withdrawn, "closed": _closed, "recharge_rule": _rule,
}  # fmt: skip
