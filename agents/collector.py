"""The collector: at every tick what is due is collected or given up; requests and notices go out at most once, ever.

What is due becomes a record of `billing.finalisations`, where it is decided; what that leads to lies in tables until it
is sent. Payment services forget idempotency keys, so a key that was published once is never published again: the topic
itself is read first, and a transaction keeps out a worker that was replaced. Source: design.md §7.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.crash_points import CrashPoint, Step
from agents.delivery import TallyApp
from agents.logs import Logs
from agents.settings import Settings
from agents.store.billing import BillingStore
from agents.store.money import DueStep, MoneyStore, Outgoing
from agents.topics import ALERTS, COMMANDS, FINALISATIONS, PAYMENT_REQUESTS, KafkaUnavailable
from schemas.document_log import DocumentAction
from schemas.tick import Tick

SENT_AT_ONCE: Final = 1000


class Outbox:
    """Records of one topic, each key at most once for ever."""

    def __init__(self, settings: Settings, logs: Logs, topic: str) -> None:
        self._settings, self._logs, self._topic = settings, logs, topic
        self._producer: AIOKafkaProducer | None = None
        self._keys: set[str] | None = None

    async def open(self) -> None:
        """Keeps out whoever sent before us, and reads which keys are out."""
        await self.close()
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            transactional_id=f"{self._settings.topic_prefix}tally/{self._topic}",
            acks="all",
        )
        try:
            await producer.start()
        except KafkaError as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.kafka}: {error}") from error
        self._producer = producer
        begins, ends = await self._logs.bounds(self._topic)
        keys = set()
        for partition, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            async for record in self._logs.stream(self._topic, partition, begin, end):
                keys.add(str(json.loads(record.value or b"{}").get("key")))
        self._keys = keys

    async def close(self) -> None:
        """Gives up the right to send."""
        producer, self._producer, self._keys = self._producer, None, None
        if producer is not None:
            await producer.stop()

    async def send(self, records: Sequence[Outgoing]) -> int:
        """Publishes those whose key is not out yet, all or none; how many."""
        if self._producer is None or self._keys is None:
            await self.open()
        assert self._producer is not None and self._keys is not None
        new = [record for record in records if record.key not in self._keys]
        if not new:
            return 0
        name = self._settings.topic_prefix + self._topic
        try:
            async with self._producer.transaction():
                for record in new:
                    await self._producer.send(name, value=record.value.encode(), key=record.customer.encode())
        except KafkaError as error:
            await self.close()
            raise KafkaUnavailable(f"{self._topic}: {error}") from error
        self._keys |= {record.key for record in new}
        return len(new)


class Collector:
    """Drives payments by ticks, and sends what the books decided."""

    def __init__(
        self, settings: Settings, logs: Logs, billing: BillingStore, money: MoneyStore, crash: CrashPoint
    ) -> None:
        self._logs, self._billing, self._money, self._crash = logs, billing, money, crash
        self._requests = Outbox(settings, logs, PAYMENT_REQUESTS)
        self._notices = Outbox(settings, logs, ALERTS)
        self._asked: set[str] = set()
        self._looked: tuple[int, dict[str, int]] = (0, {})
        """The tick under which was looked last, and the revisions of the invoices that were due then."""
        self._ticks: dict[datetime, Tick] = {}
        """The first tick at or after a moment: many steps are due at the same one."""

    async def take_over(self) -> None:
        """Begins anew: another worker may have gone further."""
        self._asked.clear()
        self._looked = (0, {})
        self._ticks.clear()
        await self._requests.close()
        await self._notices.close()

    async def look(self) -> None:
        """Everything that the last tick makes due, and everything that waits to be sent."""
        newest = await asyncio.to_thread(self._billing.newest_tick)
        if newest is not None:
            await self._step(newest[0])
        for table in ("payment_requests", "refund_requests"):
            await self._send(self._requests, table, Step.REQUEST)
        await self._send(self._notices, "notices", Step.NOTIFY)
        await self._carry()

    async def _step(self, tick: Tick) -> None:
        """Asks the books for each step that is due; they decide, and take each once.

        Until they have, an invoice stands as it did, and is not looked at again under the same tick.
        """
        known = self._looked[1] if self._looked[0] == tick.number else {}
        due, stand = await asyncio.to_thread(self._money.due_steps, tick.time, known)
        actions = await asyncio.to_thread(lambda: [self._action(step) for step in due])
        new = [action for action in actions if action is not None and action.request_id not in self._asked]
        sent = []
        for action in new:
            with self._crash.around(Step.DUN):
                sent.append(await self._logs.send(FINALISATIONS, None, action.model_dump_json().encode()))
        await self._logs.all_stored(sent)
        self._asked |= {action.request_id for action in new}
        self._looked = (tick.number, stand)

    def _action(self, step: DueStep) -> DocumentAction | None:
        """The step as a record: a function of the receivable and of the first tick at which it is due."""
        if step.due_at not in self._ticks:
            if (found := self._billing.tick_at(step.due_at)) is None:
                return None
            self._ticks[step.due_at] = found
        tick = self._ticks[step.due_at]
        held = step.receivable
        attempt = len(held.attempts) + 1 if step.action == "collect" else None
        return DocumentAction(
            action=step.action,
            document_id=held.document,
            customer=step.customer,
            request_id=f"dunning/{held.document}/{step.action}/{attempt or ''}",
            actor="tally/collector",
            reason="dunning",
            tick=tick.number,
            time=tick.time,
            partition=0,
            offset=0,
            attempt=attempt,
        )

    async def _send(self, outbox: Outbox, table: str, step: Step) -> None:
        while waiting := await asyncio.to_thread(self._money.waiting, table, SENT_AT_ONCE):
            with self._crash.around(step):
                await outbox.send(waiting)
            await asyncio.to_thread(self._money.mark_sent, [record.key for record in waiting])

    async def _carry(self) -> None:
        """Commands that follow for subscriptions; those that have an outcome are in the log."""
        while waiting := await asyncio.to_thread(self._money.waiting, "collection_commands", SENT_AT_ONCE):
            sent = []
            for command in waiting:
                with self._crash.around(Step.CARRY):
                    sent.append(await self._logs.send(COMMANDS, command.customer.encode(), command.value.encode()))
            await self._logs.all_stored(sent)
            await asyncio.to_thread(self._money.mark_sent, [command.key for command in waiting])


def attach(app: TallyApp, collector: Collector) -> None:
    """Looks in the worker that holds the log of documents."""
    finalisations = app.deliveries[app.settings.topic_prefix + FINALISATIONS]
    held: set[int] = set()

    async def look() -> bool:
        now = set(finalisations.partitions)
        if now and now != held:
            await collector.take_over()
        held.clear()
        held.update(now)
        if now:
            await collector.look()
        return False

    app.look("collector", look)
