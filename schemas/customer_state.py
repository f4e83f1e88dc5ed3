"""What the commands of a customer add up to, and what a tick makes due."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.credit import CreditGrant
from schemas.customer import Customer
from schemas.discount import Discount
from schemas.late_usage import LatePolicy
from schemas.period import Instant, Period
from schemas.quantity import Amount, NonNegative
from schemas.subscription import Override, Subscription
from schemas.tick import Tick


class OneOff(BaseModel):
    """A line that no plan has: a debit, or (negative) goodwill. Billed once, by the run that takes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The request that asked for it."""
    name: str
    amount: Amount
    currency: str
    at: Instant
    """When it was asked for: its tax point."""
    time_zone: str = "UTC"
    subscription: str | None = None
    """Whose invoice it is on."""
    plan: tuple[str, str] | None = None
    """(name, version) of the plan that it is taxed like."""
    tax_rates: tuple[str, ...] | None = None
    """Those of the plan if left out."""
    alone: bool = False
    """Whether it is billed at the next tick, on an invoice of its own, and does not wait for the next one due."""
    sells: Literal["credits"] | None = None
    """What is sold, where that is not a service: an invoice for it alone, without discounts, paid by no credit."""


class Disregarded(BaseModel):
    """Lines of a run that do not count as issued: the document that they stood on was rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick: int
    subscription: str
    card: str
    number: int
    period: Period


class Redeemed(BaseModel):
    """A coupon that a customer has redeemed: its discount, and how long it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The request that asked for it."""
    discount: Discount
    until: Instant | None = None
    left: int | None = None
    """For so many runs more; None for all."""


class Repriced(BaseModel):
    """A billed period of a charge that is rated with another version of its plan from now on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription: str
    card: str
    number: int
    period: Period
    plan_version: str


class Drafted(BaseModel):
    """The open draft of a customer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Instant
    """When it was due as it was first drafted: its documents keep the id that follows from this."""
    due: Instant
    """When the run that bills it is due, as far as is known."""
    hour: Instant
    """The full hour under which it was drafted last."""


class CustomerState(BaseModel):
    """A function of the customer's commands and ticks below a position of billing.commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str
    record: Customer = Customer()
    subscriptions: tuple[Subscription, ...] = ()
    one_offs: tuple[OneOff, ...] = ()
    """Not billed yet."""
    coupons: tuple[Redeemed, ...] = ()
    """In the order in which they were redeemed."""
    grants: tuple[CreditGrant, ...] = ()
    """Every credit that was granted and not revoked, with nothing drawn: what is left of it follows from the documents.
    """
    withdrawn: tuple[CreditGrant, ...] = ()
    """Credits that were bought and whose money went back: not usable until they are paid again."""
    last_run: int = 0
    """Number of the tick that billed something last; 0 before the first."""
    ran_at: Instant | None = None
    """The time of that tick; None if an earlier version billed it."""
    disregarded: tuple[Disregarded, ...] = ()
    """What earlier runs billed on documents that were rejected."""
    repriced: tuple[Repriced, ...] = ()
    """Periods whose price was wrong when they were billed, the newest correction last."""
    draft: Annotated[Drafted | None, Field(exclude_if=operator.not_)] = None
    """What was drafted of periods in their grace and is not billed yet."""
    told_at: Instant | None = None
    """Up to where transitions of the subscriptions are announced; None if an earlier version made the state."""


class DueTerm(BaseModel):
    """Where a period stands in a commitment over several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    span: Period
    """From the term's first grid period to its last."""
    served: tuple[Period, ...]
    """What of it is served, as far as is known: the commitment shrinks with it."""
    is_last: bool
    """Whether the term ends with this period, which trues up."""


