"""Prices of readings: blocks per component, and capacity tiers for a period. Source: rating.md §2, "Optional models".

Slices bill the difference to what was billed; a lower reading is a credit. Units above the last tier are unpriced, not
dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from schemas.price import BlockTier, Capacity, TieredBlocks
from schemas.quantity import ZERO, exact, exactly
from schemas.rated_line import TierUse


@dataclass(frozen=True, slots=True)
class ReadingAmount:
    """The exact amount of readings, the blocks it consists of, and what lies above every tier, per name."""

    amount: Decimal
    tiers: tuple[TierUse, ...]
    unpriced: Mapping[str, Decimal]


@exactly
def price_blocks(price: TieredBlocks, quantities: Mapping[str, Decimal]) -> ReadingAmount:
    """Blocks per component, begun ones in full; a component without a price is unpriced."""
    used: list[TierUse] = []
    unpriced = {}
    for name, reading in quantities.items():
        quantity = max(ZERO, exact(reading))
        tiers = price.components.get(name, ())
        fill = _all_tiers if price.mode == "all_tiers" else _top_tier
        blocks, rest = fill(tiers, quantity)
        used += blocks
        if rest:
            unpriced[name] = rest
    return ReadingAmount(sum((block.amount for block in used), ZERO), tuple(used), unpriced)


@exactly
def price_capacity(price: Capacity, quantities: Mapping[str, Decimal]) -> ReadingAmount:
    """The price of the first tier whose limits all hold; a unit without a limit, or without a reading, holds."""
    readings = {name: exact(quantity) for name, quantity in quantities.items()}
    for tier in price.tiers:
        if all(readings.get(name, ZERO) <= limit for name, limit in tier.max.items()):
            return ReadingAmount(tier.price, (TierUse(None, Decimal(1), tier.price, ZERO, tier.price),), {})
    return ReadingAmount(ZERO, (), readings)


def _all_tiers(tiers: Sequence[BlockTier], quantity: Decimal) -> tuple[list[TierUse], Decimal]:
    """Tiers filled in order, each with its own blocks."""
    used = []
    rest = quantity
    for tier in tiers:
        units = rest if tier.max_blocks is None else min(rest, tier.max_blocks * tier.block_size)
        if units:
            used.append(_blocks(tier, units))
        rest -= units
    return used, rest


def _top_tier(tiers: Sequence[BlockTier], quantity: Decimal) -> tuple[list[TierUse], Decimal]:
    """All units in blocks of the tier whose cumulative reach first contains them."""
    reach = ZERO
    for tier in tiers:
        reach = quantity if tier.max_blocks is None else reach + tier.max_blocks * tier.block_size
        if quantity <= reach:
            return ([_blocks(tier, quantity)] if quantity else []), ZERO
    return ([_blocks(tiers[-1], reach)] if tiers and reach else []), quantity - reach


def _blocks(tier: BlockTier, units: Decimal) -> TierUse:
    blocks = (units / tier.block_size).to_integral_value(rounding=ROUND_CEILING)
    return TierUse(None, blocks, tier.block_price, ZERO, blocks * tier.block_price)
