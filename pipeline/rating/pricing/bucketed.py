"""A scalar price applied to each window or group alone, and added. Source: rating.md §2, "Bucketed"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.rating.pricing.scalar import price_quantity
from pipeline.rating.pricing.usage import UsageRow
from schemas.period import Period
from schemas.price import Bucketed
from schemas.quantity import ZERO, exact, exactly
from schemas.rated_line import BucketUse


@dataclass(frozen=True, slots=True)
class BucketedAmount:
    """The exact sum over buckets, and each bucket that had usage."""

    amount: Decimal
    billed_quantity: Decimal
    buckets: tuple[BucketUse, ...]


@exactly
def price_buckets(price: Bucketed, usage: Sequence[UsageRow]) -> BucketedAmount:
    """Each bucket with quantity > 0 at the price, after its own free units; empty ones cost nothing, fees included.

    Rows of one window, or of one group, are one bucket. Raises ValueError if rows lack the windows to bucket by.
    """
    used = tuple(_bucket(price, bucket) for bucket in buckets_of(price, usage) if bucket.quantity > 0)
    amount = sum((bucket.amount for bucket in used), ZERO)
    return BucketedAmount(amount, sum((bucket.billed_quantity for bucket in used), ZERO), used)


@exactly
def buckets_of(price: Bucketed, usage: Sequence[UsageRow]) -> tuple[UsageRow, ...]:
    """One row per bucket, in order of first usage. Raises ValueError if a row lacks the window to bucket by."""
    sums: dict[tuple[Period | None, tuple[str | None, ...]], tuple[Decimal, int]] = {}
    for row in usage:
        if isinstance(price.by, str) and row.window is None:
            raise ValueError(f"usage: rows need their {price.by} window for a price by {price.by}")
        key = (row.window, ()) if isinstance(price.by, str) else (None, row.group(price.by))
        quantity, events = sums.get(key, (ZERO, 0))
        sums[key] = (quantity + exact(row.quantity), events + row.events)
    names = () if isinstance(price.by, str) else price.by
    return tuple(
        UsageRow(quantity, dict(zip(names, group, strict=True)), window, events)
        for (window, group), (quantity, events) in sums.items()
    )


def _bucket(price: Bucketed, bucket: UsageRow) -> BucketUse:
    priced = price_quantity(price.price, max(ZERO, bucket.quantity - price.free_units_per_bucket))
    return BucketUse(bucket.window, bucket.values, bucket.quantity, priced.billed_quantity, priced.amount)
