"""When a subscription that has ended is still looked at: its grid goes on for as long as late usage is settled.

A run bills what came after earlier closes. Where every charge is billed no run would come any more, and usage that
arrives after the end would find no bill: so runs come that bill nothing but that. Source: rating.md §8.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pipeline.subscriptions.commanding import grid_of
from schemas.customer_state import CustomerState
from schemas.subscription import Charge, Subscription

BEFORE_THE_HORIZON = timedelta(hours=1)
"""The last look comes so long before it: the tick that does it must not lie beyond."""


def next_look_at(state: CustomerState) -> datetime | None:
    """The earliest time of a tick that looks back at a subscription that has ended; None if none does."""
    if state.ran_at is None:
        return None
    moments = [_next(held, state.ran_at) for held in state.subscriptions if held.ends_at is not None]
    return min((moment for moment in moments if moment is not None), default=None)


def _next(held: Subscription, ran_at: datetime) -> datetime | None:
    """The first boundary of the grid, with its grace, after the last run and the end; or shortly before the horizon."""
    metered = [charge for charge in held.charges if charge.meter is not None and charge.late_horizon is not None]
    if not metered or held.ends_at is None:
        return None
    grace = max(charge.grace for charge in metered)
    last = max(_horizon(charge, held.ends_at) for charge in metered) - BEFORE_THE_HORIZON
    after = max(ran_at, held.ends_at + grace)
    moment = min(last, grid_of(held).period_of(after - grace).end + grace)
    return moment if moment > after else None


def _horizon(charge: Charge, ends_at: datetime) -> datetime:
    assert charge.late_horizon is not None
    return (charge.ends_at or ends_at) + charge.late_horizon
