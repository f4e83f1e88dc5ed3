"""The gate of a close: the comparisons of `tally reconcile`, for the spans that are to be closed.

A difference parks the customers that it touches, for the reason that it has; all others close on time. Source:
design.md §6.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from agents.freezing import NONE, Days
from agents.store.reconciliation import ReconciliationStore
from pipeline.meters.usage_sql import whole_days
from schemas.catalogue_entry import MeterEntry
from schemas.period import Period
from schemas.tick import Tick


class Fault(NamedTuple):
    """Why a customer's span cannot be closed."""

    reason: Literal["rows_lost", "totals_differ"]
    detail: str


def touched_customers(
    reconciliation: ReconciliationStore, tick: Tick, wanted: Iterable[tuple[MeterEntry, Period]], days: Days = NONE
) -> Mapping[tuple[str, Period], Fault]:
    """(customer, span) -> what differs, for each meter version and span that a tick's runs need; `days` are the sealed
    ones that they take instead of raw events.

    Rows that were lost below the tick's vector come before totals: without a row, both sides may agree and be wrong.
    """
    asked = list(wanted)
    found: dict[tuple[str, Period], Fault] = {}
    for entry, span in asked:
        known = days.get((entry.name, entry.version), {})
        taken = {day: known[day] for day in whole_days(span) if day in known}
        for differing in (
            reconciliation.differing_customers(tick, entry, span), reconciliation.differing_days(tick, entry, taken)
        ):  # fmt: skip
            found |= {(customer, span): Fault("totals_differ", said) for customer, said in differing.items()}
    for span in {span for _, span in asked}:
        for customer, said in reconciliation.customers_with_lost_rows(tick, span).items():
            found[customer, span] = Fault("rows_lost", said)
    return found
