"""How far entitlements are used: read together, about once a second, for every customer that is asked for.

Each refresh reads usage as of the stored vector, and appends a balance to billing.reservations for what is reserved:
which reservations were settled by their event, and which ended without one. Two servers may do so at the same time;
the fold takes the balances that know more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from agents import telemetry
from agents.catalogue import CatalogueLog
from agents.logs import Logs
from agents.owners import Owners
from agents.reservations import ReservationLog
from agents.store.balances import BalanceStore, Read
from agents.store.billing import BillingStore
from agents.store.connection import StoreUnavailable
from agents.store.settlements import SettlementStore
from agents.topics import CATALOGUE, RESERVATIONS, USAGE_EVENTS, KafkaUnavailable
from pipeline.limits.entitlements import (
    Asked,
    Running,
    asked_of,
    entitlement_of,
    quantity,
    quantity_of,
    running,
    spend,
    window_of,
)
from pipeline.limits.reservations import Holdings, returned
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import CustomerState
from schemas.entitlement import Entitlement, EntitlementAnswer
from schemas.period import Period
from schemas.reservation import BalanceRead
from schemas.tick import Tick

log = logging.getLogger(__name__)

EVERY_S = 1.0
KEPT_S = 300.0
"""How long a customer is refreshed after it was asked for."""
TOLD_EVERY_S = 10.0
"""A balance that has not changed is appended again after that: an old one grants nothing."""
FAR = datetime(2100, 1, 1, tzinfo=UTC)
Key = tuple[str, str]
"""Customer and meter."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An entitlement and what was used of it, as of a vector and a tick; `read_at` is a monotonic time."""

    running: Running
    entitlement: Entitlement
    window: Period
    used: Decimal
    vector: tuple[int, ...]
    tick: Tick
    read_at: float


@dataclass(slots=True)
class _Interest:
    """Who asked last when; whose reservations ended, and the ends of usage.events that were read after that."""

    asked_at: dict[str, float] = field(default_factory=dict)
    ended: dict[Key, dict[str, Sequence[int]]] = field(default_factory=dict)
    told: dict[Key, tuple[float, BalanceRead]] = field(default_factory=dict)


class Entitlements:
    """The newest standings of the customers that were asked for."""

    def __init__(
        self, logs: Logs, store: BalanceStore, billing: BillingStore, settled: SettlementStore,
        reservations: ReservationLog, owners: Owners,
    ) -> None:  # fmt: skip
        self._logs, self._store, self._billing, self._settled = logs, store, billing, settled
        self.reservations, self._owners = reservations, owners
        self._catalogue = CatalogueLog(logs)
        self._interest = _Interest()
        self._standings: dict[Key, Standing] = {}
        self._states: dict[str, tuple[int, CustomerState]] = {}
        self._known: set[str] = set()
        """Customers of the last refresh, with or without entitlements."""
        self._refreshed = asyncio.Condition()
        self._begun = self._done = 0
        self._read_at = 0.0
        telemetry.ENTITLEMENT_AGE.set_function(self._age_s)
        telemetry.ENTITLED.set_function(lambda: len(self._known))
        telemetry.RESERVATIONS_HELD.set_function(
            lambda: sum(len(holdings.held) for _, _, holdings in self.reservations.holding())
        )

    def _age_s(self) -> float:
        return time.monotonic() - self._read_at if self._known else 0.0

    async def of(self, customer: str, meter: str, *, within_s: float) -> Standing | None:
        """The newest standing; None if there is no such entitlement. Waits for the first read of a customer.

        Raises TimeoutError where nothing could be read in time.
        """
        self._interest.asked_at[customer] = time.monotonic()
        if customer not in self._known:
            await self.next_round(within_s)
        return self._standings.get((customer, meter))

    async def next_round(self, within_s: float) -> None:
        """Returns after a refresh that began after now. Raises TimeoutError."""
        async with self._refreshed:
            wanted = self._begun + 1
            await asyncio.wait_for(self._refreshed.wait_for(lambda: self._done >= wanted), within_s)

    async def refresh(self) -> None:
        """Refreshes until cancelled. A store or broker that is away is asked again; until then nothing new is told."""
        while True:
            began = time.monotonic()
            self._begun += 1
            try:
                await self.look()
            except (StoreUnavailable, KafkaUnavailable) as error:
                log.warning("balances are not refreshed: %s; trying again", error)
            else:
                async with self._refreshed:
                    self._done = self._begun
                    self._refreshed.notify_all()
            took = time.monotonic() - began
            telemetry.REFRESH_SECONDS.observe(took)
            await asyncio.sleep(max(EVERY_S - took, min(took, 5 * EVERY_S)))  # at most half of the time is spent on it

    async def look(self) -> None:
        """One refresh."""
        now = time.monotonic()
        asked_at = self._interest.asked_at
        for customer in [name for name, at in asked_at.items() if at < now - KEPT_S]:
            del asked_at[customer]
        told = self._interest.told
        self._interest.told = {key: found for key, found in told.items() if key[0] in asked_at}
        customers = {*asked_at, *(customer for customer, _, _ in self.reservations.holding())}
        if not customers:
            self._known, self._standings = set(), {}
            return
        tick = await asyncio.to_thread(self._billing.last_tick)
        if tick is None:
            return
        await self._note_ended()
        catalogue = await self._catalogue.as_of(tick.vector.end(CATALOGUE, 0))
        states = await asyncio.to_thread(self._read_states, customers)
        self._standings, read = await asyncio.to_thread(standings, self._store, states, catalogue, tick)
        self._known, self._read_at = customers, time.monotonic()
        await self._tell(read)

    def _read_states(self, customers: Iterable[str]) -> list[CustomerState]:
        """The states of customers; those that have not changed are not read again."""
        offsets = self._billing.state_offsets(customers)
        changed = [name for name, offset in offsets.items() if self._states.get(name, (-1,))[0] != offset]
        for name, stored in self._billing.states(changed).items():
            self._states[name] = (stored.offset, stored.state)
        return [self._states[name][1] for name in sorted(offsets) if name in self._states]

    async def _note_ended(self) -> None:
        """Reservations that ended by the broker's time, with the ends of usage.events as they are after that."""
        ended = {
            (customer, meter): names
            for customer, meter, holdings in self.reservations.holding()
            if (names := holdings.ended(self.reservations.seen_ms))
        }
        known = self._interest.ended
        new = {key for key, names in ended.items() if not known.get(key, {}).keys() >= set(names)}
        ends = await self._logs.end_offsets(USAGE_EVENTS) if new else ()
        self._interest.ended = {
            key: {name: known.get(key, {}).get(name, ends) for name in names} for key, names in ended.items()
        }

    async def _tell(self, read: Read) -> None:
        """Appends the balances that the fold needs: of what is reserved, and of what was asked for just now."""
        held = {(customer, meter): holdings for customer, meter, holdings in self.reservations.holding()}
        wanted = [key for key in self._standings if key in held or key in self._interest.told]
        ids = [name for key in wanted if key in held for name in held[key].held]
        settled = await asyncio.to_thread(self._settled.below, ids, read.vector)
        now = time.monotonic()
        for key in wanted:
            holdings = held.get(key) or Holdings()
            mine = tuple(
                sorted(
                    one.reservation for one in settled
                    if one.reservation in holdings.held and self._owners.of(one.subject, one.ts_ms) == key[0]
                )
            )  # fmt: skip
            balance = self._balance(key, holdings, read.vector, mine)
            told_at, before = self._interest.told.get(key, (0.0, None))
            if before is None or _says(before) != _says(balance) or now - told_at > TOLD_EVERY_S:
                await self.reservations.append(balance)
                self._interest.told[key] = (now, balance)

    def _balance(
        self, key: Key, holdings: Holdings, vector: tuple[int, ...], settled: Sequence[str]
    ) -> BalanceRead:  # fmt: skip
        standing = self._standings[key]
        return BalanceRead(
            customer=key[0],
            meter=key[1],
            limit=standing.entitlement.amount,
            is_hard=standing.entitlement.limit == "hard",
            used=standing.used,
            window_start=standing.window.start.isoformat(),
            vector=vector,
            settled=tuple(settled),
            returned=returned(holdings, vector, self._interest.ended.get(key, {}), settled),
        )

    async def introduce(self, customer: str, meter: str, *, within_s: float) -> None:
        """Returns once the fold has a balance that is fresh enough to grant something. Raises TimeoutError."""
        told = self._interest.told
        if (customer, meter) not in told and (customer, meter) in self._standings:
            standing = self._standings[customer, meter]
            balance = self._balance((customer, meter), Holdings(), standing.vector, ())
            told[customer, meter] = (0.0, balance)
            await self.next_round(within_s)


