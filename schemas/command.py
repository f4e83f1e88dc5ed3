"""Records of billing.commands: everything that changes a customer's state, and the ticks that give it time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from schemas.credit import CreditGrant, Treatment
from schemas.customer import Text
from schemas.document_log import ActionKind
from schemas.payment import PaymentResult
from schemas.period import Period
from schemas.quantity import Amount, NonNegative
from schemas.subscription import Contract, Override
from schemas.tax import Exemption
from schemas.tick import Tick
from schemas.wallet import Revoking

Name = Annotated[str, Field(min_length=1, max_length=200)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class _Command(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: Name
    actor: Name
    reason: str = Field(max_length=2000)
    """Why; where money moves it must not be blank."""
    customer: Name


class _OfSubscription(_Command):
    subscription: Name


class Subscribe(_OfSubscription):
    """Puts a customer on a version of a plan, from `starts_at` (default: billing time of the command)."""

    command: Literal["subscribe"] = "subscribe"
    plan: Name
    plan_version: Name
    currency: Name | None = None
    """One that the plan is offered in; the customer's, or the plan's own, if left out."""
    starts_at: AwareDatetime | None = None
    time_zone: Name | None = None
    """The customer's, or UTC, if left out."""
    trial_ends_at: AwareDatetime | None = None
    """In place of the plan's trial."""
    no_trial: bool = False
    """Fees begin at once, whatever the plan says."""
    quantities: Mapping[Name, NonNegative] = Field(default_factory=dict)
    """Seats by rate card, where they differ from the plan's."""
    add_ons: tuple[Name, ...] = ()
    subjects: tuple[Name, ...] | None = None
    """Whose usage it bills; left out, every subject that no other subscription names."""
    separate: bool = False
    """Whether it has invoices of its own."""
    contract: Contract | None = None


class Change(_OfSubscription):
    """Moves a subscription to another plan version: the old charges end where the new ones start, on the old grid."""

    command: Literal["change"] = "change"
    plan: Name
    plan_version: Name
    when: Literal["auto", "now", "period_end"] = "auto"
    """`auto` is now, but for a downgrade (lower recurring fees) the end of the running period."""
    at: AwareDatetime | None = None
    """An instant in place of `when`: later is scheduled, earlier is rated anew."""
    quantities: Mapping[Name, NonNegative] = Field(default_factory=dict)
    add_ons: tuple[Name, ...] | None = None
    """Those taken now if left out, as far as the new plan has them."""
    reset_anchor: bool = False
    """Whether the grid begins anew with the change."""


class ChangeQuantity(_OfSubscription):
    """Changes the seats of a fee, prorated like a change of plan."""

    command: Literal["change_quantity"] = "change_quantity"
    card: Name
    quantity: NonNegative
    when: Literal["now", "period_end"] = "now"
    at: AwareDatetime | None = None


class ChangeAddOns(_OfSubscription):
    """Takes add-ons of the plan, or gives them up."""

    command: Literal["change_add_ons"] = "change_add_ons"
    add: tuple[Name, ...] = ()
    remove: tuple[Name, ...] = ()
    when: Literal["now", "period_end"] = "now"


class SetOverride(_OfSubscription):
    """Gives one subscription a price of its own for a rate card, or waives it, from a time on: recorded, no SQL."""

    command: Literal["set_override"] = "set_override"
    card: Name
    override: Override | None
    """None ends what was set before: the plan's price again."""
    effective_from: AwareDatetime | None = None
    """Start of the running period if left out; earlier is rated anew, later is scheduled."""
    until: AwareDatetime | None = None


class SetAnchor(_OfSubscription):
    """Begins a new grid now, through the day of a date."""

    command: Literal["set_anchor"] = "set_anchor"
    anchor: date


class Cancel(_OfSubscription):
    """Ends a subscription: at the end of its running period (or contract), now, or at an instant."""

    command: Literal["cancel"] = "cancel"
    when: Literal["now", "period_end"] = "period_end"
    at: AwareDatetime | None = None


class Reactivate(_OfSubscription):
    """Takes back a cancellation whose end has not come yet."""

    command: Literal["reactivate"] = "reactivate"


