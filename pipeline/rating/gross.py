"""What a charge's usage costs before discounts and bounds: conversion, free units, price. Source: rating.md §2, §3.

A scalar price gives one part; a matrix, or a dynamic price with groups, one per entry and group. Each part is rounded
once, here: it becomes a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.rating.pricing import (
    UsageRow,
    Used,
    convert,
    price_blocks,
    price_buckets,
    price_capacity,
    price_matrix,
    price_quantity,
    price_transactions,
    total,
)
from pipeline.rating.pricing.bucketed import buckets_of
from schemas.money import Currency, round_money
from schemas.plan import RateCard
from schemas.price import Bucketed, Capacity, Dynamic, Matrix, Percentage, TieredBlocks
from schemas.quantity import ZERO, exactly
from schemas.rated_line import BucketUse, TierUse, TransactionUse


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes one line: its quantities, the exact amount, and the amount rounded to the currency."""

    key: tuple[object, ...]
    """Which line it is, in every slice of the period."""
    dimensions: Mapping[str, str | None]
    quantity: Decimal
    converted: Decimal
    billed: Decimal
    exact: Decimal
    gross: Decimal
    events: int
    tiers: tuple[TierUse, ...] = ()
    buckets: tuple[BucketUse, ...] = ()
    transactions: TransactionUse | None = None
    usage: tuple[UsageRow, ...] = ()
    """The rows that it was priced from."""


@dataclass(frozen=True, slots=True)
class Gross:
    """All parts of a charge, and usage that no price covers: an error on the draft that stops its finalisation."""

    parts: tuple[Part, ...]
    unpriced: tuple[object, ...] = ()


@exactly
def gross_of(card: RateCard, used: Used, currency: Currency, free_units: Decimal | None) -> Gross:
    """The gross parts of cumulative usage. `free_units` are those of the card for this period, prorated if they are.

    Raises ValueError if the usage is not what the price needs: rows for prices by transaction, dimension or window.
    """
    price = card.price
    if isinstance(price, Percentage):
        return _transactions(price, _rows(used, "a percentage price"), currency)
    if isinstance(price, Matrix):
        return _matrix(card, price, _rows(used, "a matrix price"), currency, free_units)
    if isinstance(price, Bucketed):
        return Gross((_bucketed(card, price, _rows(used, "a bucketed price"), currency, free_units),))
    if isinstance(price, Dynamic) and price.group_by:
        return _groups(card, price, _rows(used, "a price by group"), currency, free_units)
    if isinstance(price, TieredBlocks | Capacity):
        return _readings(card, price, used, currency)
    return Gross((_scalar(card, used, currency, free_units),))


def _rows(used: Used, what: str) -> Sequence[UsageRow]:
    if isinstance(used, Decimal):
        if used:
            raise ValueError(f"usage: {what} needs rows of usage, not one number")
        return ()
    return used


def _scalar(
    card: RateCard,
    used: Used,
    currency: Currency,
    free_units: Decimal | None,
    key: tuple[object, ...] = (),
    dimensions: Mapping[str, str | None] | None = None,
) -> Part:
    quantity = total(used)
    if free_units is not None and card.free_units_reset != "period":
        converted, billed = _by_window(card, _rows(used, f"free units per {card.free_units_reset}"), free_units)
    else:
        converted = convert(card.unit_conversion, quantity)
        billed = converted if free_units is None else _after(free_units, converted)
    priced = price_quantity(card.price, billed)  # type: ignore[arg-type]  # not scalar: refused there
    return Part(
        key=key,
        dimensions=dimensions or {},
        quantity=quantity,
        converted=converted,
        billed=priced.billed_quantity,
        exact=priced.amount,
        gross=round_money(priced.amount, currency),
        events=0 if isinstance(used, Decimal) else sum(row.events for row in used),
        tiers=priced.tiers,
        usage=() if isinstance(used, Decimal) else tuple(used),
    )


def _by_window(card: RateCard, usage: Sequence[UsageRow], free_units: Decimal) -> tuple[Decimal, Decimal]:
    """Free units that start anew in each window: taken off each, the rests added."""
    windows: dict[object, Decimal] = {}
    for row in usage:
        if row.window is None:
            raise ValueError(f"usage: rows need their {card.free_units_reset} window: free units reset with it")
        windows[row.window] = windows.get(row.window, ZERO) + row.quantity
    converted = [convert(card.unit_conversion, quantity) for quantity in windows.values()]
    return sum(converted, ZERO), sum((_after(free_units, part) for part in converted), ZERO)


