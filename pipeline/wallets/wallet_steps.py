"""What a tick makes due for wallets: credit that has expired, and a recharge. The books decide; this only proposes.

A proposal names its tick, so proposing twice is proposing once; decided later, by what is left then, it may do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.wallets.wallet import Wallet, recharge_refusal
from schemas.document_log import CreditAction
from schemas.tick import Tick

ACTOR = "tally"


def due(customer: str, wallet: Wallet, tick: Tick) -> Iterator[CreditAction]:
    """The steps of a customer's wallet at a tick, expiry first."""
    for held in wallet.grants.values():
        expires_at = held.terms.expires_at
        if expires_at is not None and expires_at <= tick.time and held.left > 0:
            # Credit that comes back to an expired grant expires again, with a request of its own.
            request = f"expiry/{held.terms.id}/{held.changes}"
            yield _action(customer, tick, request, "the credit has expired", action="expire", grant_id=held.terms.id)
    for currency in wallet.rules:
        if not recharge_refusal(wallet, currency, tick.time):
            request = f"recharge/{currency}/{tick.number}/{len(wallet.orders)}"
            reason = "the balance is below the threshold of the recharge rule"
            yield _action(customer, tick, request, reason, action="recharge", currency=currency)


def _action(customer: str, tick: Tick, request: str, reason: str, **told: str) -> CreditAction:
    return CreditAction.model_validate({
        "customer": customer, "request_id": request, "actor": ACTOR, "reason": reason, "tick": tick.number,
        "time": tick.time, **told,
    })  # fmt: skip
