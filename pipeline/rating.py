"""A charge and its usage become a rated line: priced exactly, rounded once. Source: rating.md §1, §3, §10."""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.pricing import Charge, amount_of, price_charges
from pipeline.proration import proration
from schemas.customer_state import DuePeriod
from schemas.meter import Meter
from schemas.money import EXACT, currency, round_money
from schemas.plan import RateCard
from schemas.price import Flat
from schemas.rated_line import GroupUse, ProrationUse, RatedLine, TierUse

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Usage:
    """Aggregated usage of one group: its value, and how many events stand behind it."""

    group: tuple[str | None, ...]
    value: Decimal
    events: int
    invalid_events: int = 0


def rate_fee(card: RateCard, due: DuePeriod) -> RatedLine:
    """The line of a fee for the served part of its period."""
    part = proration(due.service, due.period, due.time_zone) if card.proration and not due.service.is_empty else None
    return _line(card, due, None, None, (), part)


def rate_usage(
    card: RateCard, due: DuePeriod, meter: Meter, version: str, usage: Sequence[Usage]
) -> tuple[RatedLine, ...]:
    """The line of a rate card for all groups of its meter together; one line even without usage.

    Groups are priced together: a group-by serves reading and, in other models, prices by dimension; a scalar price
    counts its tiers over the meter's whole quantity.
    """
    return (_line(card, due, meter, version, usage, None),)


def _line(
    card: RateCard,
    due: DuePeriod,
    meter: Meter | None,
    version: str | None,
    usage: Sequence[Usage],
    part: ProrationUse | None,
) -> RatedLine:
    unit = currency(due.currency)
    with decimal.localcontext(EXACT):
        used = sum((row.value for row in usage), ZERO)
        quantity = card.price.quantity if isinstance(card.price, Flat) else used
        charges = price_charges(card.price, used)
        gross = amount_of(charges)
        # Multiplied first, divided once and last.
        amount = gross if part is None else gross * part.numerator / part.denominator
        tiers = tuple(_tier(charge) for charge in charges)
    return RatedLine(
        charge=card.id,
        name=card.name or card.id,
        meter=None if meter is None else meter.id,
        meter_version=version,
        period=due.period,
        service=due.service,
        time_zone=due.time_zone,
        currency=unit.code,
        minor_units=unit.minor_units,
        price=card.price,
        quantity=quantity,
        unit="" if meter is None else meter.unit,
        events=sum(row.events for row in usage),
        invalid_events=sum(row.invalid_events for row in usage),
        groups=() if meter is None else tuple(_group(meter, row) for row in usage),
        billed_quantity=max(quantity, ZERO),
        tiers=tiers,
        proration=part,
        amount_exact=amount,
        amount=round_money(amount, unit),
    )


def _group(meter: Meter, row: Usage) -> GroupUse:
    return GroupUse(values=dict(zip(meter.group_by, row.group, strict=True)), quantity=row.value, events=row.events)


def _tier(charge: Charge) -> TierUse:
    return TierUse(
        up_to=charge.up_to,
        units=charge.units,
        unit_price=charge.unit_price,
        flat_fee=charge.flat_fee,
        amount=charge.amount,
    )
