"""Which shape of usage a price is applied to: the seam between closing, which freezes usage, and rating.

A close freezes one row per group unless the rate card needs more. What it did not freeze cannot be rated: such usage is
unpriced, with the reason, and its draft cannot become final.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.rating.pricing import UsageRow
from pipeline.rating.rated_lines import has_parts
from schemas.meter import TRANSACTIONS_MAX, Meter
from schemas.plan import RateCard
from schemas.price import Bucketed, Capacity, Percentage, TieredBlocks, Window

# What groups of a meter add up to the meter's whole quantity; the largest or the distinct of each group do not.
ADDS_UP_OVER_GROUPS = ("count", "sum", "weighted_sum", "prorated_sum")
_FROM_FINE = ("minute", "hour", "day", "week", "month")


@dataclass(frozen=True, slots=True)
class UsageNeeded:
    """What rows of usage must tell apart: dimensions, windows of a size, or every transaction in order."""

    dimensions: tuple[str, ...] = ()
    """Empty: one quantity for all. A meter may be grouped more finely if its groups add up."""
    windows: tuple[Window, ...] = ()
    """Sizes in the customer's zone, finest first; rows of the finest serve all that are made of it."""
    transactions: bool = False
    """A row per event, ordered by (event time, arrival), its amount the meter's value."""


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """How the rows of frozen usage are cut: per group or not, per window or not, or one per event."""

    window: Window | Literal[""] = ""
    by_group: bool = True
    transactions: bool = False

    @property
    def name(self) -> str:
        """What it is called where usage is frozen: `groups`, `total`, `day`, `day groups`, `transactions`, …"""
        kind = "transactions" if self.transactions else "groups" if self.by_group else "" if self.window else "total"
        return " ".join(part for part in (self.window, kind) if part)


GROUPS = Shape()
"""What every close freezes of every meter: events and fingerprints are counted from these rows."""


def shape_needed(card: RateCard, meter: Meter) -> Shape:
    """The shape in which a rate card takes the usage of its meter; the finest of its windows serves the others."""
    needed = usage_needed(card, meter)
    window: Window | Literal[""] = needed.windows[0] if needed.windows else ""
    if needed.transactions:
        return Shape(window, by_group=False, transactions=True)
    if window:
        return Shape(window, by_group=bool(needed.dimensions))
    adds_up = bool(needed.dimensions) or meter.aggregation in ADDS_UP_OVER_GROUPS
    return GROUPS if adds_up or not meter.group_by else Shape(by_group=False)


def shapes_needed(cards: Iterable[RateCard], meter: Meter) -> tuple[Shape, ...]:
    """Every shape in which some of the cards that price a meter take its usage, and the one that is always frozen."""
    shapes = {shape_needed(card, meter) for card in cards if card.meter == meter.id}
    return tuple(sorted(shapes | {GROUPS}))


def usage_needed(card: RateCard, meter: Meter) -> UsageNeeded:
    """What a rate card needs to know of the usage of its meter."""
    price = card.price
    if isinstance(price, Percentage):
        return UsageNeeded(windows=windows_needed(card), transactions=True)
    by_dimension = has_parts(card) or isinstance(price, TieredBlocks | Capacity)
    by_dimension = by_dimension or (isinstance(price, Bucketed) and not isinstance(price.by, str))
    return UsageNeeded(meter.group_by if by_dimension else (), windows_needed(card))


def missing(card: RateCard, meter: Meter, rows: Sequence[UsageRow]) -> str | None:
    """Why these rows of usage cannot be rated by the card; None if they can."""
    needed = usage_needed(card, meter)
    if needed.transactions and any(row.events != 1 for row in rows):
        return f"a percentage price needs every transaction, and a close keeps {TRANSACTIONS_MAX:,} of a period apart"
    if needed.windows and any(row.window is None for row in rows):
        return f"the price counts by {needed.windows[0]}, and the close froze the whole period"
    groups = {tuple(sorted(row.values.items(), key=str)) for row in rows}
    if len(groups) > 1 and not needed.dimensions and meter.aggregation not in ADDS_UP_OVER_GROUPS:
        return f"{meter.aggregation} does not add up over groups: leave group_by out of meter {meter.id}"
    return None


def windows_needed(card: RateCard) -> tuple[Window, ...]:
    """The sizes of windows that a rate card counts by, finest first."""
    found: set[str] = set()
    if isinstance(card.price, Bucketed) and isinstance(card.price.by, str):
        found.add(card.price.by)
    if card.free_units is not None and card.free_units_reset != "period":
        found.add(card.free_units_reset)
    if card.commitment is not None and isinstance(card.commitment.per, str) and card.commitment.per != "period":
        found.add(card.commitment.per)
    return tuple(size for size in _FROM_FINE if size in found)  # type: ignore[misc]
