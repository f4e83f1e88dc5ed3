"""A plan: rate cards in one currency, billed by the period. Source: rating.md §2 and §3."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.meter import Name
from schemas.money import currency
from schemas.price import Flat, Price

Unit = Literal["day", "week", "month", "quarter", "half_year", "year"]


class Interval(BaseModel):
    """`count` calendar units of the customer's local time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Unit = "month"
    count: Annotated[int, Field(ge=1, le=1200)] = 1


class Proration(BaseModel):
    """A recurring fee is owed for the days served, by local dates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    basis: Literal["day"] = "day"


class RateCard(BaseModel):
    """A meter with its price in a plan; without a meter, a fee."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    name: str = Field("", description="what the invoice line says; default: the id")
    meter: Name | None = None
    timing: Literal["arrears"] = "arrears"
    price: Price
    proration: Proration | Literal[False] = Field(default_factory=Proration)

    @model_validator(mode="after")
    def _usage_has_a_meter(self) -> RateCard:
        if self.meter is None and not isinstance(self.price, Flat):
            raise ValueError(f"meter: a {self.price.model} price needs a meter; name one, or use a flat price")
        if self.meter is not None and isinstance(self.price, Flat):
            raise ValueError("meter: a flat price does not depend on usage; remove the meter")
        return self


class Plan(BaseModel):
    """A set of rate cards and fees. Its version is derived from its content; a running subscription keeps its version.

    `grace`: how long after its end a period stays open for late usage. `anchor`: `subscription` = the grid of periods
    starts with the subscription, `calendar` = with the calendar unit that holds its start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    name: str = ""
    currency: str
    interval: Interval = Interval()
    anchor: Literal["subscription", "calendar"] = "subscription"
    grace: timedelta = Field(timedelta(hours=6), ge=timedelta(0), le=timedelta(days=60))
    rate_cards: Annotated[tuple[RateCard, ...], Field(min_length=1)]

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, code: str) -> str:
        return currency(code).code

    @model_validator(mode="after")
    def _distinct_cards(self) -> Plan:
        ids = [card.id for card in self.rate_cards]
        doubled = sorted({name for name in ids if ids.count(name) > 1})
        if doubled:
            raise ValueError(f"rate_cards: {doubled[0]} stands there twice; ids are unique in a plan")
        return self
