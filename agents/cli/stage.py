"""What the demo asks of the running system: each a few lines over the same logs and tables that everybody uses.

Nothing here is the demo's alone: commands, ticks and attributions are the records that `tally tick`, `tally subscribe`
and `tally attribute` write, with request ids derived from what they ask for, so that asking twice is asking once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from agents.catalogue import CatalogueLog, apply
from agents.catalogue_files import entries_of, example_folder, read_files
from agents.cli.failures import Refused, TimedOut
from agents.cli.screen import Wait
from agents.clock import make_tick, read_clock
from agents.logs import Logs
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.connection import Connection, query_text
from agents.topics import ATTRIBUTIONS, COMMANDS, USAGE_EVENTS
from schemas.command import Attribution, CommandOutcome, Subscribe
from schemas.identity import derived_id
from schemas.invoice import Invoice
from schemas.tick import Tick

POLL_S = 0.1
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


class Stage:
    """A deployment while the demo runs on it. Use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = Logs(settings)
        self._db = Connection(settings)
        self._billing = BillingStore(self._db)
        self._catalogue = CatalogueLog(self.logs)
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.logs.stop()
        self._db.close()

    async def clock(self) -> Tick | None:
        """The last tick that counts; None before the first."""
        return await read_clock(self.logs)

    async def tick(self, at: datetime, last: Tick | None) -> Tick:
        """Moves the test clock to `at`."""
        return await make_tick(self.logs, time=at, clock="test", last=last)

    async def apply_catalogue(self, files: Sequence[Path]) -> int:
        """Publishes what the files change; how many versions that are. Raises Refused, with every fault."""
        loaded = read_files(files)
        if loaded.faults:
            raise Refused("\n".join(str(fault) for fault in loaded.faults))
        return await apply(self.logs, await self._catalogue.newest(), entries_of(loaded))

    async def attribute(self, owners: Mapping[str, str], effective_from: datetime) -> None:
        """Says which customer each subject belongs to."""
        sent = []
        for subject, customer in owners.items():
            record = Attribution(
                subject=subject,
                customer=customer,
                effective_from=effective_from,
                request_id=str(derived_id("demo attribution", subject, customer)),
                actor=ACTOR,
                reason=REASON,
            )
            key, value = subject.encode(), record.model_dump_json().encode()
            sent.append(await self.logs.send(ATTRIBUTIONS, key, value))
        await asyncio.gather(*sent)

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
        requests: list[tuple[str, str]] = []
        for customer, plan in plans.items():
            command = Subscribe(
                request_id=str(derived_id("demo subscription", customer, plan)),
                actor=ACTOR,
                reason=REASON,
                customer=customer,
                subscription=f"{customer}-{plan}",
                plan=plan,
                plan_version=newest[plan],
                starts_at=starts_at,
            )
            await self.logs.append(COMMANDS, customer.encode(), command.model_dump_json().encode())
            requests.append((customer, command.request_id))
        outcomes = await self._outcomes(requests, wait)
        for outcome in outcomes:
            if not outcome.accepted:
                raise Refused(f"{outcome.customer}: {outcome.detail}")

    async def _outcomes(self, requests: Sequence[tuple[str, str]], wait: Wait) -> list[CommandOutcome]:
        found: dict[tuple[str, str], CommandOutcome] = {}

        def decided() -> bool:
            found.update(self._billing.outcomes(requests))
            wait.to(len(found))
            return len(found) == len(requests)

        await self._until(decided, wait, within_s=60)
        return [found[request] for request in requests]

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
            rows = self._db.tuples("SELECT count() FROM finalisations FINAL")
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
        produced = sum(await self.usage_ends()) - sum(await self.logs.begin_offsets(USAGE_EVENTS))
        return await self._ask(lambda: self._account(produced, owners))

    def _account(self, produced: int, owners: Mapping[str, str]) -> Accounting:
        ledger = self._db.tuples(query_text("demo_ledger"), {"topic": USAGE_EVENTS})[0]
        counted, late = self._db.tuples(query_text("demo_counted"))[0]
        dead = self._db.tuples(
            "SELECT reason, count() FROM dead_letters FINAL WHERE topic = {topic:String} GROUP BY 1 ORDER BY 1",
            {"topic": USAGE_EVENTS},
        )
        per_subject = self._db.tuples("SELECT subject, count() FROM counted_events_now GROUP BY subject")
        events: dict[str, int] = {}
        for subject, count in per_subject:
            customer = owners.get(subject, subject)
            events[customer] = events.get(customer, 0) + count
        accepted, corrections, _dead, _controls = ledger
        return Accounting(
            produced=produced,
            counted=counted,
            duplicates=accepted - counted,
            late=late,
            corrections=corrections,
            dead=dict(dead),
            events=dict(sorted(events.items())),
        )

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Runs a query beside the event loop; one at a time, as a connection is not shared."""
        async with self._reading:
            return await asyncio.to_thread(question)

    async def _until(self, done: Callable[[], bool], wait: Wait, *, within_s: int) -> None:
        deadline = time.monotonic() + within_s
        while not await self._ask(done):
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"{wait.what}: {wait.done:,} of {wait.total or 0:,} after {within_s} s; see `tally status`"
                )
            await asyncio.sleep(POLL_S)


def catalogue_files() -> tuple[Path, ...]:
    """The example catalogue that ships with the project."""
    return (example_folder() / "llm.toml",)


def described(tick: Tick) -> str:
    """A tick in words."""
    return f"tick {tick.number} at {tick.time:%Y-%m-%d %H:%M} UTC"
