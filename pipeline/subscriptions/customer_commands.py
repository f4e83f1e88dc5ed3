"""Commands on the customer: its record, lines that no plan has, goodwill. Source: design.md §7, rating.md §6, §8."""

from __future__ import annotations

from pipeline.subscriptions.commanding import Context, Refused, held
from pipeline.subscriptions.subscribing import known_zone
from schemas.command import AddLine, RedeemCoupon, SetCustomer
from schemas.customer import Customer
from schemas.customer_state import CustomerState, OneOff, Redeemed
from schemas.discount import Discount
from schemas.faults import Malformed, checked
from schemas.money import Currency, currency, round_money
from schemas.subscription import Subscription


def set_customer(state: CustomerState, command: SetCustomer, context: Context) -> CustomerState:
    """Sets the fields that are given. Documents show them from the next one on."""
    del context
    given = {name: value for name in Customer.model_fields if (value := getattr(command, name)) is not None}
    if not given:
        raise Refused("set_customer: names no field to set")
    if given.get("time_zone"):
        known_zone(given["time_zone"])
    if given.get("exemption") == "":
        given["exemption"] = None
    try:
        record = checked(Customer, {**dict(state.record), **given})
    except Malformed as fault:
        raise Refused(str(fault)) from None
    return state.model_copy(update={"record": record})


def add_line(state: CustomerState, command: AddLine, context: Context) -> CustomerState:
    """Adds a line to the next invoice, or to one of its own at the next tick; a negative one becomes a credit note."""
    subscription = _taxed_like(state, command)
    plan = None if subscription is None else context.plan(subscription.plan, subscription.plan_version)
    code = command.currency or (subscription.currency if subscription is not None else state.record.currency)
    if not code:
        raise Refused("currency: name one: the customer has neither a subscription nor a currency of its own")
    if plan is not None and code not in plan.plan.currencies:
        raise Refused(f"currency: {subscription.id if subscription else ''} is not billed in {code}")
    money = _currency(code) if plan is None else plan.plan.in_currency(code).money
    if command.amount == 0 or round_money(command.amount, money) != command.amount:
        raise Refused(f"amount: must be a rounded amount of {code} other than 0, not {command.amount}")
    known = {rate.id for rate in plan.tax_rates} if plan is not None else set()
    for name in command.tax_rates or ():
        if name not in known:
            raise Refused(
                f"tax_rates: {name} is not among those of the plan; there are {', '.join(sorted(known)) or 'none'}"
            )
    if not command.alone and not any(one.ends_at is None or one.ends_at > context.now for one in state.subscriptions):
        raise Refused("alone: no invoice is due any more that would take the line; bill it alone")
    line = OneOff(
        id=command.request_id, name=command.name, amount=command.amount, currency=code, at=context.now,
        time_zone=subscription.time_zone if subscription is not None else known_zone(state.record.time_zone or "UTC"),
        subscription=None if subscription is None else subscription.id,
        plan=None if plan is None else (plan.name, plan.version), tax_rates=command.tax_rates, alone=command.alone,
    )  # fmt: skip
    return state.model_copy(update={"one_offs": (*state.one_offs, line)})


def redeem_coupon(state: CustomerState, command: RedeemCoupon, context: Context) -> CustomerState:
    """Takes a coupon's discount off the customer's invoices; each coupon once at a time."""
    entry = context.catalogue.coupons.get((command.coupon, command.coupon_version))
    if entry is None:
        version = f"{command.coupon}@{command.coupon_version}"
        raise Refused(f"coupon: no version {version} in the catalogue as of tick {context.clock.number}")
    if command.until is not None and command.until <= context.now:
        raise Refused(f"until: {command.until.isoformat()} is not after billing time {context.now.isoformat()}")
    if any(one.discount.id == command.coupon and not _is_over(one, context) for one in state.coupons):
        raise Refused(f"coupon: {state.customer} has redeemed {command.coupon} already")
    discount = checked(Discount, entry.coupon.model_dump(exclude={"name"}))
    redeemed = Redeemed(id=command.request_id, discount=discount, until=command.until, left=command.times)
    return state.model_copy(update={"coupons": (*state.coupons, redeemed)})


def _is_over(redeemed: Redeemed, context: Context) -> bool:
    return redeemed.until is not None and redeemed.until <= context.now


def _taxed_like(state: CustomerState, command: AddLine) -> Subscription | None:
    if command.subscription is not None:
        return held(state, command.subscription)
    found = [one for one in state.subscriptions if command.currency in (None, one.currency)]
    if len(found) > 1:
        raise Refused(
            f"subscription: name one of {', '.join(one.id for one in found)}: the line is taxed like its plan"
        )
    if state.subscriptions and not found:
        raise Refused(f"currency: {state.customer} is not billed in {command.currency}")
    return found[0] if found else None


def _currency(code: str) -> Currency:
    try:
        return currency(code)
    except ValueError as fault:
        raise Refused(str(fault)) from None
