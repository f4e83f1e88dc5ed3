"""When an unpaid invoice is tried again, and when it is given up: driven by ticks only.

The first attempt is at the first day of the policy after the due date. An attempt whose outcome is unknown is never
followed by another: the invoice waits, and a person is told. A hold (dunning paused, a payment promised) puts off what
would fall into it; it skips nothing. What was sent back because we asked is owed again, and asked for only by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pipeline.collection.booking import Booking
from pipeline.collection.receivables import write_off
from schemas.payment import PaymentRequest, request_key
from schemas.posting import Transaction
from schemas.receivable import Attempt, Receivable

Notice = Literal["attempt", "overdue", "given_up"]


@dataclass(frozen=True, slots=True)
class Step:
    """What a tick does to a receivable: a request, a notice, the end; each at most once per attempt."""

    receivable: Receivable
    request: PaymentRequest | None = None
    transactions: tuple[Transaction, ...] = ()
    notice: Notice | None = None

    @property
    def gives_up(self) -> bool:
        """Whether the subscription now goes the way of the policy's end."""
        return self.notice == "given_up"


@dataclass(frozen=True, slots=True)
class Now:
    """For whom, and under which tick, a receivable is looked at."""

    customer: str
    tick: int
    at: datetime


def next_step_at(held: Receivable) -> datetime | None:
    """The earliest time of a tick that does something; None if nothing will."""
    policy = held.policy
    if policy is None or held.state != "open" or held.open <= 0:
        return None
    if held.awaits_outcome or held.given_up or held.rests:
        return None
    made, days = len(held.attempts), policy.days
    if made < len(days):
        planned = held.due_at + timedelta(days=days[made])
    else:
        planned = held.due_at + timedelta(days=days[-1]) + policy.patience
    return planned if held.held_until is None else max(planned, held.held_until)


def step(held: Receivable, now: Now) -> Step | None:
    """What is due at a tick; None if nothing. After a long time without ticks, one attempt is made, not all missed."""
    at = next_step_at(held)
    if at is None or held.policy is None or now.at < at:
        return None
    if len(held.attempts) < len(held.policy.days):
        return _attempt(held, now)
    if not held.policy.writes_off:
        return Step(held.model_copy(update={"given_up": True}), notice="given_up")
    why = f"{len(held.attempts)} attempts to collect failed"
    written = write_off(held, Booking(now.customer, now.at), why)
    return Step(written.receivable, transactions=written.transactions, notice="given_up")


def retry(held: Receivable, now: Now) -> Step:
    """An attempt by hand, at once. Raises ValueError where none may be made."""
    if held.state != "open" or held.open <= 0:
        raise ValueError(f"{held.number} is {held.state}: there is nothing to collect")
    if held.awaits_outcome:
        raise ValueError(f"the outcome of attempt {held.attempts[-1].number} of {held.number} is unknown")
    return _attempt(held, now)


def _attempt(held: Receivable, now: Now) -> Step:
    number = len(held.attempts) + 1
    request = PaymentRequest(
        key=request_key(held.document, number),
        document=held.document,
        number=held.number,
        customer=now.customer,
        attempt=number,
        amount=held.open,
        currency=held.currency,
        tick=now.tick,
        at=now.at,
    )
    made = (*held.attempts, Attempt(number=number, requested_at=now.at))
    notice: Notice = "attempt" if number == 1 else "overdue"
    return Step(held.model_copy(update={"attempts": made}), request, notice=notice)
