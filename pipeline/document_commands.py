"""What happened to documents, as commands on the customer: credit restored, billed parts that count as not issued."""

from __future__ import annotations

from pipeline.commanding import Context, Refused, replaced
from schemas.command import BillAgain, RestoreCredit
from schemas.customer_state import CustomerState, Disregarded
from schemas.period import Period
from schemas.subscription import Subscription


def restore_credit(state: CustomerState, command: RestoreCredit, context: Context) -> CustomerState:
    """Credit that a note gives back is a grant like the one that it came from."""
    original = next((grant for grant in state.grants if grant.id == command.grant), None)
    if original is None:
        raise Refused(f"grant: {state.customer} has no {command.grant}")
    update = {"id": command.request_id, "amount": command.amount, "created_at": context.now}
    return state.model_copy(update={"grants": (*state.grants, original.model_copy(update=update))})


def bill_again(state: CustomerState, command: BillAgain, context: Context) -> CustomerState:
    """The charges of a rejected draft are rated anew by the next run, and its lines count as not issued."""
    del context
    for held in state.subscriptions:
        periods: dict[tuple[str, int], list[Period]] = {}
        for part in command.parts:
            if part.subscription == held.id:
                periods.setdefault((part.card, part.number), []).append(part.period)
        if periods:
            state = replaced(state, _rated_anew(held, periods))
    gone = tuple(
        Disregarded(tick=command.tick, subscription=part.subscription, card=part.card, number=part.number,
                    period=part.period)
        for part in command.parts
    )  # fmt: skip
    return state.model_copy(update={"disregarded": (*state.disregarded, *gone)})


def _rated_anew(held: Subscription, periods: dict[tuple[str, int], list[Period]]) -> Subscription:
    charges = tuple(
        charge.model_copy(update={"rerates": tuple(sorted({*charge.rerates, *periods[charge.card, charge.number]}))})
        if (charge.card, charge.number) in periods
        else charge
        for charge in held.charges
    )
    return held.model_copy(update={"charges": charges})
