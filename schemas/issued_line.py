"""What a run issued for a charge and grid period: what the next run of it deducts. Source: rating.md §5."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from pydantic import Field

from schemas.period import Period
from schemas.quantity import ZERO, Quantity
from schemas.rated_line import Kind, StageAmounts


@dataclass(frozen=True, slots=True)
class IssuedLine:
    """A line of an earlier run, debit or (negative) credit, by the charge and the full grid period that it bills."""

    subscription: str
    charge: str
    number: int
    period: Period
    service: Period
    """What it was for; of a credit, the span given back."""
    kind: Kind
    stages: StageAmounts
    """What it added to each stage of the charge."""
    dimensions: Mapping[str, str | None] = field(default_factory=dict)
    entry: int = 0
    """Which of the lines with these dimensions it is: the entries of a matrix may share them."""
    exact: Quantity = ZERO
    base: Annotated[Quantity | None, Field(exclude_if=partial(operator.is_, None))] = None
    """Of a commitment over several periods: what the charge's period costs so far, without surcharges for overage."""
    interim: Annotated[bool, Field(exclude_if=operator.not_)] = False
    """Whether an interim invoice billed it: the invoice of its period bills all of it, and deducts this."""

    @property
    def key(self) -> tuple[str, str, int, Period]:
        """What it was issued for."""
        return (self.subscription, self.charge, self.number, self.period)
