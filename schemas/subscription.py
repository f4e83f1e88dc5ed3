"""A subscription: a customer on plan versions over time, as the charges that run in it. Source: rating.md §2, §5."""

from __future__ import annotations

import operator
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.faults import Strict
from schemas.period import Instant, Period
from schemas.plan import Interval
from schemas.price import Price
from schemas.quantity import NonNegative

Status = Literal["scheduled", "trialing", "active", "past_due", "paused", "canceled"]


class Override(Strict):
    """What one subscription pays in place of its plan's price: recorded, with actor and reason, from a time on.

    `waived` gives away all of a charge, or only usage that no price covers (which else stops the invoice).
    """

    price: Price | None = None
    waived: Literal["all", "unpriced"] | None = None


class Charge(BaseModel):
    """One rate card of one subscription, from its start to its end. What the calendar needs is frozen from the plan.

    A change of plan, quantity or price ends it and starts another; `number` tells those of one card apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: str
    number: int = 0
    plan: str
    plan_version: str
    meter: str | None = None
    timing: Literal["advance", "arrears"] = "arrears"
    one_time: bool = False
    term: Annotated[Interval | None, Field(exclude_if=operator.not_)] = None
    """Of a commitment over several periods."""
    interval: Interval
    anchor: Instant
    grace: timedelta
    late_horizon: timedelta | None = None
    """How long after its end late usage of it is settled; None if an earlier version made it: only by other runs."""
    starts_at: Instant
    ends_at: Instant | None = None
    began_by_change: bool = False
    ended_by_change: bool = False
    """A change in mid-period prorates free units on both sides of it."""
    trial: bool = False
    quantity: NonNegative | None = None
    """Seats; the plan's own if left out."""
    override: Override | None = None
    billed_through: Instant
    """Where the first grid period begins (or is entered) that no run has billed."""
    rerates: tuple[Period, ...] = ()
    """Grid periods billed before whose service or price changed since: the next run rates them anew."""


class Pause(BaseModel):
    """A gap in service; open until it is resumed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    starts_at: Instant
    ends_at: Instant | None = None


class Contract(BaseModel):
    """A minimum term: the subscription ends, or is renewed for another term, where it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    term: Interval
    renews: bool = False


class Progress(BaseModel):
    """Interim invoices of a subscription: which thresholds are used up, and what was asked for in the period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period: Period
    used: int = 0
    """Thresholds that were crossed; of a lifetime they never count again."""
    steps: int = 0
    """Whole recurring steps that a lifetime has reached."""
    asked: int = 0
    """Interim invoices of the period that were asked for."""
    billed: int = 0
    """Those that a run has billed."""


class Subscription(BaseModel):
    """A customer on a plan version. `plan` is the one that runs, or the last one scheduled to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    plan: str
    plan_version: str
    currency: str
    time_zone: str
    anchor: Instant
    """Of the plan's grid; charges with an interval of their own have their own."""
    interval: Interval
    starts_at: Instant
    ends_at: Instant | None = None
    trial_ends_at: Instant | None = None
    pauses: tuple[Pause, ...] = ()
    contract: Contract | None = None
    past_due: bool = False
    add_ons: tuple[str, ...] = ()
    separate: bool = False
    """Whether it has invoices of its own."""
    subjects: tuple[str, ...] | None = None
    """Whose usage it bills; None for every subject of the customer that no other subscription names."""
    charges: tuple[Charge, ...] = Field(default=())
    progress: Annotated[Progress | None, Field(exclude_if=operator.not_)] = None
    """Of progressive billing; None before its first interim invoice."""

    @property
    def billed_through(self) -> datetime:
        """Up to where every charge that still runs is billed; where the last one ended, if none does."""
        running = [held.billed_through for held in self.charges if _runs(held)]
        return min(running) if running else (self.ends_at or self.starts_at)

    def status(self, at: datetime | None = None) -> Status:
        """What it is at a moment (default: after everything that was billed)."""
        moment = self.billed_through if at is None else at
        if self.ends_at is not None and self.ends_at <= max(moment, self.starts_at):
            return "canceled"
        if moment < self.starts_at:
            return "scheduled"
        if any(
            pause.starts_at <= moment and (pause.ends_at is None or moment < pause.ends_at) for pause in self.pauses
        ):
            return "paused"
        if self.past_due:
            return "past_due"
        return "trialing" if self.trial_ends_at is not None and moment < self.trial_ends_at else "active"


def _runs(charge: Charge) -> bool:
    if charge.one_time:
        return charge.billed_through <= charge.starts_at and charge.ends_at != charge.starts_at
    return charge.ends_at is None or charge.billed_through < charge.ends_at
