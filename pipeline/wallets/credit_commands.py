"""Commands on a customer's prepaid credits: grants, sales, recharge; what is left of them the documents say.

Every accepted one also has a place in the books (`credit_action`), where credits are counted and booked. Source:
rating.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pipeline.subscriptions.commanding import Context, Refused
from pipeline.subscriptions.subscribing import known_zone
from schemas.catalogue_entry import PlanEntry
from schemas.command import (
    Command,
    CommandOutcome,
    GrantCredit,
    RestoreCredit,
    RevokeCredit,
    SetRecharge,
    SettleTopUp,
    TopUp,
)
from schemas.credit import CreditGrant
from schemas.customer_state import CustomerState, OneOff
from schemas.document_log import CreditAction
from schemas.faults import Malformed, checked
from schemas.money import Currency, currency, round_money
from schemas.subscription import Subscription
from schemas.tick import Tick
from schemas.wallet import CreditOrder, RechargeRule

GRANTED = ("amount", "priority", "expires_at", "funding", "treatment", "applies_to")
SOLD = "Prepaid credits"


def grant_credit(state: CustomerState, command: GrantCredit, context: Context) -> CustomerState:
    """Grants credit that later invoices draw from."""
    code = _code(state, command.currency)
    _rounded("amount", command.amount, code, state, context)
    _refuse_unknown_charges(state, command.applies_to, context)
    given = {name: getattr(command, name) for name in GRANTED}
    began = {"created_at": context.now, "effective_at": command.effective_at or context.now}
    try:
        grant = checked(CreditGrant, {"id": command.request_id, "currency": code, **began, **given})
    except Malformed as fault:
        raise Refused(str(fault)) from None
    return state.model_copy(update={"grants": (*state.grants, grant)})


def revoke_credit(state: CustomerState, command: RevokeCredit, context: Context) -> CustomerState:
    """Later invoices draw nothing from the grant."""
    del context
    grant = held_grant(state, command.grant)
    if grant.funding == "paid" and command.revoking is None:
        raise Refused(f"revoking: {grant.id} was paid for; say whether the money was sent back or is forfeited")
    if grant.funding == "free" and command.revoking == "refunded":
        raise Refused(f"revoking: {grant.id} was given; there is no money to send back")
    return state.model_copy(update={"grants": tuple(each for each in state.grants if each.id != grant.id)})


def top_up(state: CustomerState, command: TopUp, context: Context) -> CustomerState:
    """A line that is billed alone; the credits are granted when its invoice is paid."""
    code = _code(state, command.currency)
    money = _rounded("amount", command.amount, code, state, context)
    _refuse_unknown_charges(state, command.applies_to, context)
    like = _collected_like(state, code)
    entry = None if like is None else context.plan(like.plan, like.plan_version)
    if command.taxed:
        _refuse_untaxable(entry)
    line = OneOff(
        id=command.request_id, name=SOLD, amount=round_money(command.amount, money), currency=code, at=context.now,
        time_zone=_zone(state, like), plan=None if entry is None else (entry.name, entry.version),
        tax_rates=None if command.taxed else (), alone=True, sells="credits",
    )  # fmt: skip
    return state.model_copy(update={"one_offs": (*state.one_offs, line)})


def set_recharge(state: CustomerState, command: SetRecharge, context: Context) -> CustomerState:
    """Checks the rule; it is kept, and obeyed, by the books."""
    code = _code(state, command.currency)
    if command.amount is None:
        if command.below is not None:
            raise Refused("amount: is missing: how much is bought whenever the balance is low")
        return state
    if command.below is None:
        raise Refused("below: is missing: how low the balance must be")
    for name in ("below", "amount", "per_day", "per_month"):
        if (amount := getattr(command, name)) is not None:
            _rounded(name, amount, code, state, context)
    for name in ("per_day", "per_month"):
        if (cap := getattr(command, name)) is not None and cap < command.amount:
            raise Refused(f"{name}: must be at least the amount, {command.amount}, or nothing is ever bought")
    like = _collected_like(state, code)
    entry = None if like is None else context.plan(like.plan, like.plan_version)
    if entry is None or entry.plan.dunning is None:
        raise Refused("set_recharge: no plan of the customer has dunning, so nobody would be asked for the money")
    if command.taxed:
        _refuse_untaxable(entry)
    return state


def settle_top_up(state: CustomerState, command: SettleTopUp, context: Context) -> CustomerState:
    """Credits that were paid for can be used; those whose money went back cannot, until they are paid again."""
    del context
    there = next((each for each in (*state.grants, *state.withdrawn) if each.id == command.grant), command.terms)
    grants = tuple(each for each in state.grants if each.id != command.grant)
    withdrawn = tuple(each for each in state.withdrawn if each.id != command.grant)
    if there is None:
        raise Refused(f"grant: {state.customer} has no {command.grant}")
    if command.terms is None:
        return state.model_copy(update={"grants": grants, "withdrawn": (*withdrawn, there)})
    return state.model_copy(update={"grants": (*grants, there), "withdrawn": withdrawn})


def restore_credit(state: CustomerState, command: RestoreCredit, context: Context) -> CustomerState:
    """What a note or a rejected draft gives back can be drawn again, as long as the grant is valid."""
    del context
    if all(each.id != command.grant for each in state.withdrawn):
        held_grant(state, command.grant)

    def more(grants: tuple[CreditGrant, ...]) -> tuple[CreditGrant, ...]:
        return tuple(
            each.model_copy(update={"returned": each.returned + command.amount}) if each.id == command.grant else each
            for each in grants
        )

    return state.model_copy(update={"grants": more(state.grants), "withdrawn": more(state.withdrawn)})


def held_grant(state: CustomerState, name: str) -> CreditGrant:
    """A grant of the customer. Raises Refused."""
    found = next((grant for grant in state.grants if grant.id == name), None)
    if found is None:
        raise Refused(f"grant: {state.customer} has no {name}; tally credits list {state.customer} shows what there is")
    return found


def credit_action(
    command: Command, state: CustomerState, clock: Tick, outcome: CommandOutcome
) -> CreditAction | None:  # fmt: skip
    """What an accepted command says to the books, with its place; None for one that is not about credits."""
    told: dict[str, object]
    if isinstance(command, GrantCredit):
        terms = held_grant(state, command.request_id)
        told = {"action": "grant", "terms": terms}
    elif isinstance(command, RevokeCredit):
        told = {"action": "revoke", "grant_id": command.grant, "revoking": command.revoking}
    elif isinstance(command, TopUp):
        order = order_of(command, _code(state, command.currency), clock)
        told = {"action": "order", "order": order}
    elif isinstance(command, SetRecharge):
        code = _code(state, command.currency)
        told = {"action": "recharge_rule", "currency": code, "rule": _rule(command, code, state, clock)}
    else:
        return None
    return CreditAction.model_validate({
        **told, "customer": command.customer, "request_id": command.request_id, "actor": command.actor,
        "reason": command.reason, "tick": clock.number, "time": clock.time, "partition": outcome.partition,
        "offset": outcome.offset,
    })  # fmt: skip


def order_of(command: TopUp, code: str, clock: Tick) -> CreditOrder:
    """The sale that a command asks for."""
    return CreditOrder(
        id=command.request_id, currency=code, amount=command.amount, taxed=command.taxed, priority=command.priority,
        applies_to=command.applies_to, valid_days=command.valid_days, at=clock.time, recharge=command.recharge,
    )  # fmt: skip


def _rule(command: SetRecharge, code: str, state: CustomerState, clock: Tick) -> RechargeRule | None:
    if command.amount is None or command.below is None:
        return None
    return RechargeRule(
        currency=code, below=command.below, amount=command.amount, per_day=command.per_day,
        per_month=command.per_month, time_zone=_zone(state, _collected_like(state, code)), taxed=command.taxed,
        valid_days=command.valid_days, at=clock.time,
    )  # fmt: skip


def _code(state: CustomerState, named: str | None) -> str:
    code = named or next((one.currency for one in state.subscriptions), state.record.currency)
    if not code:
        raise Refused("currency: name one: the customer has neither a subscription nor a currency of its own")
    return code


def _rounded(name: str, amount: Decimal, code: str, state: CustomerState, context: Context) -> Currency:
    money = _money_of(state, code, context)
    if round_money(amount, money) != amount:
        raise Refused(f"{name}: must be rounded to the minor units of {code}, not {amount}")
    return money


def _money_of(state: CustomerState, code: str, context: Context) -> Currency:
    for one in state.subscriptions:
        plan = context.catalogue.plan(one.plan, one.plan_version)
        if one.currency == code and plan is not None:
            return plan.plan.in_currency(code).money
    try:
        return currency(code)
    except ValueError as fault:
        raise Refused(str(fault)) from None


def _collected_like(state: CustomerState, code: str) -> Subscription | None:
    """Whose plan says how a sale is taxed and collected: the first subscription in that currency."""
    return next((one for one in state.subscriptions if one.currency == code), None)


def _zone(state: CustomerState, like: Subscription | None) -> str:
    return like.time_zone if like is not None else known_zone(state.record.time_zone or "UTC")


def _refuse_untaxable(entry: PlanEntry | None) -> None:
    if entry is None or not entry.plan.tax_rates:
        raise Refused("taxed: no plan of the customer in that currency has taxes")
    if entry.plan.tax_behavior == "inclusive":
        raise Refused("taxed: prices of the plan include tax; sell the credits untaxed, tax is due on what they pay")


def _refuse_unknown_charges(state: CustomerState, charges: Iterable[str], context: Context) -> None:
    """A customer's own charges: of one without a subscription they are not known yet."""
    plans = [context.catalogue.plan(one.plan, one.plan_version) for one in state.subscriptions]
    known = {card.id for entry in plans if entry is not None for card in entry.plan.rate_cards}
    for index, charge in enumerate(charges):
        if known and charge not in known:
            raise Refused(f"applies_to[{index}]: no charge {charge!r}; there are {', '.join(sorted(known))}")
