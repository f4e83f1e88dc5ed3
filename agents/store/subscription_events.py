"""What was announced of subscriptions, by the position that led to it: a repetition says the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agents.store.connection import Connection
from schemas.identity import canonical_json
from schemas.subscription_event import SubscriptionEvent

COLUMNS = ("k_partition", "k_offset", "customer", "place", "subscription", "event_id", "type", "at", "event")


@dataclass(frozen=True, slots=True, order=True)
class Announced:
    """One event in its order: by the offset in billing.commands, then by customer, then as it follows there."""

    offset: int
    customer: str
    place: int
    event: SubscriptionEvent

    @property
    def key(self) -> tuple[int, str, int]:
        """What it stands under."""
        return self.offset, self.customer, self.place

    def content(self) -> bytes:
        """Its one byte form."""
        return canonical_json(self.event.model_dump(mode="json"))


class SubscriptionEventStore:
    """One write, idempotent by its key."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert(self, partition: int, told: Iterable[Announced]) -> None:
        """Stores events; before the states that they tell of."""
        self._db.insert("subscription_events", COLUMNS, [
            (partition, *each.key, each.event.data.id, each.event.id, each.event.type, each.event.time,
             each.content().decode())
            for each in told
        ])  # fmt: skip

    def between(self, partition: int, first: int, last: int) -> tuple[Announced, ...]:
        """What records of billing.commands led to, from an offset to another, both included."""
        rows = self._db.tuples(
            "SELECT k_offset, customer, place, event FROM subscription_events FINAL "
            "WHERE k_partition = {partition:UInt16} AND k_offset BETWEEN {first:UInt64} AND {last:UInt64}",
            {"partition": partition, "first": first, "last": last},
        )
        return tuple(
            Announced(offset, customer, place, SubscriptionEvent.model_validate_json(event))
            for offset, customer, place, event in rows
        )

    def of(self, customer: str, subscription: str = "") -> tuple[SubscriptionEvent, ...]:
        """All that was announced of a customer's subscriptions, or of one; in order."""
        rows = self._db.tuples(
            "SELECT event FROM subscription_events FINAL WHERE customer = {customer:String} "
            "AND ({subscription:String} = '' OR subscription = {subscription:String}) ORDER BY k_offset, place",
            {"customer": customer, "subscription": subscription},
        )
        return tuple(SubscriptionEvent.model_validate_json(event) for (event,) in rows)