def standings(
    store: BalanceStore, states: Iterable[CustomerState], catalogue: Catalogue, tick: Tick
) -> tuple[dict[Key, Standing], Read]:
    """Every entitlement of customers, with what was used of it as of now; one read for all."""
    found = [
        (each, entitlement, window_of(each, entitlement, tick.time))
        for state in states
        for each in running(state, catalogue, tick.time)
        if (entitlement := entitlement_of(each)) is not None
    ]
    asked = {(one[0].customer, one[0].entry.name): _asked(*one) for one in found}
    read = store.read(asked.values(), tick)
    at = time.monotonic()
    return {
        (each.customer, each.entry.name): Standing(
            each, entitlement, window, _used(each, entitlement, read, asked), read.vector, tick, at
        )
        for each, entitlement, window in found
    }, read


def answer(found: Standing, reserved: Decimal, place: tuple[int, int]) -> EntitlementAnswer:
    """What is told of an entitlement; `place` is the partition of reservations and how far it was read."""
    of_money = found.entitlement.budget is not None
    return EntitlementAnswer(
        customer=found.running.customer,
        subscription=found.running.due.subscription,
        meter=found.running.entry.name,
        unit=found.running.due.currency if of_money else found.running.entry.meter.unit,
        limit=found.entitlement.amount,
        is_hard=found.entitlement.limit == "hard",
        per=found.entitlement.per,
        window=found.window,
        used=found.used,
        reserved=reserved,
        balance=found.entitlement.amount - found.used - reserved,
        as_of=found.tick.time,
        tick=found.tick.number,
        age_ms=int((time.monotonic() - found.read_at) * 1000),
        position={USAGE_EVENTS: found.vector, RESERVATIONS: place},
    )


def _says(balance: BalanceRead) -> object:
    """What of a balance matters: its vector moves with everybody's usage."""
    return balance.limit, balance.is_hard, balance.used, balance.window_start, balance.settled, balance.returned


def _asked(found: Running, entitlement: Entitlement, window: Period) -> Asked:
    """The usage that is held against an entitlement.

    Of what adds up, usage ahead of billing time counts too: a window that has begun on the wall and not in billing time
    would else be used twice.
    """
    if entitlement.budget is not None:
        return asked_of(found)
    asked = quantity_of(found, window)
    return quantity_of(found, Period(window.start, FAR)) if asked.is_plain else asked


def _used(found: Running, entitlement: Entitlement, read: Read, asked: Mapping[Key, Asked]) -> Decimal:
    rows = read.usage[asked[found.customer, found.entry.name]]
    return quantity(rows) if entitlement.budget is None else spend(found, rows)
