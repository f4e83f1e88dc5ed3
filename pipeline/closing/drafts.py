"""Drafts of open periods in their grace: what would be billed at its end, as of the first tick of each full hour.

A draft has an id of its own, as an invoice is named after the tick that bills it, which nobody knows before; when that
run is there, the draft is replaced by its invoice, and says so. Source: design.md §4, rating.md §8.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.closing.runs import bill
from pipeline.subscriptions.charges import next_due
from schemas.customer_state import CustomerState, Drafted
from schemas.draft import DraftStep
from schemas.identity import content_hash, derived_id
from schemas.invoice import Invoice
from schemas.tick import Tick

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_draft_at(state: CustomerState) -> datetime | None:
    """The earliest time of a tick that drafts something, or has a draft replaced; None if none does."""
    moments = [] if state.draft is None else [state.draft.due]
    if (open_now := _in_grace(state)) is not None:
        ended, due = open_now
        hour = ended + -(ended - EPOCH) % HOUR
        if state.draft is not None:
            hour = max(hour, state.draft.hour + HOUR)
        moments += [hour] if hour < due else []
    return min(moments, default=None)


def drafted(state: CustomerState, tick: Tick) -> tuple[CustomerState, tuple[DraftStep, ...]]:
    """What a tick does with drafts, once it has billed what is due; and the state that knows it."""
    steps: list[DraftStep] = []
    held = state.draft
    if held is not None and held.due <= tick.time:
        steps.append(DraftStep(customer=state.customer, tick=tick.number, key=held.key, due=held.due,
                               billed_by=state.last_run))  # fmt: skip
        state = state.model_copy(update={"draft": None})
    at = next_draft_at(state)
    open_now = _in_grace(state)
    if at is None or open_now is None or at > tick.time:
        return state, tuple(steps)
    _, due = open_now
    _, run = bill(state, tick.model_copy(update={"time": due}))
    if run is None:
        return state, tuple(steps)
    key = due if state.draft is None else state.draft.key
    run = run.model_copy(update={"tick": tick})
    steps.append(DraftStep(customer=state.customer, tick=tick.number, key=key, due=due, run=run))
    hour = tick.time - (tick.time - EPOCH) % HOUR
    return state.model_copy(update={"draft": Drafted(key=key, due=due, hour=hour)}), tuple(steps)


def _in_grace(state: CustomerState) -> tuple[datetime, datetime] | None:
    """When the period ended, or ends, whose grace is over first, and when that is."""
    found = min(_graces(state), default=None)
    return None if found is None else (found[1], found[0])


def _graces(state: CustomerState) -> Iterator[tuple[datetime, datetime]]:
    for held in state.subscriptions:
        for charge in held.charges:
            if charge.timing == "arrears" and not charge.one_time and charge.grace:
                due = next_due(charge, held.pauses, held.time_zone, renewals_wait=True)
                if due is not None:
                    yield due.at, due.at - charge.grace


def draft_of(invoice: Invoice, key: datetime, group: str) -> Invoice:
    """An invoice as its run would make it, as a draft with an id of its own."""
    return invoice.model_copy(update={"id": draft_id(invoice.customer, invoice.currency, key, group)})


def draft_id(customer: str, currency: str, key: datetime, group: str = "") -> str:
    """The id of a draft: customer, currency, when it was due as it was first drafted, and group."""
    return str(derived_id("draft invoice", customer, currency, key.isoformat(), group))


def drafted_content(draft: Invoice) -> str:
    """The hash of what a draft bills: of two ticks the same, if nothing else came to be known in between."""
    content: dict[str, Any] = draft.billed_content()
    for name in ("basis", "issued_at", "replaced_by"):
        content.pop(name, None)
    content["lines"] = [
        {name: value for name, value in line.items() if name != "id" or line["adjusts"] is None}
        for line in content["lines"]
    ]
    return content_hash(content)


def replaced(draft: Invoice, tick: Tick, invoice: str) -> Invoice:
    """The last form of a draft: which invoice billed it; empty if none did."""
    return draft.model_copy(update={"replaced_by": invoice, "revision": tick.number})