class DueCharge(BaseModel):
    """A charge in a due period: its rate card, and what the subscription has that the plan does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: str
    number: int = 0
    """Tells the charges of one card apart: each change begins another."""
    quantity: NonNegative | None = None
    override: Override | None = None
    term: Annotated[DueTerm | None, Field(exclude_if=operator.not_)] = None
    """For a commitment over several periods."""


class Late(BaseModel):
    """Why a closed period is looked at again, and what its plan does with the difference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: LatePolicy
    minimum: NonNegative
    records: int
    """Late events, corrections and attributions that touch the period."""
    positions: tuple[str, ...]
    """Where the first of them are: topic/partition/offset."""


class DuePeriod(BaseModel):
    """A grid period of one subscription that a run bills: which charges, and the part of it that was served.

    `service` is from the first to the last served instant, without the `pauses` in it; empty if nothing is served any
    more. Charges of another interval, plan version, trial or service are another due period of the same run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription: str
    plan: str
    plan_version: str
    currency: str
    time_zone: str
    period: Period
    service: Period
    anchor: Instant | None = None
    """Where the billing grid is anchored: windows of a month follow it, clamped from its day."""
    charges: tuple[DueCharge, ...] | None = None
    """In the plan's order; None stands for every rate card of the plan."""
    pauses: tuple[Period, ...] = ()
    trial: bool = False
    """Usage of a trial is rated and shown, with a discount of all of it."""
    prorate_free_units: bool = False
    """After a change in mid-period."""
    rerates: bool = False
    """Whether lines were issued for it before: this run bills owed - issued."""
    subjects: tuple[str, ...] | None = None
    """Whose usage it is; None for all subjects of the customer but `other_subjects`."""
    other_subjects: tuple[str, ...] = ()
    group: str = ""
    """The subscription, if it has invoices of its own."""
    late: Late | None = None
    """For a closed period that is looked at again, because of what came after its close."""
    interim: Annotated[bool, Field(exclude_if=operator.not_)] = False
    """Whether usage of a running period is billed so far, as a threshold was crossed; `service` ends with the tick."""
    interims: Annotated[int, Field(exclude_if=operator.not_)] = 0
    """How many runs have billed usage of this period already: its invoice deducts them."""

    counted: Annotated[tuple[tuple[str, int], ...], Field(exclude_if=operator.not_)] = ()
    """Where the commitment of a plan is trued up: (rate card, number) of the charges whose fees count against it."""

    @property
    def served(self) -> tuple[Period, ...]:
        """The served spans, in order; none if nothing is served."""
        ends = [*(pause.start for pause in self.pauses), self.service.end]
        starts = [self.service.start, *(pause.end for pause in self.pauses)]
        return tuple(Period(start, end) for start, end in zip(starts, ends, strict=True) if start < end)


class BillingRun(BaseModel):
    """What one tick makes due for one customer: the input of a close. A function of the log up to the tick's copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str
    tick: Tick
    revision: int = 0
    follows: int = 0
    """Number of the tick of the customer's run before this one; 0 for the first. What that one issued is deducted."""
    periods: tuple[DuePeriod, ...]
    one_offs: tuple[OneOff, ...] = ()
    record: Customer = Customer()
    """The customer as of the tick: who the documents are made out to."""
    grants: tuple[CreditGrant, ...] = ()
    """The customer's credits as of the tick, with nothing drawn."""
    discounts: tuple[Discount, ...] = ()
    """Of coupons that hold at the tick."""
    disregarded: tuple[Disregarded, ...] = ()
    """Lines of earlier runs that are not deducted."""


class PeriodClosed(BaseModel):
    """A record of billing.periods: usage of the run's periods is frozen under `close_id`, as of the tick's vector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    close_id: str
    customer: str
    revision: int
    tick: Tick
    follows: int = 0
    periods: tuple[DuePeriod, ...]
    one_offs: tuple[OneOff, ...] = ()
    record: Customer = Customer()
    grants: tuple[CreditGrant, ...] = ()
    discounts: tuple[Discount, ...] = ()
    disregarded: tuple[Disregarded, ...] = ()
    usage_rows: int
    events: int
    fingerprint: str