def _after(free_units: Decimal, quantity: Decimal) -> Decimal:
    """What free units leave of a quantity: not below 0, but a negative one keeps its sign to offset later usage."""
    return min(quantity, max(ZERO, quantity - free_units))


def _groups(
    card: RateCard, price: Dynamic, usage: Sequence[UsageRow], currency: Currency, free_units: Decimal | None
) -> Gross:
    groups: dict[tuple[str | None, ...], list[UsageRow]] = {}
    for row in usage:
        groups.setdefault(row.group(price.group_by), []).append(row)
    return Gross(
        tuple(
            _scalar(card, rows, currency, free_units, group, dict(zip(price.group_by, group, strict=True)))
            for group, rows in groups.items()
        )
    )


def _transactions(price: Percentage, usage: Sequence[UsageRow], currency: Currency) -> Gross:
    if not usage:
        return Gross(())
    priced = price_transactions(price, [row.quantity for row in usage])
    quantity = total(usage)
    gross = round_money(priced.amount, currency)
    billed = sum((row.quantity for row in usage if row.quantity > 0), ZERO) - priced.use.free_amount
    part = Part(
        (), {}, quantity, quantity, billed, priced.amount, gross, len(usage), transactions=priced.use,
        usage=tuple(usage),
    )  # fmt: skip
    return Gross((part,), priced.unpriced)


def _matrix(
    card: RateCard, price: Matrix, usage: Sequence[UsageRow], currency: Currency, free_units: Decimal | None
) -> Gross:
    priced = price_matrix(price, usage)
    left = free_units or ZERO
    parts = []
    for line in priced.lines:
        converted = convert(card.unit_conversion, line.quantity)
        billed = max(ZERO, converted)
        taken = min(left, billed)
        left -= taken
        billed -= taken
        amount = billed * line.unit_price
        tier = TierUse(None, billed, line.unit_price, ZERO, amount)
        gross = round_money(amount, currency)
        parts.append(Part(line.key, line.values, line.quantity, converted, billed, amount, gross, line.events, (tier,)))
    return Gross(tuple(parts), priced.unpriced)


def _bucketed(
    card: RateCard, price: Bucketed, usage: Sequence[UsageRow], currency: Currency, free_units: Decimal | None
) -> Part:
    left = free_units or ZERO
    buckets = []
    for bucket in buckets_of(price, usage):
        converted = convert(card.unit_conversion, bucket.quantity)
        taken = min(left, max(ZERO, converted))
        left -= taken
        buckets.append(UsageRow(converted - taken, bucket.values, bucket.window, bucket.events))
    priced = price_buckets(price, buckets)
    quantity = total(usage)
    converted = total(buckets)
    gross = round_money(priced.amount, currency)
    events = sum(row.events for row in usage)
    return Part(
        (), {}, quantity, converted, priced.billed_quantity, priced.amount, gross, events, buckets=priced.buckets,
        usage=tuple(usage),
    )  # fmt: skip


def _readings(card: RateCard, price: TieredBlocks | Capacity, used: Used, currency: Currency) -> Gross:
    """Rows name their component, or unit, by the only dimension of the meter; a number is the only one there is."""
    quantities: dict[str, Decimal] = {}
    for row in _component_rows(price, used):
        (name,) = row.values.values()
        quantities[str(name)] = quantities.get(str(name), ZERO) + row.quantity
    quantities = {name: convert(card.unit_conversion, quantity) for name, quantity in quantities.items()}
    priced = price_blocks(price, quantities) if isinstance(price, TieredBlocks) else price_capacity(price, quantities)
    quantity = sum(quantities.values(), ZERO)
    billed = quantity - sum(priced.unpriced.values(), ZERO)
    gross = round_money(priced.amount, currency)
    rows = () if isinstance(used, Decimal) else tuple(used)
    events = sum(row.events for row in rows)
    part = Part((), {}, total(used), quantity, billed, priced.amount, gross, events, priced.tiers, usage=rows)
    return Gross((part,), tuple(priced.unpriced.items()))


def _component_rows(price: TieredBlocks | Capacity, used: Used) -> Sequence[UsageRow]:
    if not isinstance(used, Decimal):
        if any(len(row.values) != 1 for row in used):
            raise ValueError(f"usage: rows of a {price.model} price name their component by exactly one dimension")
        return used
    names = set(price.components) if isinstance(price, TieredBlocks) else {name for t in price.tiers for name in t.max}
    if used and len(names) != 1:
        raise ValueError(f"usage: a {price.model} price with {len(names)} components needs rows of usage")
    return (UsageRow(used, {"component": names.pop()}),) if used else ()
