"""Taxes: rates with the days from which they hold, what applies to a line, groups of the tax breakdown.

Source: rating.md §7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator

from schemas.faults import Found, Strict, refuse
from schemas.meter import Name
from schemas.quantity import Amount, NonNegative, Quantity


class Exemption(StrEnum):
    """Why no tax is charged. A line that is exempt is in a group of rate 0 with this reason."""

    REVERSE_CHARGE = "reverse_charge"
    INTRA_COMMUNITY = "intra_community"
    EXPORT = "export"
    EXEMPT = "exempt"
    OUTSIDE_SCOPE = "outside_scope"

    @property
    def category(self) -> str:
        """The VAT category of EN 16931 (UNCL 5305)."""
        return _CATEGORIES[self]


_CATEGORIES = {
    Exemption.REVERSE_CHARGE: "AE",
    Exemption.INTRA_COMMUNITY: "K",
    Exemption.EXPORT: "G",
    Exemption.EXEMPT: "E",
    Exemption.OUTSIDE_SCOPE: "O",
}


def exemption(code: str) -> Exemption:
    """The reason of a code. Raises ValueError for an unknown one."""
    try:
        return Exemption(code)
    except ValueError:
        raise ValueError(f"exemption: unknown reason {code!r}; one of {', '.join(Exemption)}") from None


class DatedPercentage(Strict):
    """A percentage and the local day from which it holds; without one, from the beginning."""

    percentage: NonNegative
    effective_from: date | None = None


class TaxRate(Strict):
    """A tax of the catalogue with its percentages in time."""

    id: Name
    name: str = ""
    compound: bool = False
    """Whether its base adds the taxes that a line lists before it."""
    percentages: Annotated[tuple[DatedPercentage, ...], Field(min_length=1)]

    @field_validator("percentages")
    @classmethod
    def _tile_time(cls, percentages: tuple[DatedPercentage, ...]) -> tuple[DatedPercentage, ...]:
        refuse("percentages", _gaps(percentages))
        return percentages

    def on(self, day: date) -> AppliedTax:
        """The tax as it is on a local day."""
        held = [step for step in self.percentages if step.effective_from is None or step.effective_from <= day]
        return AppliedTax(self.id, held[-1].percentage, self.compound)


def _gaps(percentages: tuple[DatedPercentage, ...]) -> list[Found]:
    """What keeps percentages from tiling time: every tax point must have exactly one."""
    faults: list[Found] = []
    if percentages[0].effective_from is not None:
        problem = 'must be left out: the first percentage holds from the beginning ("0" before there was a tax)'
        faults.append(((0, "effective_from"), problem, percentages[0].effective_from))
    for index, (before, step) in enumerate(pairwise(percentages), start=1):
        if step.effective_from is None:
            faults.append(((index, "effective_from"), "is missing: only the first percentage has none", None))
        elif before.effective_from is not None and step.effective_from <= before.effective_from:
            problem = f"must be after {before.effective_from} (percentages ascend in time)"
            faults.append(((index, "effective_from"), problem, step.effective_from))
    return faults


@dataclass(frozen=True, slots=True)
class AppliedTax:
    """One tax of one line at its tax point; percentage 0 with a reason for a line that is exempt."""

    id: str
    percentage: Quantity
    compound: bool = False
    exemption: Exemption | None = None

    def __post_init__(self) -> None:
        if not self.percentage.is_finite() or self.percentage < 0:
            raise ValueError(f"percentage: must be at least 0, not {self.percentage}")
        if self.exemption is not None and self.percentage:
            raise ValueError(f"percentage: must be 0 for an exempt line, not {self.percentage}")


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """A percentage with its exemption: the base of all lines that bear it, and the tax on it, rounded once.

    `taxable` is exact: with a compound tax it has more decimals than the currency.
    """

    percentage: Quantity
    exemption: Exemption | None
    taxable: Amount
    tax: Amount
