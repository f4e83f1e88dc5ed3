"""One rated line, with enough in it to compute it again without the catalogue. Source: rating.md §10."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from schemas.period import Period
from schemas.price import Price
from schemas.quantity import Amount, Quantity


class TierUse(BaseModel):
    """Units that one tier priced: units × unit_price + flat_fee = amount, exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up_to: Quantity | None
    units: Quantity
    unit_price: Quantity
    flat_fee: Quantity
    amount: Quantity


class GroupUse(BaseModel):
    """The part of a line's quantity that one combination of group-by values used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: Mapping[str, str | None]
    quantity: Quantity
    events: int


class ProrationUse(BaseModel):
    """The part of a fee that is owed: numerator ÷ denominator, in `basis`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    numerator: int
    denominator: int
    basis: str


class RatedLine(BaseModel):
    """What one charge costs for one group of usage in one served span; rounded once, here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    charge: str
    name: str
    meter: str | None
    meter_version: str | None
    period: Period
    service: Period
    time_zone: str
    currency: str
    minor_units: int
    price: Price
    quantity: Quantity
    unit: str
    events: int
    invalid_events: int
    groups: tuple[GroupUse, ...]
    billed_quantity: Quantity
    tiers: tuple[TierUse, ...]
    proration: ProrationUse | None
    amount_exact: Quantity
    amount: Amount
