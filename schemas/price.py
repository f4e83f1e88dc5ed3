"""Prices: the rule from a quantity to an amount, as the catalogue writes it. Source: rating.md §2."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.quantity import Quantity

NotNegative = Annotated[Quantity, Field(ge=0)]
Positive = Annotated[Quantity, Field(gt=0)]
ZERO = Decimal(0)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tier(_Strict):
    """Units up to `up_to`, inclusive; open (none) in the last tier only. `flat_fee` is added once when it is entered."""

    up_to: Quantity | None = None
    unit_price: NotNegative = ZERO
    flat_fee: NotNegative = ZERO


Tiers = Annotated[tuple[Tier, ...], Field(min_length=1)]


class Flat(_Strict):
    """`amount` × `quantity`, whatever the usage."""

    model: Literal["flat"] = "flat"
    amount: NotNegative
    quantity: NotNegative = Decimal(1)


class PerUnit(_Strict):
    """Every unit at one price."""

    model: Literal["per_unit"] = "per_unit"
    unit_price: NotNegative


class _Tiered(_Strict):
    tiers: Tiers

    @model_validator(mode="after")
    def _ascending(self) -> _Tiered:
        bounds = [tier.up_to for tier in self.tiers]
        for index, bound in enumerate(bounds):
            last = index == len(bounds) - 1
            if bound is None and not last:
                raise ValueError(f"tiers[{index}].up_to: only the last tier may be open; give this one a bound")
            if bound is not None and last:
                raise ValueError(f"tiers[{index}].up_to: the last tier must be open; leave its up_to out")
            before = bounds[index - 1] if index else None
            if bound is not None and before is not None and bound <= before:
                raise ValueError(f"tiers[{index}].up_to: must be greater than {before} (tiers ascend), is {bound}")
        if bounds[0] is not None and bounds[0] < 0:
            raise ValueError(f"tiers[0].up_to: must not be negative, is {bounds[0]}")
        return self


class Graduated(_Tiered):
    """Each tier prices the units that fall in it."""

    model: Literal["graduated"] = "graduated"


class Volume(_Tiered):
    """The tier that the whole quantity falls in prices all of it."""

    model: Literal["volume"] = "volume"


class Package(_Strict):
    """Packages of `package_size` after `free_units`, begun packages in full (`up`) or only whole ones (`down`)."""

    model: Literal["package"] = "package"
    package_size: Positive
    package_price: NotNegative
    free_units: NotNegative = ZERO
    rounding: Literal["up", "down"] = "up"


ScalarPrice = Flat | PerUnit | Graduated | Volume | Package
Price = Annotated[Flat | PerUnit | Graduated | Volume | Package, Field(discriminator="model")]
