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


class SimulationStore:
    """What drives a test clock: what is due next, and what is still under way."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def next_due(self, until: datetime) -> datetime | None:
        """The earliest moment at which something is due or changes, up to an end; None if nothing is."""
        rows = self._db.tuples(
            "SELECT count(), min(moment) FROM (SELECT arrayJoin([next_due_at, next_change_at]) AS moment "
            "FROM customers FINAL) WHERE moment <= {until:DateTime64(3, 'UTC')}",
            {"until": until},
        )
        return rows[0][1] if rows[0][0] else None

    def open_runs(self) -> int:
        """Runs that are not rated, and documents of rated ones that have no number; parked and held ones left out."""
        return int(self._db.tuples(query_text("open_work"))[0][0])

    def made_since(self, tick: int) -> dict[str, int]:
        """Closes and documents of later ticks."""
        rows = self._db.tuples(
            "SELECT (SELECT count() FROM closes FINAL WHERE tick > {tick:UInt64}), "
            "(SELECT count() FROM invoices FINAL WHERE tick > {tick:UInt64})",
            {"tick": tick},
        )
        return {"closes": int(rows[0][0]), "documents": int(rows[0][1])}
