"""What the demo asks of the running system: each a few lines over the same logs and tables that everybody uses.

Nothing here is the demo's alone: commands, ticks and attributions are the records that `tally tick`, `tally subscribe`
and `tally attribute` write, with request ids derived from what they ask for, so that asking twice is asking once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from agents.attribution_log import attribute
from agents.catalogue import CatalogueLog, apply
from agents.catalogue_files import entries_of, example_folder, read_files
from agents.cli.accounting import Extent, metered_types, partition_accounts, whole_log
from agents.cli.failures import Refused, TimedOut
from agents.cli.screen import Wait
from agents.cli.waiting import LOOK, until
from agents.clock import TickLog
from agents.commands import outcomes, send
from agents.ledger import Ledger
from agents.logs import Logs
from agents.positions import Positions
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.positions import PositionStore
from agents.store.reconciliation import ReconciliationStore
from agents.topics import COMMANDS, USAGE_EVENTS
from pipeline.proof.reconciliation import differences, total
from schemas.command import Attribution, Subscribe
from schemas.identity import derived_id
from schemas.invoice import Invoice
from schemas.tick import Tick

SUBSCRIBE_WITHIN_S = 60
ACTOR, REASON = "demo", "the example of tally demo"
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Accounting:
    """Where the records of usage.events ended, by our tables."""

    produced: int
    counted: int
    duplicates: int
    late: int
    corrections: int
    dead: Mapping[str, int]
    events: Mapping[str, int]
    unbalanced: tuple[str, ...]
    """Partitions whose records do not end in exactly one place each, in words."""


class Stage:
    """A deployment while the demo runs on it. Use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = Logs(settings)
        self._db = Connection(settings)
        self._billing = BillingStore(self._db)
        self._catalogue = CatalogueLog(self.logs)
        self._ticks = TickLog(self.logs)
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.logs.stop()
        self._db.close()

    async def clock(self) -> Tick | None:
        """The last tick that counts; None before the first."""
        return await self._ticks.last()

    async def tick(self, at: datetime, last: Tick | None) -> Tick:
        """Moves the test clock to `at`; refused if time has moved on from `last` meanwhile."""
        found = await self._ticks.last()
        if found != last:
            raise Refused(f"somebody else moves this clock: {described(found) if found else 'it has not begun'}")
        return await self._ticks.append(time=at, clock="test")

    async def apply_catalogue(self, files: Sequence[Path]) -> int:
        """Publishes what the files change; how many versions that are. Raises Refused, with every fault."""
        loaded = read_files(files)
        if loaded.faults:
            raise Refused("\n".join(str(fault) for fault in loaded.faults))
        return await apply(self.logs, await self._catalogue.newest(), entries_of(loaded))

    async def attribute(self, owners: Mapping[str, str], effective_from: datetime) -> None:
        """Says which customer each subject belongs to."""
        records = [
            Attribution(
                subject=subject,
                customer=customer,
                effective_from=effective_from,
                request_id=str(derived_id("demo attribution", subject, customer)),
                actor=ACTOR,
                reason=REASON,
            )
            for subject, customer in owners.items()
        ]
        await attribute(self.logs, records)

    async def clock_everywhere(self, tick: Tick, wait: Wait) -> None:
        """Returns once every partition of billing.commands has folded a tick."""
        partitions = await self.logs.partitions(COMMANDS)

        def folded() -> bool:
            clocks = self._billing.clocks()
            wait.to(sum(clocks.get(partition, 0) >= tick.number for partition in range(partitions)))
            return wait.done == partitions

        await self._until(folded, wait, within_s=60)

    async def subscribe(self, plans: Mapping[str, str], starts_at: datetime, wait: Wait) -> None:
        """Puts each customer on the newest version of its plan; returns once all are accepted."""
        newest = (await self._catalogue.newest()).newest_plans
        commands = [
            Subscribe(
                request_id=str(derived_id("demo subscription", customer, plan)),
                actor=ACTOR,
                reason=REASON,
                customer=customer,
                subscription=f"{customer}-{plan}",
                plan=plan,
                plan_version=newest[plan],
                starts_at=starts_at,
            )
            for customer, plan in plans.items()
        ]
        sent = await send(self.logs, commands)
        found = await outcomes(self.logs, sent, within_s=SUBSCRIBE_WITHIN_S, decided=wait.to)
        for command, outcome in zip(commands, found, strict=True):
            if outcome is None:
                raise TimedOut(f"{command.customer}: no outcome within {SUBSCRIBE_WITHIN_S} s; {LOOK}")
            if not outcome.accepted:
                raise Refused(f"{outcome.customer}: {outcome.detail}")

    async def usage_ends(self) -> tuple[int, ...]:
        """`next_offset` of each partition of usage.events."""
        return await self.logs.end_offsets(USAGE_EVENTS)

    async def stored(self) -> int:
        """How many records of usage.events the ledger covers without a gap."""
        return sum((await self._ask(lambda: self._billing.coverage(USAGE_EVENTS))).values())

    async def wait_stored(self, records: int, wait: Wait) -> None:
        """Returns once the ledger covers so many records of usage.events."""

        def covered() -> bool:
            wait.to(sum(self._billing.coverage(USAGE_EVENTS).values()))
            return wait.done >= records

        await self._until(covered, wait, within_s=120)

    async def wait_invoices(self, customers: int, wait: Wait) -> tuple[Invoice, ...]:
        """Returns the final invoices once there is one per customer."""

        def final() -> bool:
            rows = self._db.tuples("SELECT count() FROM invoices FINAL WHERE number != ''")
            wait.to(int(rows[0][0]))
            return wait.done >= customers

        await self._until(final, wait, within_s=120)
        return await self.invoices()

    async def invoices(self) -> tuple[Invoice, ...]:
        """Every final invoice, by number."""
        rows = await self._ask(
            lambda: self._db.tuples("SELECT document FROM invoices FINAL WHERE number != '' ORDER BY number")
        )
        return tuple(Invoice.model_validate_json(row[0]) for row in rows)

    async def accounting(self, owners: Mapping[str, str]) -> Accounting:
        """Adds up every record of usage.events; `owners` says which customer a subject belongs to."""
        metered = await metered_types(self._catalogue)
        ends = await self.usage_ends()
        extent = await self._ask(lambda: whole_log(ends, Ledger(self._db)))
        async with self._reading:
            await Positions(self.logs, PositionStore(self._db)).settle(extent.starts, extent.covered)
        return await self._ask(lambda: self._account(extent, metered, owners))

    def _account(self, extent: Extent, metered: Collection[str], owners: Mapping[str, str]) -> Accounting:
        reconciliation = ReconciliationStore(self._db)
        accounts = partition_accounts(extent, reconciliation, metered)
        everything = total(accounts)
        events: dict[str, int] = {}
        for subject, count in self._db.tuples("SELECT subject, count() FROM counted_events_now GROUP BY subject"):
            customer = owners.get(subject, subject)
            events[customer] = events.get(customer, 0) + count
        return Accounting(
            produced=everything.produced,
            counted=everything.counted,
            duplicates=everything.duplicates,
            late=everything.rows.late,
            corrections=everything.rows.corrections,
            dead=reconciliation.dead_letters_by_reason(USAGE_EVENTS),
            events=dict(sorted(events.items())),
            unbalanced=tuple(said for account in accounts for said in differences(account)),
        )

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Runs a query beside the event loop; one at a time, as a connection is not shared."""
        async with self._reading:
            return await asyncio.to_thread(question)

    async def _until(self, done: Callable[[], bool], wait: Wait, *, within_s: int) -> None:
        await until(lambda: self._ask(done), wait, within_s=within_s)


def catalogue_files() -> tuple[Path, ...]:
    """The example catalogue that ships with the project."""
    return (example_folder() / "llm.toml",)


def described(tick: Tick) -> str:
    """A tick in words."""
    return f"tick {tick.number} at {tick.time:%Y-%m-%d %H:%M} UTC"