class Pause(_OfSubscription):
    """Interrupts the service from now: a gap on the same grid, until it is resumed or until an instant."""

    command: Literal["pause"] = "pause"
    until: AwareDatetime | None = None


class Resume(_OfSubscription):
    """Ends a pause now."""

    command: Literal["resume"] = "resume"


class ExtendTrial(_OfSubscription):
    """Moves the end of a running trial to a later time."""

    command: Literal["extend_trial"] = "extend_trial"
    trial_ends_at: AwareDatetime


class MarkPastDue(_OfSubscription):
    """An invoice of the subscription was not paid in time, and dunning says so."""

    command: Literal["mark_past_due"] = "mark_past_due"


class MarkPaid(_OfSubscription):
    """Nothing of a subscription that was past due is open any more."""

    command: Literal["mark_paid"] = "mark_paid"


class BillInterim(_OfSubscription):
    """Usage of the running period has crossed a threshold of the plan: what is not billed yet is billed at a tick."""

    command: Literal["bill_interim"] = "bill_interim"
    period: Period
    number: Annotated[int, Field(ge=1)]
    """Which interim invoice of the period, from 1."""
    used: Annotated[int, Field(ge=0)]
    """Thresholds that are used up with it."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Whole recurring steps that a lifetime has reached with it."""
    amount: NonNegative
    """The amount that crossed it, when it was looked at."""


class SetCustomer(_Command):
    """Sets fields of the customer's record; those left out stay. An empty text or list clears one."""

    command: Literal["set_customer"] = "set_customer"
    name: Text | None = None
    address: tuple[Text, ...] | None = None
    country: Text | None = None
    tax_ids: tuple[Text, ...] | None = None
    email: Text | None = None
    order_reference: Text | None = None
    currency: Text | None = None
    time_zone: Text | None = None
    language: Text | None = None
    exemption: Exemption | Literal[""] | None = None


class AddLine(_Command):
    """A line that no plan has: a debit, or (negative) goodwill that becomes a credit note."""

    command: Literal["add_line"] = "add_line"
    name: Line
    amount: Amount
    currency: Name | None = None
    subscription: Name | None = None
    """Whose plan it is taxed like; the only one if left out."""
    tax_rates: tuple[Name, ...] | None = None
    """Of that plan's taxes; its own if left out."""
    alone: bool = False
    """Billed at the next tick, on an invoice of its own; else with the next invoice due."""


class RedeemCoupon(_Command):
    """A coupon of the catalogue: its discount is taken off the customer's invoices from now on."""

    command: Literal["redeem_coupon"] = "redeem_coupon"
    coupon: Name
    coupon_version: Name
    until: AwareDatetime | None = None
    """From then on no more."""
    times: Annotated[int | None, Field(ge=1)] = None
    """Off so many billing runs at most."""


class GrantCredit(_Command):
    """Prepaid or given credit that later invoices draw from."""

    command: Literal["grant_credit"] = "grant_credit"
    amount: Annotated[Amount, Field(gt=0)]
    currency: Name | None = None
    funding: Literal["free", "paid"] = "free"
    treatment: Treatment | None = None
    priority: int | None = None
    effective_at: AwareDatetime | None = None
    """Billing time of the command if left out."""
    expires_at: AwareDatetime | None = None
    applies_to: tuple[Name, ...] = ()


class RevokeCredit(_Command):
    """Takes back what is left of a grant: later invoices draw nothing from it."""

    command: Literal["revoke_credit"] = "revoke_credit"
    grant: Name
    revoking: Revoking | None = None
    """What becomes of the money; must be said of a grant that was paid for."""


class TopUp(_Command):
    """The customer buys credits: an invoice of its own at the next tick; usable once it is paid."""

    command: Literal["top_up"] = "top_up"
    amount: Annotated[Amount, Field(gt=0)]
    currency: Name | None = None
    taxed: bool = False
    """Whether tax is due on the sale, by the rates of the plan; else it is due on what the credits pay for."""
    priority: int | None = None
    applies_to: tuple[Name, ...] = ()
    valid_days: Annotated[int | None, Field(ge=1, le=36500)] = None
    """From when it is paid; for ever if left out."""
    recharge: bool = False
    """Sent by the line itself, for a recharge rule."""


