"""Discounts: what is taken off lines before tax; a coupon is one that the catalogue offers. Source: rating.md §6."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.meter import Name
from schemas.money import currency_codes
from schemas.quantity import Amount, NonNegative


class Discount(Strict):
    """A percentage or a fixed amount off the lines of some charges, or of all.

    A percentage above 100 takes all. With scope `line` each line is discounted alone; with scope `invoice` what the
    covered lines come to is discounted once and the discount spread over them.
    """

    id: Name
    type: Literal["percentage", "fixed"]
    value: NonNegative
    currency: Annotated[str | None, Field(validate_default=True)] = None
    """Of a fixed amount; a percentage has none."""
    applies_to: tuple[Name, ...] = ()
    """Charges by id; empty for all."""
    scope: Literal["line", "invoice"] = "invoice"

    @field_validator("currency")
    @classmethod
    def _only_amounts_have_one(cls, currency: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("type") == "percentage" and currency is not None:
            raise contradiction("must be left out: a percentage is the same in every currency")
        return currency

    def covers(self, charge: str) -> bool:
        """Whether the lines of a charge are discounted."""
        return not self.applies_to or charge in self.applies_to


class Coupon(Discount):
    """A discount of the catalogue, which customers redeem by its id."""

    name: str = ""

    @field_validator("currency")
    @classmethod
    def _amounts_name_theirs(cls, currency: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("type") == "fixed" and currency is None:
            raise contradiction('is missing: a fixed amount is in a currency, such as "EUR"')
        if currency is not None and currency not in currency_codes():
            raise contradiction(f'unknown code {currency!r}; use an ISO 4217 code such as "EUR"')
        return currency


@dataclass(frozen=True, slots=True)
class DiscountPart:
    """What one discount or free credit grant took off a line."""

    source: str
    amount: Amount


def unknown_charges(applies_to: Iterable[str], known: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """(place, charge) of those that are not known."""
    there = set(known)
    return tuple((index, charge) for index, charge in enumerate(applies_to) if charge not in there)
