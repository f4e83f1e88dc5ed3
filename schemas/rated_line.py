"""One rated line, with enough in it to compute it again without the catalogue. Source: rating.md §10.

The parts are plain frozen dataclasses: rating makes several per line, for hundreds of thousands of lines.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from schemas.faults import Strict
from schemas.period import Instant, Period
from schemas.plan import Commitment, Prorated, UnitConversion
from schemas.price import Price
from schemas.quantity import ZERO, Amount, Quantity

Kind = Literal["fee", "usage", "top_up", "unpriced", "waived", "one_off", "credits"]
"""`unpriced` is usage that no price covers: while a draft has such a line it cannot become final. `waived` is such
usage that a recorded override gives away. `one_off` is a line that no plan has, of either sign; `credits` sells
prepaid credits: no service yet."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A quantity (or, for prices of transactions, an amount) of one group or window, or of one event."""

    quantity: Quantity
    values: Mapping[str, str | None] = field(default_factory=dict)
    window: Period | None = None
    events: int = 1

    def group(self, dimensions: Sequence[str]) -> tuple[str | None, ...]:
        """Its values of the dimensions, None where one is missing."""
        return tuple(self.values.get(dimension) for dimension in dimensions)


@dataclass(frozen=True, slots=True)
class TierUse:
    """Units that one tier priced: units x unit_price + flat_fee = amount, exactly."""

    up_to: Quantity | None
    units: Quantity
    unit_price: Quantity
    flat_fee: Quantity
    amount: Quantity


@dataclass(frozen=True, slots=True)
class BucketUse:
    """What one window or group cost, priced alone after its own free units."""

    window: Period | None
    values: Mapping[str, str | None]
    quantity: Quantity
    billed_quantity: Quantity
    amount: Quantity


@dataclass(frozen=True, slots=True)
class TransactionUse:
    """What a percentage price made of the transactions; amounts before the bounds per event."""

    events: int
    paid_events: int
    free_amount: Quantity
    rate_amount: Quantity
    fixed_amount: Quantity


@dataclass(frozen=True, slots=True)
class GroupUse:
    """The part of a line's quantity that one combination of group-by values used."""

    values: Mapping[str, str | None]
    quantity: Quantity
    events: int


@dataclass(frozen=True, slots=True)
class ProrationUse:
    """The part of a period that was served: numerator / denominator, in local days or in elapsed seconds."""

    numerator: Quantity
    denominator: Quantity
    basis: Literal["day", "second"] = "day"
    applies_to: tuple[Prorated, ...] = ()
    """Which amounts of the line it shrinks."""

    @property
    def is_full(self) -> bool:
        """Whether all of the period was served."""
        return self.numerator == self.denominator


@dataclass(frozen=True, slots=True)
class LineDiscount:
    """An amount taken off a line, and by what."""

    source: Literal["percentage_discount", "maximum", "trial", "waiver"]
    amount: Amount


@dataclass(frozen=True, slots=True)
class CommitmentUse:
    """How a commitment was used up to the end of the slice: utilized + overage + true_up = the amount billed so far."""

    commitment: Quantity
    utilized: Amount
    overage: Amount
    true_up: Amount
    base: Annotated[Quantity | None, Field(exclude_if=partial(operator.is_, None))] = None
    """Over several periods: what this one costs so far, without a surcharge for overage."""


@dataclass(frozen=True, slots=True)
class StageAmounts:
    """The stages of a charge up to a moment, each rounded; a slice bills differences of them (rating.md §3)."""

    gross: Amount = ZERO
    discount: Amount = ZERO
    cap_discount: Amount = ZERO
    top_up: Amount = ZERO

    @property
    def capped(self) -> Decimal:
        """Gross less both discounts."""
        return self.gross - self.discount - self.cap_discount

    @property
    def total(self) -> Decimal:
        """All that is owed: the capped amount and the top-up to the minimum."""
        return self.capped + self.top_up


@dataclass(frozen=True, slots=True)
class TermSoFar:
    """How far a commitment over several periods has come before this one."""

    prior_base: Quantity = ZERO
    """The exact base cost of earlier periods, without their overage surcharges."""
    is_last: bool = False
    """Whether the term ends with this period, which trues up."""
    share: Annotated[ProrationUse | None, Field(exclude_if=operator.not_)] = None
    """The part of the term that is served, as far as is known, if that is not all of it."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a line rests on beside its price and usage, where that is not simply one whole period, rated once."""

    is_final: bool = True
    """Whether the period has ended: minimum and true-up come with its final slice."""
    until: Instant | None = None
    """The end of a slice that is not final: windows that ended by then are trued up."""
    is_trial: bool = False
    is_waived: bool = False
    anchor: Instant | None = None
    """The billing anchor, which windows of a month follow."""
    term: TermSoFar | None = None
    previous_exact: Quantity = ZERO
    """The exact amount at the end of the slice before."""


class Modifiers(Strict):
    """The modifiers of the rate card that shaped a line; None for those it does not have."""

    unit_conversion: UnitConversion | None = None
    free_units: Quantity | None = None
    free_units_reset: str = "period"
    percentage_discount: Quantity | None = None
    maximum: Quantity | None = None
    minimum: Quantity | None = None
    commitment: Commitment | None = None


class RatedLine(Strict):
    """What one charge costs for one group of usage in one served span; rounded once, here.

    `amount` = `gross` less all `discounts` (for a commitment: the parts of it) and is the only one in sums;
    `amount_exact` is the amount before its rounding, for the audit. In a slice that is not the first, quantities and
    tiers are those of the whole period so far, `previous` is what earlier slices billed, and gross, discounts and
    amounts are the differences.
    """

    charge: str
    name: str
    kind: Kind
    meter: str | None
    meter_version: str | None
    aggregation: str | None
    price_version: str | None
    period: Period
    service: Period
    time_zone: str
    currency: str
    minor_units: int
    price: Price
    modifiers: Modifiers | None = None
    dimensions: Mapping[str, str | None] = Field(default_factory=dict)
    """Which group of a price by dimension this is; empty for other prices."""
    quantity: Quantity = ZERO
    converted_quantity: Quantity = ZERO
    billed_quantity: Quantity = ZERO
    unit: str = ""
    unit_price: Quantity = ZERO
    """amount / billed quantity, for display only; 0 for a quantity of 0."""
    events: int = 0
    invalid_events: int = 0
    groups: tuple[GroupUse, ...] = ()
    usage: tuple[UsageRow, ...] = ()
    """The rows behind the quantity, where the price, free units or a commitment count by window or group."""
    tiers: tuple[TierUse, ...] = ()
    buckets: tuple[BucketUse, ...] = ()
    transactions: TransactionUse | None = None
    proration: ProrationUse | None = None
    commitment: CommitmentUse | None = None
    previous: StageAmounts | None = None
    conditions: Conditions | None = None
    reached: Amount | None = None
    """For a top-up: what the charge comes to without it, up to the end of the slice."""
    problem: str | None = None
    """For unpriced usage: why it has no price."""
    gross: Amount = ZERO
    discounts: tuple[LineDiscount, ...] = ()
    amount_exact: Quantity = ZERO
    amount: Amount = ZERO
    tax_rates: tuple[str, ...] = ()
