"""What a plan lets a subscription use of a meter, and how much of it is left."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.meter import Name
from schemas.period import Instant, Period
from schemas.price import Window
from schemas.quantity import NonNegative, Quantity


class Entitlement(Strict):
    """An included quantity of a meter, or a budget for what it costs at the subscription's prices.

    A hard limit refuses reservations beyond it; a soft one grants them and says so. Both are only told: usage that was
    not reserved is counted and billed, whatever the limit says.
    """

    meter: Name
    included: NonNegative | None = None
    budget: Annotated[NonNegative | None, Field(validate_default=True)] = None
    """In the currency of the plan."""
    limit: Literal["soft", "hard"] = "soft"
    per: Annotated[Literal["period"] | Window, Field(validate_default=True)] = "period"
    """The billing period, or windows in the subscription's zone."""

    @field_validator("budget")
    @classmethod
    def _one_of_two(cls, budget: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if "included" in info.data and (budget is None) == (info.data["included"] is None):
            raise contradiction("give either included or budget, not both and not neither")
        return budget

    @field_validator("per")
    @classmethod
    def _prices_count_by_period(cls, per: str, info: ValidationInfo) -> str:
        if per != "period" and info.data.get("budget") is not None:
            raise contradiction('must be "period": what a window costs depends on the usage before it')
        return per

    @property
    def amount(self) -> Decimal:
        """The limit: a quantity, or money."""
        return self.included if self.included is not None else self.budget or Decimal(0)


class EntitlementAnswer(BaseModel):
    """How much of an entitlement is left. Every figure is as of `position`; `balance` may be negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str
    subscription: str
    meter: str
    unit: str
    """The meter's unit, or the currency of a budget."""
    limit: Quantity
    is_hard: bool
    per: str
    window: Period
    used: Quantity
    reserved: Quantity
    """Held by reservations that are neither settled nor returned."""
    balance: Quantity
    """limit - used - reserved."""
    as_of: Instant
    """Billing time: the last tick, which says which window it is."""
    tick: int
    age_ms: int
    """How long ago the figures were read, by the clock of the server."""
    position: Mapping[str, tuple[int, ...]]
    """`next_offset` per partition of usage.events (everything below is counted), and of the customer's partition of
    billing.reservations, as (partition, next_offset)."""
