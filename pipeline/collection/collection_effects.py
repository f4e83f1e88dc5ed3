"""What follows from how an invoice now stands: notices for its customer, and what becomes of its subscriptions.

Everything has a key derived from the document and the place of the change in its log: doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.documents.books import Change
from schemas.alert import Alert
from schemas.command import Cancel, Command, MarkPaid, MarkPastDue, Pause
from schemas.identity import derived_id
from schemas.invoice import Invoice

ACTOR = "tally/collector"

TOLD: dict[str, str] = {
    "payment_failed": "A payment of {number} over {open} {currency} failed",
    "payment_action_required": "A payment of {number} over {open} {currency} needs the customer",
    "payment_refunded": "Money that was paid for {number} was sent back",
    "refund_failed": "Money that was to be sent back of {number} could not be",
    "payment_disputed": "A payment of {number} is disputed",
    "past_due": "{number} over {open} {currency} is past due",
    "uncollectible": "{number} is given up; {open} {currency} was not paid",
    "given_up": "Collecting {number} has ended without success; {open} {currency} is open",
    "paid": "{number} over {due} {currency} is paid",
}
"""What a customer is told of, by transition, and the sentence."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What one change has as a consequence outside the books."""

    notices: tuple[Alert, ...] = ()
    commands: tuple[Command, ...] = ()


def effects_of(change: Change) -> Effects:
    """The notices and commands that follow from a change of a final invoice; nothing for other documents."""
    if not isinstance(change.document, Invoice) or change.receivable is None:
        return Effects()
    invoice = change.document
    notices = tuple(_notice(change, invoice, kind) for kind in change.transitions if kind in TOLD)
    return Effects(notices, tuple(_commands(change, invoice)))


def _notice(change: Change, invoice: Invoice, kind: str) -> Alert:
    words = {
        "number": invoice.number, "open": invoice.balance.open, "due": invoice.totals.amount_due,
        "currency": invoice.currency,
    }  # fmt: skip
    return Alert(
        key=str(derived_id("notice", invoice.id, kind, invoice.revision)),
        kind=kind,
        customer=invoice.customer,
        at=change.at,
        text=TOLD[kind].format(**words),
        evidence={
            "document": invoice.id,
            "number": str(invoice.number),
            "amount_due": str(invoice.totals.amount_due),
            "open": str(invoice.balance.open),
            "currency": invoice.currency,
            "attempts": str(len(change.receivable.attempts) if change.receivable else 0),
        },
    )


def _commands(change: Change, invoice: Invoice) -> list[Command]:
    made: list[Command] = []
    for kind in change.transitions:
        build = _command_for(kind, change)
        if build is not None:
            made += [
                build(
                    request_id=f"collection/{invoice.id}/{invoice.revision}/{kind}/{subscription}",
                    actor=ACTOR,
                    reason=f"invoice {invoice.number} is {kind.replace('_', ' ')}",
                    customer=invoice.customer,
                    subscription=subscription,
                )
                for subscription in _subscriptions(change, invoice)
            ]
    return made


def _subscriptions(change: Change, invoice: Invoice) -> tuple[str, ...]:
    """Whose service it bills: as its receivable says, or by its lines for one that an earlier version made."""
    if change.receivable is not None and change.receivable.subscriptions:
        return change.receivable.subscriptions
    return tuple(dict.fromkeys(line.subscription for line in invoice.lines if line.subscription))


def _command_for(kind: str, change: Change) -> Callable[..., Command] | None:
    if kind == "past_due":
        return MarkPastDue
    if kind == "paid":
        return MarkPaid if _was_dunned(change) else None
    if kind in ("uncollectible", "given_up"):
        policy = change.receivable.policy if change.receivable else None
        ends: dict[str, Callable[..., Command]] = {"cancel": _cancel_now, "pause": Pause}
        return ends.get(policy.at_end if policy else "leave")
    return None


def _cancel_now(**told: str) -> Command:
    return Cancel.model_validate({**told, "when": "now"})


def _was_dunned(change: Change) -> bool:
    """Whether the subscription may be past due because of this invoice: its due date has come."""
    return change.receivable is not None and change.at >= change.receivable.due_at
