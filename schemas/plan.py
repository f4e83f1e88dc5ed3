"""Plans: a set of rate cards in one currency, on one calendar grid. Versioned, never edited.

Field names and defaults are those of rating.md §2 to §5; the TOML shape is the one shown in §3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from schemas.dunning import DunningPolicy
from schemas.entitlement import Entitlement
from schemas.faults import Found, Strict, contradiction, refuse
from schemas.late_usage import LateUsage
from schemas.meter import Name
from schemas.money import Currency, currency
from schemas.price import Bucketed, Capacity, Flat, Package, Percentage, Price, ScalarPrice, TieredBlocks, Window
from schemas.quantity import ONE, NonNegative, Percent, Positive
from schemas.time_span import WRITTEN_SPAN, span

Unit = Literal["day", "week", "month", "quarter", "half_year", "year"]
Anchor = Literal["subscription", "calendar"] | date
Prorated = Literal["fee", "minimum", "commitment", "free_units", "maximum"]


def _known_currency(code: str, info: ValidationInfo) -> str:
    try:
        return _currency(code, info.data.get("minor_units")).code
    except ValueError as fault:
        raise contradiction(str(fault).removeprefix("currency: ")) from None


def _ascending(thresholds: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    refuse(
        "thresholds",
        [
            ((index,), f"must be greater than {before} (thresholds ascend)", str(value))
            for index, (before, value) in enumerate(pairwise(thresholds), start=1)
            if value <= before
        ],
    )
    return thresholds


class Interval(Strict):
    """How often a grid has a boundary: every `count` units of local calendar time."""

    unit: Unit
    count: Annotated[int, Field(ge=1, strict=True)] = 1


class UnitConversion(Strict):
    """The cumulative quantity divided or multiplied by a factor, then rounded to `precision` decimals."""

    operation: Literal["divide", "multiply"] = "divide"
    factor: Positive
    rounding: Literal["none", "ceiling", "floor", "half_up"] = "none"
    precision: Annotated[int, Field(ge=-30, le=30)] = 0


class Commitment(Strict):
    """What is owed at least, and what use beyond it costs: `overage_factor` times the price."""

    amount: NonNegative | None = None
    quantity: Annotated[NonNegative | None, Field(validate_default=True)] = None
    overage_factor: NonNegative = ONE
    per: Literal["period"] | Window | Interval = "period"
    true_up: bool | None = None
    """Whether what is missing is billed; by default for periods and terms, not for windows."""

    @field_validator("quantity")
    @classmethod
    def _one_of_two(cls, quantity: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if "amount" in info.data and (quantity is None) == (info.data["amount"] is None):
            raise contradiction("give either amount or quantity, not both and not neither")
        return quantity

    @property
    def trues_up(self) -> bool:
        """Whether an unused rest is billed on the final slice."""
        return self.true_up if self.true_up is not None else self.per == "period" or isinstance(self.per, Interval)


class Proration(Strict):
    """How a charge shrinks when only a part of its period is served, and which of its amounts do."""

    basis: Literal["day", "second"] = "day"
    applies_to: tuple[Prorated, ...] = ("fee", "minimum", "commitment")


class RateCard(Strict):
    """A fee, or a meter with its price, and what modifies it."""

    id: Name
    name: str = ""
    meter: Name | None = None
    price: Price
    timing: Annotated[Literal["advance", "arrears"], Field(validate_default=True)] = "arrears"
    interval: Interval | None = None
    one_time: bool = False
    add_on: Name | None = None
    """Charged only to subscriptions that take this add-on; several rate cards may be one add-on."""
    tax_rates: tuple[Name, ...] = ()
    unit_conversion: UnitConversion | None = None
    free_units: NonNegative | None = None
    free_units_reset: Literal["period"] | Window = "period"
    percentage_discount: Percent | None = None
    maximum: NonNegative | None = None
    minimum: NonNegative | None = None
    commitment: Commitment | None = None
    proration: Proration | Literal[False] = Proration()

    @field_validator("price")
    @classmethod
    def _price_has_its_input(cls, price: Price, info: ValidationInfo) -> Price:
        if info.data.get("meter", "") is None and not isinstance(price, Flat):
            raise contradiction(f"a {price.model} price needs a meter; a fee without one is flat")
        return price

    @field_validator("timing")
    @classmethod
    def _usage_in_arrears(cls, timing: str, info: ValidationInfo) -> str:
        if timing == "advance" and info.data.get("meter") is not None:
            raise contradiction('must be "arrears": usage is known only when its period has ended')
        return timing

    @field_validator("one_time")
    @classmethod
    def _one_time_fee(cls, one_time: bool, info: ValidationInfo) -> bool:
        if one_time and info.data.get("meter") is not None:
            raise contradiction("must be false: only fees, rate cards without a meter, are charged once")
        return bool(one_time)

    @field_validator("unit_conversion", "free_units")
    @classmethod
    def _needs_a_quantity(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and isinstance(info.data.get("price"), Flat):
            raise contradiction("must be left out: a flat price has no quantity")
        return value

    @field_validator("free_units")
    @classmethod
    def _free_once(cls, free_units: Decimal | None, info: ValidationInfo) -> Decimal | None:
        price = info.data.get("price")
        if free_units is not None and _has_free_units(price):
            raise contradiction("must be left out: the price has free units of its own")
        if free_units is not None and isinstance(price, Percentage | TieredBlocks | Capacity):
            raise contradiction(f"must be left out: a {price.model} price has no single quantity to take them from")
        return free_units

    @field_validator("free_units_reset")
    @classmethod
    def _resets_one_number(cls, reset: str, info: ValidationInfo) -> str:
        price = info.data.get("price")
        if reset != "period" and price is not None and not isinstance(price, ScalarPrice):
            raise contradiction(f'must be "period": a {price.model} price has no single quantity per {reset}')
        return reset

    @field_validator("minimum")
    @classmethod
    def _below_the_maximum(cls, minimum: Decimal | None, info: ValidationInfo) -> Decimal | None:
        maximum = info.data.get("maximum")
        if minimum is not None and maximum is not None and maximum < minimum:
            raise contradiction(f"must be at most the maximum, {maximum}")
        return minimum

    @field_validator("commitment")
    @classmethod
    def _commitment_alone(cls, commitment: Commitment | None, info: ValidationInfo) -> Commitment | None:
        beside = [key for key in ("maximum", "minimum") if info.data.get(key) is not None]
        if commitment is not None and beside:
            raise contradiction(f"must be left out beside {' and '.join(beside)}: both bound the same amount")
        price = info.data.get("price")
        if commitment is not None and commitment.quantity is not None and not isinstance(price, ScalarPrice | None):
            raise contradiction(f"must be an amount: a {price.model} price does not price a single quantity")
        counted_by = price.by if isinstance(price, Bucketed) else info.data.get("free_units_reset", "period")
        if commitment is not None and not _made_of(commitment.per, counted_by):
            raise contradiction(f"per: must be made of whole windows of a {counted_by}, by which the price counts")
        return commitment


def _made_of(size: object, finer: object) -> bool:
    """Whether windows of a size consist of whole windows of another; anything that is no window does."""
    if size not in _FROM_FINE or finer not in _FROM_FINE or size == finer:
        return True
    return _FROM_FINE.index(str(finer)) < _FROM_FINE.index(str(size)) and (finer, size) != ("week", "month")


_FROM_FINE = ("minute", "hour", "day", "week", "month")


def _has_free_units(price: Price | None) -> bool:
    if isinstance(price, Package):
        return price.free_units > 0
    if isinstance(price, Bucketed):
        return price.free_units_per_bucket > 0 or _has_free_units(price.price)
    return isinstance(price, Percentage) and not (price.free_events is None and price.free_amount is None)


class PlanCommitment(Strict):
    """What all fees of a period come to at least, prorated like a fee; the rest is trued up."""

    amount: NonNegative


class ListedPrice(Strict):
    """What a rate card costs in another currency: its price and the amounts that bound it."""

    price: Price
    maximum: NonNegative | None = None
    minimum: NonNegative | None = None
    commitment: Commitment | None = None


class PriceList(Strict):
    """The prices of a plan in another currency; what is no money (free units, conversions, calendar) is the plan's."""

    minor_units: Annotated[int | None, Field(ge=0, le=12, strict=True)] = None
    currency: Annotated[str, AfterValidator(_known_currency)]
    rate_cards: Mapping[Name, ListedPrice]
    """By the id of the rate card."""
    commitment: PlanCommitment | None = None
    thresholds: Annotated[tuple[Positive, ...], AfterValidator(_ascending)] = ()
    recurring_threshold: Positive | None = None


