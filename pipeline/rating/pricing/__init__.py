"""Prices: one small function per model, from usage to exact amounts. Source: rating.md §2."""

from pipeline.rating.pricing.blocks import ReadingAmount, price_blocks, price_capacity
from pipeline.rating.pricing.bucketed import BucketedAmount, price_buckets
from pipeline.rating.pricing.conversion import convert
from pipeline.rating.pricing.matrix import MatrixAmount, MatrixLine, price_matrix
from pipeline.rating.pricing.percentage import PercentageAmount, price_transactions
from pipeline.rating.pricing.scalar import Priced, price_quantity
from pipeline.rating.pricing.usage import UsageRow, Used, total

__all__ = [
    "BucketedAmount",
    "MatrixAmount",
    "MatrixLine",
    "PercentageAmount",
    "Priced",
    "ReadingAmount",
    "UsageRow",
    "Used",
    "convert",
    "price_blocks",
    "price_buckets",
    "price_capacity",
    "price_matrix",
    "price_quantity",
    "price_transactions",
    "total",
]
