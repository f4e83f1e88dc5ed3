"""Records of billing.reservations: what callers ask for before they use it, and the balances that verdicts rest on.

All records of a customer are in one partition, and a verdict is a function of the records before it (and of their
broker times). So every process that reads the log comes to the same one. Source: pipeline/limits/reservations.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.quantity import Positive, Quantity

ATTRIBUTE = "reservation"
"""The CloudEvents extension attribute of a usage event that settles a reservation: its id."""
LASTS_AT_MOST_S = 3600
Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    customer: Text
    meter: Text


class Reserve(_Record):
    """Asks for an amount of an entitlement, until it is settled by an event, released, or `expires_in_s` after the
    broker's time of this record. The same id is asked for once."""

    record: Literal["reserve"] = "reserve"
    id: Text
    amount: Positive
    expires_in_s: Annotated[int, Field(ge=1, le=LASTS_AT_MOST_S)]


class Release(_Record):
    """Gives up a reservation of which nothing will be used. It returns with the balance that has seen everything that
    was sent before."""

    record: Literal["release"] = "release"
    id: Text


class BalanceRead(_Record):
    """What was used of an entitlement as of a vector, and which reservations no longer hold anything of it.

    `settled`: their event lies below the vector, so `used` has it. `returned`: they expired or were released, and
    everything that was in the log by then lies below the vector, without an event of theirs. A balance whose vector
    does not cover that of the one before changes nothing.
    """

    record: Literal["balance"] = "balance"
    limit: Quantity
    is_hard: bool
    used: Quantity
    window_start: str
    """Where the window begins: ISO 8601, UTC."""
    vector: tuple[int, ...]
    """`next_offset` per partition of usage.events."""
    settled: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()


AnyReservationRecord = Reserve | Release | BalanceRead
RESERVATION_RECORD: TypeAdapter[AnyReservationRecord] = TypeAdapter(
    Annotated[AnyReservationRecord, Field(discriminator="record")]
)


class ReservationAnswer(BaseModel):
    """The verdict on a reservation, as of its own record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    granted: bool
    reason: str
    """Why it was refused: `limit`, `ended`, `no balance`, `stale balance`; if granted empty, or `over a soft limit`."""
    amount: Quantity
    expires_at_ms: int
    """Milliseconds since 1970, by the broker."""
    balance: Quantity
    """What is left after it."""
    partition: int
    offset: int


class ReservationRequest(BaseModel):
    """The body of `POST /v1/customers/{customer}/entitlements/{meter}/reservations`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text | None = None
    """Asked for again, it is the same reservation; one is drawn if it is left out."""
    amount: Positive
    expires_in_s: Annotated[int, Field(ge=1, le=LASTS_AT_MOST_S)] = 60