class Plan(Strict):
    """Everything a subscription is charged, on one grid, in one currency; `price_lists` offer it in others."""

    id: Name
    version: int | None = None
    name: str = ""
    minor_units: Annotated[int | None, Field(ge=0, le=12, strict=True)] = None
    """The scale of a custom unit; left out for ISO 4217 currencies."""
    currency: Annotated[str, AfterValidator(_known_currency)]
    interval: Interval = Interval(unit="month")
    billing_day: Annotated[int | None, Field(ge=1, le=31, strict=True)] = None
    anchor: Annotated[Anchor | None, Field(validate_default=True)] = None
    """`subscription` unless `billing_day` says otherwise."""
    grace: Annotated[timedelta, BeforeValidator(span), WRITTEN_SPAN] = timedelta(hours=6)
    """How long after its end a period stays open."""
    trial: Interval | None = None
    """How long a new subscription is on trial: fees begin after it, usage in it is rated and given away."""
    tax_behavior: Literal["exclusive", "inclusive"] = "exclusive"
    tax_rates: tuple[Name, ...] = ()
    commitment: PlanCommitment | None = None
    thresholds: Annotated[tuple[Positive, ...], AfterValidator(_ascending)] = ()
    recurring_threshold: Positive | None = None
    threshold_base: Literal["unbilled", "lifetime"] = "unbilled"
    on_cancel: Literal["credit", "refund", "forfeit"] = "credit"
    free_units_on_change: Literal["prorate", "restart"] = "prorate"
    zero_invoices: Literal["issue", "skip"] = "issue"
    payment_terms: Annotated[timedelta | None, BeforeValidator(span), WRITTEN_SPAN] = None
    """How long after its issue an invoice is due; the issuer's terms, if left out."""
    dunning: DunningPolicy | None = None
    """How its invoices are collected; left out, the customer pays by itself."""
    late_usage: LateUsage = LateUsage()
    rate_cards: Annotated[tuple[RateCard, ...], Field(min_length=1)]
    price_lists: tuple[PriceList, ...] = ()
    entitlements: tuple[Entitlement, ...] = ()
    """What is included of its meters, and where they end."""

    @field_validator("billing_day")
    @classmethod
    def _day_of_month(cls, billing_day: int | None, info: ValidationInfo) -> int | None:
        interval = info.data.get("interval")
        if billing_day is not None and interval is not None and interval.unit in ("day", "week"):
            raise contradiction(f"must be left out: an interval in {interval.unit}s has no day of the month")
        return billing_day

    @field_validator("anchor")
    @classmethod
    def _one_anchor(cls, anchor: Anchor | None, info: ValidationInfo) -> Anchor | None:
        if anchor is not None and info.data.get("billing_day") is not None:
            raise contradiction("give either anchor or billing_day, not both")
        return anchor

    @field_validator("grace")
    @classmethod
    def _grace_waits(cls, grace: timedelta) -> timedelta:
        if grace < timedelta(0):
            raise contradiction("must not be negative: it is how long after its end a period stays open")
        return grace

    @field_validator("rate_cards", mode="wrap")
    @classmethod
    def _ids_differ(cls, cards: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            checked = handler(cards)
        except ValidationError as error:
            refuse("rate_cards", _doubled_ids(cards), also=error)
            raise
        refuse("rate_cards", _doubled_ids(cards))
        return checked

    @field_validator("price_lists")
    @classmethod
    def _lists_price_every_card(cls, lists: tuple[PriceList, ...], info: ValidationInfo) -> tuple[PriceList, ...]:
        if "rate_cards" in info.data:
            faults = _doubled_currencies(lists, info.data.get("currency"))
            for index, listed in enumerate(lists):
                faults += [((index, *below), message, value) for below, message, value in _listed(info.data, listed)]
            refuse("price_lists", faults)
        return lists

    @field_validator("entitlements")
    @classmethod
    def _entitle_to_what_is_priced(
        cls, entitlements: tuple[Entitlement, ...], info: ValidationInfo
    ) -> tuple[Entitlement, ...]:
        if "rate_cards" in info.data:
            priced = {card.meter for card in info.data["rate_cards"]}
            refuse(
                "entitlements", _entitlement_faults(entitlements, priced, has_lists=bool(info.data.get("price_lists")))
            )
        return entitlements

    @property
    def add_ons(self) -> tuple[str, ...]:
        """What a subscription may take beside the plan, in order of its rate cards."""
        return tuple(dict.fromkeys(card.add_on for card in self.rate_cards if card.add_on is not None))

    @property
    def currencies(self) -> tuple[str, ...]:
        """Every currency that it is offered in, its own first."""
        return (self.currency, *(listed.currency for listed in self.price_lists))

    def in_currency(self, code: str) -> Plan:
        """The plan with the prices of a currency. Raises LookupError if it is not offered in it."""
        if code == self.currency:
            return self
        listed = next((found for found in self.price_lists if found.currency == code), None)
        if listed is None:
            raise LookupError(f"currency: plan {self.id} is not offered in {code}; {', '.join(self.currencies)}")
        cards = tuple(card.model_copy(update=_prices(listed.rate_cards[card.id])) for card in self.rate_cards)
        own = {name: getattr(listed, name) for name in _LISTED}
        return self.model_copy(update={**own, "rate_cards": cards, "price_lists": ()})

    @property
    def money(self) -> Currency:
        """The currency with its minor units."""
        return _currency(self.currency, self.minor_units)


def _entitlement_faults(
    entitlements: tuple[Entitlement, ...], priced: set[str | None], *, has_lists: bool
) -> list[Found]:
    seen: set[str] = set()
    faults = list[Found]()
    for index, one in enumerate(entitlements):
        if one.meter not in priced:
            faults.append(((index, "meter"), "no rate card of the plan prices this meter", one.meter))
        if one.meter in seen:
            faults.append(((index, "meter"), "must differ: the plan has an entitlement to it already", one.meter))
        if one.budget is not None and has_lists:
            faults.append(((index, "budget"), "must be left out: the plan has prices in several currencies", None))
        seen.add(one.meter)
    return faults


def _currency(code: str, minor_units: int | None) -> Currency:
    return currency(code, None if minor_units is None else {code: minor_units})


_LISTED = ("currency", "minor_units", "commitment", "thresholds", "recurring_threshold")


def _prices(listed: ListedPrice) -> dict[str, Any]:
    return {name: getattr(listed, name) for name in ListedPrice.model_fields}


def _doubled_currencies(lists: tuple[PriceList, ...], own: object) -> list[Found]:
    seen, faults = {own}, list[Found]()
    for index, listed in enumerate(lists):
        if listed.currency in seen:
            problem = f"must differ: the plan has prices in {listed.currency} already"
            faults.append(((index, "currency"), problem, listed.currency))
        seen.add(listed.currency)
    return faults


def _listed(plan: Mapping[str, Any], listed: PriceList) -> list[Found]:
    """What a price list leaves out or has too much, and what contradicts the rate cards that it prices."""
    cards = {card.id: card for card in plan["rate_cards"]}
    unknown = [name for name in listed.rate_cards if name not in cards]
    faults: list[Found] = [(("rate_cards", name), "no rate card of the plan has this id", name) for name in unknown]
    for name, card in cards.items():
        if name not in listed.rate_cards:
            faults.append((("rate_cards", name), f"is missing: the rate card needs a price in {listed.currency}", None))
        else:
            faults += [(("rate_cards", name, *below), *told) for below, *told in _card_faults(card, listed, name)]
    for field in ("commitment", "thresholds", "recurring_threshold"):
        if bool(plan.get(field)) != bool(getattr(listed, field)):
            faults.append(((field,), _either_both(field, "plan", listed.currency), None))
    return faults


def _card_faults(card: RateCard, listed: PriceList, name: str) -> list[Found]:
    found = listed.rate_cards[name]
    faults: list[Found] = [
        ((field,), _either_both(field, "rate card", listed.currency), None)
        for field in ("maximum", "minimum", "commitment")
        if (getattr(card, field) is None) != (getattr(found, field) is None)
    ]
    own = {field: getattr(card, field) for field in card.model_fields_set}
    try:
        RateCard.model_validate(own | _prices(found))
    except ValidationError as error:
        faults += [(tuple(each["loc"]), str(each["msg"]), each["input"]) for each in error.errors()]
    return faults


def _either_both(field: str, whole: str, code: str) -> str:
    return f"must be given in {code} if and only if the {whole} has one"


def _doubled_ids(cards: object) -> list[Found]:
    """Rate cards with the id of an earlier one; on tables as written, so that it reads faulty ones too."""
    seen: set[object] = set()
    faults: list[Found] = []
    for index, card in enumerate(cards if isinstance(cards, list | tuple) else ()):
        card_id = card.get("id") if isinstance(card, Mapping) else getattr(card, "id", None)
        if isinstance(card_id, str) and card_id in seen:
            faults.append(((index, "id"), f"must differ: {card_id!r} is the id of an earlier rate card", card_id))
        seen.add(card_id if isinstance(card_id, str) else None)
    return faults
