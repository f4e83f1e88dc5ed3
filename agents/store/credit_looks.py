"""Reads of wallets for people: grants and what is left of them, what happened, sales and recharge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from agents.store.connection import Connection
from agents.store.credits import CreditStore
from pipeline.wallets.wallet import Wallet, balance, recharge_refusal
from schemas.quantity import money_text
from schemas.wallet import WalletEntry


@dataclass(frozen=True, slots=True)
class WalletLook:
    """A customer's wallet at the last tick, with everything that happened to it."""

    at: datetime
    wallet: Wallet
    entries: tuple[WalletEntry, ...]

    def balances(self) -> dict[str, Decimal]:
        """Per currency what can be used now."""
        held = {each.terms.currency for each in self.wallet.grants.values()}
        return {code: balance(self.wallet, code, self.at) for code in sorted(held | set(self.wallet.rules))}

    def state(self, grant: str) -> str:
        """In one word how a grant stands."""
        held = self.wallet.grants[grant]
        if held.withdrawn:
            return "withdrawn"
        if held.revoking is not None:
            return "revoked"
        if self.at < held.terms.effective_at:
            return "not yet"
        if held.terms.expires_at is not None and self.at >= held.terms.expires_at:
            return "expired"
        return "usable" if held.left else "used up"

    def recharge(self, currency: str) -> str:
        """Why the rule of a currency buys nothing now; empty if the next tick buys."""
        return recharge_refusal(self.wallet, currency, self.at).removeprefix("recharge: ")

    def described(self) -> dict[str, object]:
        """For programs."""
        return {
            "as_of": self.at.isoformat(),
            "balances": {code: money_text(amount) for code, amount in self.balances().items()},
            "grants": [
                {
                    **held.terms.model_dump(mode="json", exclude={"used", "returned"}), "state": self.state(name),
                    **{part: money_text(getattr(held, part))
                       for part in ("granted", "burnt", "expired", "revoked", "withdrawn", "left")},
                }
                for name, held in self.wallet.grants.items()
            ],
            "orders": [
                {**order.terms.model_dump(mode="json"), "state": order.state, "document": order.document}
                for order in self.wallet.orders.values()
            ],
            "recharge": [
                {**rule.model_dump(mode="json"), "waits_because": self.recharge(code)}
                for code, rule in self.wallet.rules.items()
            ],
            "entries": [entry.model_dump(mode="json", exclude={"terms", "order", "rule"}) for entry in self.entries],
        }  # fmt: skip


class CreditLooks:
    """Reads of wallets."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def of(self, customer: str) -> WalletLook:
        """A customer's wallet as of the last tick."""
        rows = self._db.tuples("SELECT as_of FROM freshness")
        store = CreditStore(self._db)
        entries = tuple(store.entries([customer]))
        return WalletLook(rows[0][0], store.wallets([customer]).get(customer, Wallet()), entries)

    def balances(self) -> list[tuple[str, str, int, Decimal, Decimal]]:
        """(customer, currency, grants, usable, left) of every customer that has credits."""
        return [
            (row[0], row[1], int(row[2]), row[3], row[4])
            for row in self._db.tuples(
                "SELECT customer, currency, countIf(amount_left > 0), sum(usable), sum(amount_left) FROM v_credits "
                "GROUP BY customer, currency ORDER BY customer, currency"
            )
        ]
