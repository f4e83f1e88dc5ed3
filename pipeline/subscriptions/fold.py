"""Billing state per customer: a pure fold of commands, in log order; ticks bill it (`pipeline.closing.runs`).

A command is decided under the last tick before it in its partition. What cannot be is refused with a reason, and then
changes nothing. Source: design.md §7, rating.md §4 and §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.closing import interims
from pipeline.subscriptions import changing, customer_commands, document_commands, ending, subscribing
from pipeline.subscriptions.commanding import Context, Refused
from pipeline.wallets import credit_commands
from schemas.catalogue_entry import Catalogue
from schemas.command import ActOnDocument, Command
from schemas.customer_state import CustomerState
from schemas.tick import Tick

FOLDS: Mapping[str, Callable[[CustomerState, Any, Context], CustomerState]] = {
    "subscribe": subscribing.subscribe,
    "change": changing.change,
    "change_quantity": changing.change_quantity,
    "change_add_ons": changing.change_add_ons,
    "set_override": changing.set_override,
    "set_anchor": changing.set_anchor,
    "cancel": ending.cancel,
    "reactivate": ending.reactivate,
    "pause": ending.pause,
    "resume": ending.resume,
    "extend_trial": ending.extend_trial,
    "mark_past_due": ending.mark_past_due,
    "mark_paid": ending.mark_paid,
    "bill_interim": interims.bill_interim,
    "set_customer": customer_commands.set_customer,
    "add_line": customer_commands.add_line,
    "redeem_coupon": customer_commands.redeem_coupon,
    "grant_credit": credit_commands.grant_credit,
    "revoke_credit": credit_commands.revoke_credit,
    "top_up": credit_commands.top_up,
    "set_recharge": credit_commands.set_recharge,
    "settle_top_up": credit_commands.settle_top_up,
    "restore_credit": credit_commands.restore_credit,
    "bill_again": document_commands.bill_again,
    "rerate": document_commands.rerate,
}
"""Command -> what it makes of a state; raises Refused."""
MOVES_MONEY = (
    "change", "change_quantity", "change_add_ons", "set_override", "set_anchor", "cancel", "reactivate", "pause",
    "resume", "extend_trial", "add_line", "redeem_coupon", "grant_credit", "revoke_credit",
    "top_up", "set_recharge", "rerate",
)  # fmt: skip
"""These need a reason."""
OF_NEW_CUSTOMERS = (
    "subscribe", "set_customer", "grant_credit", "revoke_credit", "top_up", "settle_top_up", "restore_credit",
    "add_line",
)  # fmt: skip
"""These may be the first that is heard of a customer."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command did: the state after it, and why it was refused (empty if accepted, then the state is new)."""

    state: CustomerState
    refusal: str = ""


def decide(state: CustomerState, command: Command, clock: Tick | None, catalogue: Catalogue) -> Decision:
    """Applies a command or refuses it with a reason; a refused command changes nothing.

    `catalogue` is what lies below the clock's vector. Raises ValueError for a command about a document: those are
    decided where documents become final.
    """
    if clock is None:
        return Decision(state, "billing time has not begun: no tick before this command")
    if isinstance(command, ActOnDocument):
        raise ValueError("act_on_document: is decided by the books, not by the customer's state")
    if command.command in MOVES_MONEY and not command.reason.strip():
        return Decision(state, f"reason: must say why: {command.command} moves money")
    if command.command not in OF_NEW_CUSTOMERS and not state.subscriptions:
        return Decision(state, f"customer: {state.customer} has no subscription")
    try:
        return Decision(FOLDS[command.command](state, command, Context(clock, catalogue)))
    except Refused as refusal:
        return Decision(state, str(refusal))
