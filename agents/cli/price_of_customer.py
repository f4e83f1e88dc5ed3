"""A real customer's usage as the input of the price calculator: read as a close would read it, as of what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from agents.cli.failures import NotFound, Refused
from agents.cli.names import near
from agents.cli.reading import Reading, reading
from agents.settings import load
from agents.store.metered_usage import Question, UsageRow
from agents.topics import CATALOGUE
from pipeline.closing.period_close import Wanted, frame_of
from pipeline.closing.run_lines import own_card
from pipeline.meters.usage_needed import shape_needed
from pipeline.rating.rate_request import card_of, parse_request
from pipeline.subscriptions.charges import period_of, served_in
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import CustomerState, DueCharge, DuePeriod
from schemas.period import Period
from schemas.plan import RateCard
from schemas.price import Bucketed, Capacity, Dynamic, Matrix, Percentage, TieredBlocks
from schemas.quantity import ZERO
from schemas.subscription import Charge, Subscription
from schemas.tick import ATTRIBUTIONS, USAGE, Tick, Vector

if TYPE_CHECKING:
    from schemas.rate_request import RateRequest


def request_of(
    customer: str, meter: str, own: Mapping[str, Any], *, period: Mapping[str, Any] | None
) -> tuple[RateRequest, str]:
    """What to rate, and a line that says which usage that is.

    `own` is a price or rate card (with its currency) in place of that of the subscription; `period` another span than
    the running one. Raises NotFound for a customer or a meter without a running charge.
    """
    return asyncio.run(_request(customer, meter, own, Period(**period) if period else None))


async def _request(customer: str, meter: str, own: Mapping[str, Any], span: Period | None) -> tuple[RateRequest, str]:
    async with reading(load()) as held:
        tick = await _as_of_now(held)
        catalogue = await held.catalogue.newest()
        subscription, charge = _running(await _state(held, customer), meter, tick)
        due = _due(subscription, charge, tick, span)
        card = card_of(parse_request(own)) if own else _own_card(due, charge, catalogue)
        entry = catalogue.meters[meter, catalogue.plans[due.plan, due.plan_version].meters[meter]]
        shape = shape_needed(card, entry.meter)
        wanted = Wanted(entry, frame_of(due, entry.meter, shape), shape)
        asked = Question(tick, 0, wanted.meter, wanted.frame, "", entry.version, (customer,))
        read = held.billing.run_transactions if shape.transactions else held.billing.run_usage
        rows = await asyncio.to_thread(read, asked)
    raw: dict[str, Any] = {
        "rate_card": card, "currency": due.currency, "time_zone": due.time_zone, "period": due.period,
        "service": due.service, "anchor": due.anchor, "trial": due.trial,
    }  # fmt: skip
    said = f"{customer}, {meter}, {due.service.start:%Y-%m-%d %H:%M} to {due.service.end:%Y-%m-%d %H:%M} UTC, so far"
    own_currency = {name: own[name] for name in ("currency", "minor_units") if name in own}
    return parse_request(raw | own_currency | _usage(wanted, card, rows)), said


async def _as_of_now(held: Reading) -> Tick:
    """The last tick with a vector of what is stored now: nothing is billed by it."""
    tick = await asyncio.to_thread(held.totals.last_tick)
    if tick is None:
        raise Refused("billing time has not begun: tally tick --start wall")
    ends = {}
    for topic in (USAGE, ATTRIBUTIONS):
        coverage = await asyncio.to_thread(held.billing.coverage, topic)
        ends[topic] = tuple(coverage.get(partition, 0) for partition in range(max(coverage, default=-1) + 1))
    ends[CATALOGUE] = tuple(await held.logs.end_offsets(CATALOGUE))
    return tick.model_copy(update={"vector": Vector(ends=ends)})


async def _state(held: Reading, customer: str) -> CustomerState:
    found = await asyncio.to_thread(held.billing.states, [customer])
    if customer not in found:
        raise NotFound(f"no customer {customer!r}{near(customer, await asyncio.to_thread(held.looks.customers))}")
    return found[customer].state


def _running(state: CustomerState, meter: str, tick: Tick) -> tuple[Subscription, Charge]:
    """The charge that bills a meter now, and its subscription."""
    running = [
        (held, charge) for held in state.subscriptions for charge in held.charges
        if charge.meter is not None and charge.starts_at <= tick.time
        and (charge.ends_at is None or tick.time < charge.ends_at)
    ]  # fmt: skip
    for held, charge in running:
        if charge.meter == meter:
            return held, charge
    names = sorted({str(charge.meter) for _, charge in running})
    there = near(meter, names) or f"; there are {', '.join(names) or 'none'}"
    raise NotFound(f"{state.customer} has no running charge of a meter {meter!r}{there}")


def _due(held: Subscription, charge: Charge, tick: Tick, span: Period | None) -> DuePeriod:
    """The running grid period of a charge, or another span, as a run would bill it."""
    period = span or period_of(charge, held.time_zone, tick.time)
    served = served_in(charge, held.pauses, period)
    if not served:
        raise Refused(f"{held.id} serves nothing from {period.start.isoformat()} to {period.end.isoformat()}")
    own = DueCharge(card=charge.card, number=charge.number, quantity=charge.quantity, override=charge.override)
    gaps = [Period(a.end, b.start) for a, b in pairwise(served)]
    return DuePeriod(
        subscription=held.id, plan=charge.plan, plan_version=charge.plan_version, currency=held.currency,
        time_zone=held.time_zone, period=period, service=Period(served[0].start, served[-1].end),
        anchor=charge.anchor, charges=(own,), pauses=tuple(gaps), trial=charge.trial, subjects=held.subjects,
    )  # fmt: skip


def _own_card(due: DuePeriod, charge: Charge, catalogue: Catalogue) -> RateCard:
    plan = catalogue.plans[due.plan, due.plan_version].plan.in_currency(due.currency)
    (card,) = (card for card in plan.rate_cards if card.id == charge.card)
    return own_card(card, (due.charges or ())[0])


def _usage(wanted: Wanted, card: RateCard, rows: tuple[UsageRow, ...]) -> dict[str, Any]:
    """One number where the price takes one, so that it can be drawn; rows in order of first usage otherwise."""
    needs_rows = isinstance(card.price, Percentage | Matrix | Bucketed | TieredBlocks | Capacity) or (
        isinstance(card.price, Dynamic) and card.price.group_by
    )
    if not wanted.shape.window and not needs_rows:
        return {"quantity": sum((row.value for row in rows), ZERO)}
    dimensions = wanted.meter.group_by
    ordered = sorted(rows, key=lambda row: (row.window is not None and row.window.start, row.first))
    return {"usage": [
        {"quantity": row.value, "values": dict(zip(dimensions, row.group, strict=True)), "window": row.window,
         "events": row.events}
        for row in ordered
    ]}  # fmt: skip
