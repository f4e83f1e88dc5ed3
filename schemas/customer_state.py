"""What the commands of a customer add up to, and what a tick makes due."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.period import Period
from schemas.plan import Interval
from schemas.tick import Tick

Status = Literal["active", "canceled"]


class Subscription(BaseModel):
    """A customer on a plan version. What the calendar needs is frozen from that version when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    plan: str
    plan_version: str
    currency: str
    time_zone: str
    interval: Interval
    grace: timedelta
    anchor: AwareDatetime
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None
    billed_through: AwareDatetime
    """Start of the first period that no run has billed."""

    def status(self) -> Status:
        """`canceled` once everything up to its end is billed."""
        return "canceled" if self.ends_at is not None and self.billed_through >= self.ends_at else "active"


class CustomerState(BaseModel):
    """A function of the customer's commands and ticks below a position of billing.commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str
    subscriptions: tuple[Subscription, ...] = ()


class DuePeriod(BaseModel):
    """A billing period of one subscription that a run bills: the full grid period and the part that was served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription: str
    plan: str
    plan_version: str
    currency: str
    time_zone: str
    period: Period
    service: Period
    anchor: AwareDatetime | None = None
    """Where the billing grid is anchored: windows of a month follow it, clamped from its day."""


class BillingRun(BaseModel):
    """What one tick makes due for one customer: the input of a close. A function of the log up to the tick's copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str
    tick: Tick
    revision: int = 0
    periods: tuple[DuePeriod, ...]


class PeriodClosed(BaseModel):
    """A record of billing.periods: usage of the run's periods is frozen under `close_id`, as of the tick's vector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    close_id: str
    customer: str
    revision: int
    tick: Tick
    periods: tuple[DuePeriod, ...]
    usage_rows: int
    events: int
    fingerprint: str
