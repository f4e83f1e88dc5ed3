"""What a period will come to if it goes on as it went so far."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from schemas.period import Period
from schemas.quantity import exactly

MICROSECOND = timedelta(microseconds=1)
SHARE_AT_LEAST = 10
"""A tenth of the period must have passed: before that one busy hour would be a month."""


@exactly
def forecast(used: Decimal, period: Period, at: datetime) -> Decimal | None:
    """The usage of the whole period, in proportion to the time that has passed, to twelve decimals; None too early."""
    passed = min(at, period.end) - period.start
    if passed * SHARE_AT_LEAST < period.length or not period.length:
        return None
    ratio = Decimal(period.length // MICROSECOND) / Decimal(passed // MICROSECOND)
    return (used * ratio).quantize(Decimal("1e-12"))
