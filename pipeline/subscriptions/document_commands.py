"""What happened to documents, as commands on the customer: billed parts that count as not issued, or are rated anew."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.subscriptions.charges import period_of
from pipeline.subscriptions.commanding import Context, Refused, held, replaced
from pipeline.subscriptions.commitments import charged_cards
from schemas.command import BillAgain, Rerate
from schemas.customer_state import CustomerState, Disregarded, Repriced
from schemas.period import Period
from schemas.subscription import Charge, Subscription


def bill_again(state: CustomerState, command: BillAgain, context: Context) -> CustomerState:
    """The charges of a rejected draft are rated anew by the next run, and its lines count as not issued."""
    del context
    for one in state.subscriptions:
        periods: dict[tuple[str, int], list[Period]] = {}
        for part in command.parts:
            if part.subscription == one.id:
                periods.setdefault((part.card, part.number), []).append(part.period)
        if billed := _whole(one, periods):
            state = replaced(state, _rated_anew(one, billed))
    gone = tuple(
        Disregarded(tick=command.tick, subscription=part.subscription, card=part.card, number=part.number,
                    period=part.period)
        for part in command.parts
    )  # fmt: skip
    return state.model_copy(update={"disregarded": (*state.disregarded, *gone)})


def _whole(
    subscription: Subscription, periods: dict[tuple[str, int], list[Period]]
) -> dict[tuple[str, int], list[Period]]:
    """Those that runs have billed as a whole: what an interim invoice billed of one that runs is billed at its end."""
    through = {(charge.card, charge.number): charge.billed_through for charge in subscription.charges}
    whole = {key: [one for one in found if one.start < through.get(key, one.end)] for key, found in periods.items()}
    return {key: found for key, found in whole.items() if found}


def rerate(state: CustomerState, command: Rerate, context: Context) -> CustomerState:
    """Billed periods of the charges that both plan versions have are rated anew by the next run."""
    subscription = held(state, command.subscription)
    entry = context.plan(command.plan, command.plan_version)
    if subscription.currency not in entry.plan.currencies:
        raise Refused(f"plan: {entry.name}@{entry.version} is not offered in {subscription.currency}")
    cards = {card.id for card in charged_cards(entry.plan)}
    periods: dict[tuple[str, int], list[Period]] = {}
    for charge in subscription.charges:
        if charge.plan == command.plan and charge.card in cards:
            periods[charge.card, charge.number] = list(_billed_in(charge, subscription.time_zone, command.span))
    if not any(periods.values()):
        raise Refused(f"span: no billed period of {subscription.id} on {command.plan} begins in it")
    priced = tuple(
        Repriced(subscription=subscription.id, card=card, number=number, period=period, plan_version=entry.version)
        for (card, number), found in periods.items()
        for period in found
    )
    state = replaced(state, _rated_anew(subscription, {key: found for key, found in periods.items() if found}))
    return state.model_copy(update={"repriced": (*state.repriced, *priced)})


def _billed_in(charge: Charge, time_zone: str, span: Period) -> Iterator[Period]:
    """The grid periods of a charge that are billed and begin in a span."""
    if charge.one_time or charge.billed_through <= charge.starts_at:
        return
    moment = charge.starts_at
    while moment < charge.billed_through:
        period = period_of(charge, time_zone, moment)
        if span.contains(period.start):
            yield period
        moment = period.end


def _rated_anew(subscription: Subscription, periods: dict[tuple[str, int], list[Period]]) -> Subscription:
    charges = tuple(
        charge.model_copy(update={"rerates": tuple(sorted({*charge.rerates, *periods[charge.card, charge.number]}))})
        if (charge.card, charge.number) in periods
        else charge
        for charge in subscription.charges
    )
    return subscription.model_copy(update={"charges": charges})
