"""Runs look back: closed periods that late records touch are added to them. Shared by the closer and by a replay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

from agents.store.late_usage import LateUsageStore
from pipeline.closing.late_usage import closed_before, with_late
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import BillingRun
from schemas.period import Period
from schemas.tick import Tick

LONGEST_PERIOD = timedelta(days=400)
"""Raw usage is kept that long: what is older cannot be rated anew."""


def looking_back(
    store: LateUsageStore, tick: Tick, runs: Sequence[BillingRun], catalogue: Catalogue
) -> list[BillingRun]:
    """The runs with the closed periods that came to be touched since each customer's run before; in their order.

    One query per earlier tick that runs follow: at a month's end they all follow the same few.
    """
    found = {run.customer: run for run in runs}
    following = sorted((run for run in runs if run.follows), key=lambda run: (run.follows, run.customer))
    for follows, group in groupby(following, key=lambda run: run.follows):
        customers = [run.customer for run in group]
        time, vector = store.tick(follows)
        closed_to = store.closed_to(follows, time, customers)
        if closed_to is None:
            continue
        touches = store.touches(tick, vector, Period(tick.time - LONGEST_PERIOD, closed_to), customers)
        closes = store.closes_before(tick.number, sorted(touches)) if touches else {}
        for customer, hours in touches.items():
            known = closed_before(closes.get(customer, ()), catalogue)
            found[customer] = with_late(found[customer], known, hours, catalogue)
    return [found[run.customer] for run in runs]
