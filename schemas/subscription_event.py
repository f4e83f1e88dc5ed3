"""The subscription as consumers get it: how it stands from a moment on, announced at each of its transitions.

It travels with the documents, so what a customer has and what a customer owes come in one order. Source: design.md §4.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.period import Instant
from schemas.plan import Interval
from schemas.quantity import NonNegative
from schemas.subscription import Contract, Override, Pause, Status

SubscriptionTransition = Literal[
    "created", "scheduled", "trialing", "active", "past_due", "paused", "canceled", "changed"
]  # fmt: skip
"""`created`, the status that is entered, or `changed`: another plan, seats, price, subject or date."""


class RunningCharge(BaseModel):
    """A rate card that is billed, or will be: until `ends_at`, or until further notice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: str
    number: int
    """Tells the charges of one card apart: each change begins another."""
    plan: str
    plan_version: str
    meter: str | None = None
    starts_at: Instant
    ends_at: Instant | None = None
    one_time: bool = False
    trial: bool = False
    quantity: NonNegative | None = None
    """Seats; None for the plan's own number."""
    override: Override | None = None


class Cause(BaseModel):
    """What led to a transition: a command, or that time passed (`tick`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    request_id: str = ""
    actor: str = ""
    reason: str = ""
    tick: int
    """Billing time: the last tick before the command, or the one that passed the moment."""


class SubscriptionSnapshot(BaseModel):
    """A subscription as of the event's time. Of two forms of one, the greater `revision` is newer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    id: str
    customer: str
    status: Status
    plan: str
    plan_version: str
    currency: str
    time_zone: str
    interval: Interval
    anchor: Instant
    starts_at: Instant
    ends_at: Instant | None = None
    trial_ends_at: Instant | None = None
    pauses: tuple[Pause, ...] = ()
    contract: Contract | None = None
    add_ons: tuple[str, ...] = ()
    separate: bool = False
    """Whether it has invoices of its own."""
    subjects: tuple[str, ...] | None = None
    """Whose usage it bills; None for every subject of the customer that no other subscription names."""
    charges: tuple[RunningCharge, ...]
    cause: Cause
    revision: int
    """The position behind the record of billing.commands that led to it."""


class SubscriptionEvent(BaseModel):
    """A CloudEvent of billing.invoices: a transition of a subscription, with all of it as it stands from then on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = "/tally/subscriptions"
    type: Literal[
        "tally.subscription.created.v1", "tally.subscription.scheduled.v1", "tally.subscription.trialing.v1",
        "tally.subscription.active.v1", "tally.subscription.past_due.v1", "tally.subscription.paused.v1",
        "tally.subscription.canceled.v1", "tally.subscription.changed.v1",
    ]  # fmt: skip
    subject: str
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    data: SubscriptionSnapshot
