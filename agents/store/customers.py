"""Reads for people: customers as of the last fold, and every command with what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.store.connection import Connection, query_text
from schemas.customer_state import CustomerState


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    """A customer, and how many subjects were attributed to it."""

    state: CustomerState
    subjects: int


class CustomerStore:
    """What `tally customer`, `subscriptions`, `audit` and migrations of plans ask."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def billing_time(self) -> datetime | None:
        """Time of the last tick; None before the first."""
        rows = self._db.tuples("SELECT count(), max(time) FROM ticks FINAL")
        return rows[0][1] if rows[0][0] else None

    def customers(self, customer: str = "") -> tuple[KnownCustomer, ...]:
        """All customers with a state, by name; or the one."""
        rows = self._db.tuples(query_text("known_customers"), {"customer": customer})
        return tuple(KnownCustomer(CustomerState.model_validate_json(state), subjects) for state, subjects in rows)

    def commands(
        self, customer: str, command: str, *, accepted: Sequence[bool], at_most: int
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Commands with their outcome, the newest first; empty arguments do not narrow."""
        return self._db.rows(query_text("commands_with_outcomes"), {
            "customer": customer, "command": command, "accepted": [int(one) for one in accepted], "at_most": at_most,
        })  # fmt: skip
