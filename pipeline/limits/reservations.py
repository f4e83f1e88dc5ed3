"""What is reserved of an entitlement: the records of billing.reservations, folded in log order.

The fold looks at nothing but records and the broker's times of them, so two processes that read the same log agree on
every verdict, and one that was killed has decided nothing that the other does not know.

Why nothing is overspent: an amount leaves `held` only by a balance whose vector has the event that used it (`settled`),
or that has everything sent before it ended, and no event of it (`returned`). So at every record, what was used and
reserved together is at most what was granted, and no grant is beyond a hard limit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from pipeline.meters.vectors import covers
from schemas.quantity import ZERO
from schemas.reservation import AnyReservationRecord, BalanceRead, Release, Reserve

STALE_MS = 60_000
"""A balance that was read longer ago says too little to grant anything."""
REMEMBERED_MS = 2 * 3600 * 1000
"""How long a granted id is known: asked for again within that time, it is the same reservation, or an ended one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a reservation was granted; `balance` is what is left after it."""

    id: str
    granted: bool
    reason: str
    amount: Decimal
    expires_at_ms: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Held:
    """A granted amount, and when it ends by itself or was given up, in the broker's milliseconds."""

    amount: Decimal
    ends_at_ms: int


@dataclass(slots=True)
class Holdings:
    """One customer's reservations of one meter."""

    balance: BalanceRead | None = None
    read_at_ms: int = 0
    """The broker's time of the balance."""
    held: dict[str, Held] = field(default_factory=dict)
    reserved: Decimal = ZERO
    granted: OrderedDict[str, tuple[int, Verdict]] = field(default_factory=OrderedDict)

    @property
    def left(self) -> Decimal:
        """What is neither used nor reserved; below 0 where usage was not reserved, or the limit is soft."""
        return ZERO if self.balance is None else self.balance.limit - self.balance.used - self.reserved

    def take(self, record: AnyReservationRecord, at_ms: int) -> Verdict | None:
        """Folds the next record; the verdict, if it asks for one."""
        if isinstance(record, Reserve):
            return self._reserve(record, at_ms)
        if isinstance(record, Release):
            self._release(record.id, at_ms)
        else:
            self._read(record, at_ms)
        return None

    def ended(self, at_ms: int) -> tuple[str, ...]:
        """Reservations that hold an amount though they ended by a time; they return with a balance that proves it."""
        return tuple(sorted(name for name, held in self.held.items() if held.ends_at_ms <= at_ms))

    def _reserve(self, asked: Reserve, at_ms: int) -> Verdict:
        known = self.granted.get(asked.id)
        if known is not None:
            held = self.held.get(asked.id)
            if held is not None and at_ms < held.ends_at_ms:
                return known[1]
            # It was settled, released or has expired: whoever is told so now must not use it.
            return replace(known[1], granted=False, reason="ended", balance=self.left)
        expires_at_ms = at_ms + asked.expires_in_s * 1000
        reason = self._refusal(asked, at_ms)
        if reason:
            return Verdict(asked.id, False, reason, asked.amount, expires_at_ms, self.left)
        over = "over a soft limit" if asked.amount > self.left else ""
        self.held[asked.id] = Held(asked.amount, expires_at_ms)
        self.reserved += asked.amount
        verdict = Verdict(asked.id, True, over, asked.amount, expires_at_ms, self.left)
        self.granted[asked.id] = (at_ms, verdict)
        while next(iter(self.granted.values()))[0] < at_ms - REMEMBERED_MS:
            self.granted.popitem(last=False)
        return verdict

    def _refusal(self, asked: Reserve, at_ms: int) -> str:
        if self.balance is None:
            return "no balance"
        if at_ms - self.read_at_ms > STALE_MS:
            return "stale balance"
        return "limit" if self.balance.is_hard and asked.amount > self.left else ""

    def _release(self, name: str, at_ms: int) -> None:
        held = self.held.get(name)
        if held is not None:
            self.held[name] = Held(held.amount, min(held.ends_at_ms, at_ms))

    def _read(self, balance: BalanceRead, at_ms: int) -> None:
        before = self.balance
        if before is not None and not follows(before, balance):
            return
        self.balance, self.read_at_ms = balance, at_ms
        for name in (*balance.settled, *balance.returned):
            gone = self.held.pop(name, None)
            if gone is not None:
                self.reserved -= gone.amount


def follows(before: BalanceRead, after: BalanceRead) -> bool:
    """Whether a balance knows everything that another knew: its vector covers it, in the same window or a later one."""
    return after.window_start >= before.window_start and covers(after.vector, before.vector)


def returned(
    holdings: Holdings, vector: Sequence[int], seen_after: Mapping[str, Sequence[int]], settled: Sequence[str]
) -> tuple[str, ...]:
    """Reservations that ended and of which no event lies below a vector that has all that was sent before they did.

    `seen_after` are the ends of usage.events that were read once the broker's time had passed the end of each.
    """
    gone = set(settled)
    return tuple(
        sorted(n for n, ends in seen_after.items() if n in holdings.held and n not in gone and covers(vector, ends))
    )