class SetRecharge(_Command):
    """Buys credits by itself whenever fewer than `below` can be used; without `amount` it ends that."""

    command: Literal["set_recharge"] = "set_recharge"
    currency: Name | None = None
    below: Annotated[Amount | None, Field(gt=0)] = None
    amount: Annotated[Amount | None, Field(gt=0)] = None
    per_day: Annotated[Amount | None, Field(gt=0)] = None
    per_month: Annotated[Amount | None, Field(gt=0)] = None
    taxed: bool = False
    valid_days: Annotated[int | None, Field(ge=1, le=36500)] = None


class SettleTopUp(_Command):
    """The invoice of a sale of credits was paid (`terms`), or is owed again (None). Sent by the line itself."""

    command: Literal["settle_top_up"] = "settle_top_up"
    document_id: Name
    grant: Name
    terms: CreditGrant | None = None


class ActOnDocument(_Command):
    """Changes how a document stands. It is decided in `billing.finalisations`, where documents become final."""

    command: Literal["act_on_document"] = "act_on_document"
    action: ActionKind
    document_id: Name
    amount: Annotated[Amount | None, Field(gt=0)] = None
    """Of a payment that came without a service's result; of `refund` what is sent back."""
    payment: Annotated[str | None, Field(max_length=200)] = None
    """Of `refund`: the id of the result whose money is meant; any that was paid for the document if left out."""
    result: PaymentResult | None = None
    """Of a payment: what a payment service says."""
    until: AwareDatetime | None = None
    """Of `hold`: how long dunning rests."""


class RestoreCredit(_Command):
    """A credit note gives credit back to a grant. Sent by the line itself, once per note and grant."""

    command: Literal["restore_credit"] = "restore_credit"
    document_id: Name
    grant: Name
    amount: Annotated[Amount, Field(gt=0)]


class BilledPart(BaseModel):
    """What a line of a run was for: a charge of a subscription in a full grid period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription: str
    card: str
    number: int = 0
    period: Period


class BillAgain(_Command):
    """A draft was rejected: what it billed counts as not issued, and the next run rates it anew. Sent by the line."""

    command: Literal["bill_again"] = "bill_again"
    document_id: Name
    tick: int
    """The run that made the draft."""
    parts: tuple[BilledPart, ...]


class Rerate(_OfSubscription):
    """Rates billed periods anew with another version of their plan: our own mistake is mended by the next run."""

    command: Literal["rerate"] = "rerate"
    batch: Name
    """Names all commands of one correction; the same batch asked for again changes nothing."""
    plan: Name
    plan_version: Name
    span: Period
    """Periods that begin in it."""


class TickCopy(BaseModel):
    """A tick, copied by the forwarder into every partition of billing.commands; the first copy of a number wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Literal["tick"] = "tick"
    tick: Tick


Command = (
    Subscribe
    | Change
    | ChangeQuantity
    | ChangeAddOns
    | SetOverride
    | SetAnchor
    | Cancel
    | Reactivate
    | Pause
    | Resume
    | ExtendTrial
    | MarkPastDue
    | MarkPaid
    | BillInterim
    | SetCustomer
    | AddLine
    | RedeemCoupon
    | GrantCredit
    | RevokeCredit
    | TopUp
    | SetRecharge
    | SettleTopUp
    | ActOnDocument
    | RestoreCredit
    | BillAgain
    | Rerate
)
CommandRecord = Annotated[Command | TickCopy, Field(discriminator="command")]
COMMAND_RECORD: TypeAdapter[Command | TickCopy] = TypeAdapter(CommandRecord)
NAMES: tuple[str, ...] = tuple(kind.model_fields["command"].default for kind in get_args(Command))
"""What commands are called on the wire."""


class CommandOutcome(BaseModel):
    """A record of billing.command-outcomes: accepted or refused, with the reason; a function of the log prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    customer: str
    command: str
    actor: str
    reason: str
    accepted: bool
    detail: str = ""
    tick: int = Field(description="number of the last tick before the command in its partition; 0 before the first")
    partition: int
    offset: int


class Attribution(BaseModel):
    """A record of billing.attributions: `subject` belongs to `customer` from `effective_from` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Name
    customer: Name
    effective_from: AwareDatetime
    request_id: Name
    actor: Name
    reason: str = Field(max_length=2000)
