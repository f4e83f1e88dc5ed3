"""When an hour of a customer is far outside its own pattern: compared with the same hour of the days before.

The bound of an hour is its median over the days before plus `sensitivity` times its usual spread, which is 1.4826 times
the median absolute deviation (what a standard deviation is to a bell curve); but at least four and at most six times
the median, as two weeks say little of a spread. What comes once a week is no anomaly: an hour may be three times the
smaller of those of one and of two weeks before. An hour that is idle on most days may be twice the largest hour of any
day. One anomaly in the days before hides none: medians and smaller values do not see it.

The bound does not depend on the hour itself, so an hour is beyond it as soon as what came so far is: ten times the
usual is found when the part of the hour that has passed has used it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from statistics import median

from schemas.quantity import ZERO, exactly

DAYS = 14
"""Days that an hour is compared with."""
DAYS_AT_LEAST = 7
"""With fewer there is no pattern, and no anomaly."""
WEEK = 7
SPREAD = Decimal("1.4826")
MEDIANS_AT_LEAST, MEDIANS_AT_MOST = 4, 6
OF_WEEKS = 3
OF_LARGEST = 2


@exactly
def bound(
    same_hours: Sequence[Decimal], largest: Decimal, *, sensitivity: Decimal, floor: Decimal = ZERO
) -> Decimal | None:
    """From where on an hour is an anomaly; None while too few days are known.

    `same_hours` are the values of the same hour of the days before, one per day, the newest last (0 for a day without
    usage), `largest` is the largest hour of all of them.
    """
    if len(same_hours) < DAYS_AT_LEAST:
        return None
    usual = median(same_hours)
    if not usual:
        return max(OF_LARGEST * largest, floor)
    deviation = median([abs(value - usual) for value in same_hours])
    found = usual + sensitivity * SPREAD * deviation
    found = min(max(found, MEDIANS_AT_LEAST * usual), MEDIANS_AT_MOST * usual)
    if len(same_hours) >= 2 * WEEK:
        found = max(found, OF_WEEKS * min(same_hours[-WEEK], same_hours[-2 * WEEK]))
    return max(found, floor)


def is_anomaly(value: Decimal, limit: Decimal | None) -> bool:
    """Whether an hour, or what came of it so far, is beyond its bound."""
    return limit is not None and value > limit
