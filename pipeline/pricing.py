"""Prices: one small calculation per model, from a quantity to an exact amount. Source: rating.md §2.

Amounts are exact here; a line is rounded where it is made (`rating`). A negative quantity is priced as 0, here and
nowhere else.
"""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.money import EXACT, exact
from schemas.price import Flat, Graduated, Package, PerUnit, ScalarPrice, Tier, Volume

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Charge:
    """Units at one unit price, plus a fee."""

    units: Decimal
    unit_price: Decimal
    flat_fee: Decimal = ZERO
    up_to: Decimal | None = None

    @property
    def amount(self) -> Decimal:
        """units × unit_price + flat_fee, exactly."""
        return self.units * self.unit_price + self.flat_fee


def price_charges(price: ScalarPrice, quantity: Decimal) -> tuple[Charge, ...]:
    """The charges of a quantity under a scalar price; their amounts add up to its exact amount."""
    used = max(exact(quantity), ZERO)
    with decimal.localcontext(EXACT):
        match price:
            case Flat():
                return flat(price)
            case PerUnit():
                return per_unit(price, used)
            case Graduated():
                return graduated(used, price.tiers)
            case Volume():
                return volume(used, price.tiers)
            case Package():
                return package(price, used)


def amount_of(charges: Sequence[Charge]) -> Decimal:
    """The exact sum of charges."""
    with decimal.localcontext(EXACT):
        return sum((charge.amount for charge in charges), ZERO)


def flat(price: Flat) -> tuple[Charge, ...]:
    """`amount` × `quantity`, whatever the usage."""
    return (Charge(price.quantity, price.amount),)


def per_unit(price: PerUnit, quantity: Decimal) -> tuple[Charge, ...]:
    """Every unit at one price."""
    return (Charge(quantity, price.unit_price),)


def graduated(quantity: Decimal, tiers: Sequence[Tier]) -> tuple[Charge, ...]:
    """Each unit at the price of the tier it falls in; `up_to` is inclusive and open in the last tier.

    A tier is entered above its lower bound and then adds its fee once; the first is entered at quantity 0 too.
    """
    ends = [quantity if tier.up_to is None else tier.up_to for tier in tiers]
    starts = [ZERO, *ends[:-1]]
    return tuple(
        Charge(min(quantity, end) - start, tier.unit_price, tier.flat_fee, tier.up_to)
        for index, (tier, start, end) in enumerate(zip(tiers, starts, ends, strict=True))
        if index == 0 or quantity > start
    )


def volume(quantity: Decimal, tiers: Sequence[Tier]) -> tuple[Charge, ...]:
    """The tier with the smallest `up_to` ≥ quantity prices all units and adds its fee, also at 0."""
    tier = next(tier for tier in tiers if tier.up_to is None or quantity <= tier.up_to)
    return (Charge(quantity, tier.unit_price, tier.flat_fee, tier.up_to),)


def package(price: Package, quantity: Decimal) -> tuple[Charge, ...]:
    """Packages begun (or full, with rounding `down`) after the free units, each at one price."""
    rest = max(ZERO, quantity - price.free_units)
    full, part = divmod(rest, price.package_size)
    begun = full + 1 if part and price.rounding == "up" else full
    return (Charge(begun, price.package_price),)
