"""Discounts of lines, then of the invoice: percentages first, then fixed amounts. Source: rating.md §6."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.discount import Discount, DiscountPart, unknown_charges
from schemas.money import Currency, allocate, round_money
from schemas.quantity import HUNDRED, ZERO, exactly, not_negative


@dataclass(frozen=True, slots=True)
class Discounted:
    """What discounts took off an amount, one by one, and the rest, never below 0."""

    parts: tuple[DiscountPart, ...]
    rest: Decimal

    @property
    def discount(self) -> Decimal:
        """All that was taken off."""
        return sum((part.amount for part in self.parts), self.rest - self.rest)


@exactly
def discount_amount(amount: Decimal, discounts: Sequence[Discount], currency: Currency) -> Discounted:
    """An amount after discounts of its own: percentages, each on the remainder, then fixed amounts, in list order.

    Each step is rounded; what exceeds the amount is lost. Raises ValueError for a negative amount and for a fixed
    discount in another currency.
    """
    rest = not_negative(amount, "amount")
    parts = []
    for discount in in_order(discounts, currency):
        taken = taken_by(discount, rest, currency)
        rest -= taken
        parts.append(DiscountPart(discount.id, taken))
    return Discounted(tuple(parts), rest)


@exactly
def discount_lines(
    lines: Sequence[tuple[str, Decimal]], discounts: Sequence[Discount], currency: Currency
) -> tuple[Discounted, ...]:
    """Discounts of an invoice on its lines, given as (charge, what is left of it).

    Each is taken from what is left of all lines that it covers, rounded once, and allocated with that as weights: a
    line never falls below 0, and a line that is not covered stays as it is.
    """
    rests = [not_negative(rest, f"lines[{index}]") for index, (_, rest) in enumerate(lines)]
    parts: list[list[DiscountPart]] = [[] for _ in lines]
    for discount in in_order(discounts, currency):
        weights = [
            rest if discount.covers(charge) else rest - rest for rest, (charge, _) in zip(rests, lines, strict=True)
        ]
        taken = taken_by(discount, sum(weights, ZERO), currency)
        for index, share in enumerate(allocate(taken, weights, currency)):
            rests[index] -= share
            if share:
                parts[index].append(DiscountPart(discount.id, share))
    return tuple(Discounted(tuple(held), rest) for held, rest in zip(parts, rests, strict=True))


def in_order(discounts: Iterable[Discount], currency: Currency) -> list[Discount]:
    """Percentages first, then fixed amounts, otherwise as given. Raises ValueError for another currency."""
    found = list(discounts)
    for index, discount in enumerate(found):
        if discount.currency is not None and discount.currency != currency.code:
            raise ValueError(f"discounts[{index}].currency: must be {currency.code}, not {discount.currency}")
    return sorted(found, key=lambda discount: discount.type == "fixed")


def taken_by(discount: Discount, rest: Decimal, currency: Currency) -> Decimal:
    """What a discount takes of a rest, rounded: never more than there is."""
    full = rest * discount.value / HUNDRED if discount.type == "percentage" else discount.value
    return min(round_money(full, currency), rest)


def refuse_unknown_charges(discounts: Sequence[Discount], charges: Iterable[str]) -> None:
    """Raises ValueError for the first discount that is limited to a charge that is not there."""
    known = tuple(charges)
    for index, discount in enumerate(discounts):
        for place, charge in unknown_charges(discount.applies_to, known):
            raise ValueError(f"discounts[{index}].applies_to[{place}]: no charge {charge!r}")
