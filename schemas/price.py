"""Prices: the rule from a quantity to an amount, one model per kind, told apart by `model`.

Field names and defaults are those of rating.md §2. What is refused here is that section's "Refused" list.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from schemas.faults import Found, Strict, contradiction, refuse
from schemas.quantity import ONE, ZERO, NonNegative, Positive, exact

Window = Literal["minute", "hour", "day", "week", "month"]
Dimension = Annotated[str, Field(min_length=1)]
Dimensions = Annotated[tuple[Dimension, ...], Field(min_length=1)]

ANY = "*"
"""In the values of a matrix entry: any value, as long as the dimension is there."""


class Tier(Strict):
    """Units up to and including `up_to`, from the bound before; without `up_to` all units above it."""

    up_to: NonNegative | None = None
    unit_price: NonNegative = ZERO
    flat_fee: NonNegative = ZERO


class PercentTier(Strict):
    """Money up to and including `up_to`, at a rate; otherwise as a Tier."""

    up_to: NonNegative | None = None
    rate_percent: NonNegative = ZERO
    flat_fee: NonNegative = ZERO


def tier_faults(tiers: object) -> list[Found]:
    """Where tiers do not ascend, or are open anywhere but last; read from tables as written, faulty ones too."""
    faults: list[Found] = []
    bound: Decimal | None = None
    listed = tiers if isinstance(tiers, list | tuple) else ()
    for index, tier in enumerate(listed):
        last = index == len(listed) - 1
        up_to = tier.get("up_to") if isinstance(tier, Mapping) else getattr(tier, "up_to", None)
        if up_to is None and not last:
            faults.append(((index, "up_to"), "is missing: only the last tier is open", None))
        if up_to is None or not _is_number(up_to):
            continue
        if last:
            faults.append(((index, "up_to"), "must be left out: the last tier is open", str(up_to)))
        if bound is not None and exact(up_to) <= bound:
            faults.append(((index, "up_to"), f"must be greater than {bound} (tiers ascend)", str(up_to)))
        bound = exact(up_to) if bound is None else max(bound, exact(up_to))
    return faults


def _is_number(value: object) -> bool:
    try:
        exact(value)
    except ValueError:
        return False
    return True


def _checked_tiers(tiers: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        checked = handler(tiers)
    except ValidationError as error:
        refuse("tiers", tier_faults(tiers), also=error)
        raise
    refuse("tiers", tier_faults(tiers))
    return checked


class Flat(Strict):
    """A fee: amount x quantity, whatever the usage."""

    model: Literal["flat"] = "flat"
    amount: NonNegative
    quantity: NonNegative = ONE


class PerUnit(Strict):
    """quantity x unit price."""

    model: Literal["per_unit"] = "per_unit"
    unit_price: NonNegative


class _Tiered(Strict):
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1), WrapValidator(_checked_tiers)]


class Graduated(_Tiered):
    """Each tier prices its own units."""

    model: Literal["graduated"] = "graduated"


class Volume(_Tiered):
    """The tier that the whole quantity falls in prices all units."""

    model: Literal["volume"] = "volume"


class Package(Strict):
    """Whole packages of `package_size` units, begun ones counted (`up`) or not (`down`)."""

    model: Literal["package"] = "package"
    package_size: Positive
    package_price: NonNegative
    free_units: NonNegative = ZERO
    rounding: Literal["up", "down"] = "up"


class GraduatedPercentage(Strict):
    """Graduated over an amount of money, with rate / 100 as the unit price."""

    model: Literal["graduated_percentage"] = "graduated_percentage"
    tiers: Annotated[tuple[PercentTier, ...], Field(min_length=1), WrapValidator(_checked_tiers)]


class Dynamic(Strict):
    """The sum of the amounts that the events name, times a multiplier; with `group_by`, a line per group."""

    model: Literal["dynamic"] = "dynamic"
    multiplier: NonNegative = ONE
    group_by: tuple[Dimension, ...] = ()


class Percentage(Strict):
    """A share of each transaction and a fee per transaction, after an allowance; needs the ordered transactions."""

    model: Literal["percentage"] = "percentage"
    rate_percent: NonNegative
    fixed_fee: NonNegative = ZERO
    free_events: Annotated[int, Field(ge=0)] | None = None
    free_amount: NonNegative | None = None
    min_per_event: NonNegative | None = None
    max_per_event: NonNegative | None = None

    @field_validator("max_per_event")
    @classmethod
    def _bounds_in_order(cls, maximum: Decimal | None, info: ValidationInfo) -> Decimal | None:
        minimum = info.data.get("min_per_event")
        if maximum is not None and minimum is not None and maximum < minimum:
            raise contradiction(f"must be at least min_per_event, {minimum}")
        return maximum


class MatrixEntry(Strict):
    """A unit price for events whose dimensions all have a listed value; `"*"` is any value that is there."""

    match: Annotated[
        Mapping[Dimension, Annotated[tuple[str, ...], Field(min_length=1)]],
        Field(min_length=1),
    ]
    unit_price: NonNegative
    group_by: tuple[Dimension, ...] = ()


class Matrix(Strict):
    """A unit price per combination of dimensions: most dimensions win, ties go to the earlier entry."""

    model: Literal["matrix"] = "matrix"
    prices: Annotated[tuple[MatrixEntry, ...], Field(min_length=1)]
    default_unit_price: NonNegative | None = None
    default_group_by: tuple[Dimension, ...] = ()


ScalarPrice = Flat | PerUnit | Graduated | Volume | Package | GraduatedPercentage | Dynamic


class Bucketed(Strict):
    """Each window or group with usage priced alone, after its own free units, and added."""

    model: Literal["bucketed"] = "bucketed"
    price: Annotated[ScalarPrice, Field(discriminator="model")]
    by: Window | Dimensions
    free_units_per_bucket: NonNegative = ZERO


class BlockTier(Strict):
    """Blocks of `block_size` units at `block_price` each, at most `max_blocks` of them (none: without end)."""

    block_size: Positive
    max_blocks: Annotated[int, Field(gt=0)] | None = None
    block_price: NonNegative


class TieredBlocks(Strict):
    """Blocks per component: all tiers filled in order, or all units in blocks of the tier that reaches them."""

    model: Literal["tiered_blocks"] = "tiered_blocks"
    components: Annotated[
        Mapping[str, Annotated[tuple[BlockTier, ...], Field(min_length=1)]],
        Field(min_length=1),
    ]
    mode: Literal["all_tiers", "top_tier"] = "all_tiers"


class CapacityTier(Strict):
    """A price for a period in which every unit stays within its limit; a unit without a limit does."""

    max: Mapping[str, NonNegative] = Field(default_factory=dict)
    price: NonNegative


class Capacity(Strict):
    """The first tier whose limits all hold prices the period."""

    model: Literal["capacity"] = "capacity"
    tiers: Annotated[tuple[CapacityTier, ...], Field(min_length=1)]


AnyPrice = ScalarPrice | Percentage | Matrix | Bucketed | TieredBlocks | Capacity
Price = Annotated[AnyPrice, Field(discriminator="model")]

SCALAR_MODELS = ("flat", "per_unit", "graduated", "volume", "package", "graduated_percentage", "dynamic")
