"""Prices of one number: a small calculation per model, from a quantity to an exact amount. Source: rating.md §2.

A negative aggregated quantity is priced as 0, here and nowhere else. Nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schemas.price import (
    Dynamic,
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    PerUnit,
    ScalarPrice,
    Volume,
)
from schemas.quantity import HUNDRED, ZERO, exact, exactly
from schemas.rated_line import TierUse


@dataclass(frozen=True, slots=True)
class Priced:
    """The exact amount of a quantity, and the tiers that it is the sum of."""

    amount: Decimal
    billed_quantity: Decimal
    tiers: tuple[TierUse, ...] = ()

    @property
    def unit_price(self) -> Decimal:
        """amount / billed quantity, for display only; 0 for 0."""
        return self.amount / self.billed_quantity if self.billed_quantity else ZERO


@exactly
def price_quantity(price: ScalarPrice, quantity: Decimal) -> Priced:
    """The exact amount of a quantity under a scalar price.

    Raises ValueError, naming the quantity, for a float, NaN or infinity, and TypeError for a price that needs more
    than a number.
    """
    model = _MODELS.get(type(price))
    if model is None:
        raise TypeError(f"price: {price.model} does not price a single number")
    try:
        used = exact(quantity)
    except ValueError as fault:
        raise ValueError(f"quantity: {fault}") from None
    return model(price, used if used > 0 else ZERO)


def flat(price: Flat, _quantity: Decimal) -> Priced:
    """amount x quantity of the price, whatever the usage."""
    part = _use(None, price.quantity, price.amount)
    return Priced(part.amount, price.quantity, (part,))


def per_unit(price: PerUnit, quantity: Decimal) -> Priced:
    """Every unit at one price."""
    part = _use(None, quantity, price.unit_price)
    return Priced(part.amount, quantity, (part,))


def graduated(price: Graduated, quantity: Decimal) -> Priced:
    """Each unit at the price of the tier it falls in; `up_to` is inclusive and open in the last tier.

    A tier is entered above its lower bound and then adds its fee once; the first is entered at quantity 0 too.
    """
    return _graduated(quantity, [(tier.up_to, tier.unit_price, tier.flat_fee) for tier in price.tiers])


def graduated_percentage(price: GraduatedPercentage, amount: Decimal) -> Priced:
    """Graduated over an amount of money, with rate / 100 as the unit price."""
    return _graduated(amount, [(tier.up_to, tier.rate_percent / HUNDRED, tier.flat_fee) for tier in price.tiers])


def _graduated(quantity: Decimal, tiers: Sequence[tuple[Decimal | None, Decimal, Decimal]]) -> Priced:
    used: list[TierUse] = []
    total = lower = ZERO
    for up_to, unit_price, flat_fee in tiers:
        if used and quantity <= lower:
            break
        upper = quantity if up_to is None or quantity <= up_to else up_to
        used.append(_use(up_to, upper - lower, unit_price, flat_fee))
        total += used[-1].amount
        lower = upper
    return Priced(total, quantity, tuple(used))


def volume(price: Volume, quantity: Decimal) -> Priced:
    """The tier with the smallest `up_to` >= quantity prices all units and adds its fee, also at 0."""
    tier = next(tier for tier in price.tiers if tier.up_to is None or quantity <= tier.up_to)
    part = _use(tier.up_to, quantity, tier.unit_price, tier.flat_fee)
    return Priced(part.amount, quantity, (part,))


def package(price: Package, quantity: Decimal) -> Priced:
    """Packages after the free units, begun ones in full (`up`) or only whole ones (`down`)."""
    rest = max(ZERO, quantity - price.free_units)
    whole, begun = divmod(rest, price.package_size)
    packages = whole + 1 if begun and price.rounding == "up" else whole
    part = _use(None, packages, price.package_price)
    return Priced(part.amount, rest, (part,) if packages else ())


def dynamic(price: Dynamic, amount: Decimal) -> Priced:
    """The sum of the events' own amounts, times the multiplier."""
    part = _use(None, amount, price.multiplier)
    return Priced(part.amount, amount, (part,))


def _use(up_to: Decimal | None, units: Decimal, unit_price: Decimal, flat_fee: Decimal = ZERO) -> TierUse:
    return TierUse(up_to, units, unit_price, flat_fee, units * unit_price + flat_fee)


_MODELS: Mapping[type, Callable[[Any, Decimal], Priced]] = {
    Flat: flat,
    PerUnit: per_unit,
    Graduated: graduated,
    Volume: volume,
    Package: package,
    GraduatedPercentage: graduated_percentage,
    Dynamic: dynamic,
}
