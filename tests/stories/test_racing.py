"""Two workers race over the same closes and documents: the same bytes, and no number twice.

A zombie that was stopped for long knows nothing of the worker that took its partitions over. This one does, at the
same time and over all partitions, everything from the close to the numbered document.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from agents.catalogue import CatalogueLog
from agents.crash_points import CrashPoint, Step
from agents.finaliser import Finaliser
from agents.invoicer import Invoicer
from agents.ledger import Ledger, LedgerKeeper
from agents.logs import Logs
from agents.period_closer import PeriodCloser
from agents.record_batch import RecordBatch
from agents.store.billing import BillingStore
from agents.store.connection import Connection
from agents.store.credits import CreditStore
from agents.store.documents import DocumentStore
from agents.store.money import MoneyStore
from agents.store.reconciliation import ReconciliationStore
from agents.store.run_lines import RunLineStore
from agents.topics import FINALISATIONS, INVOICES, INVOICES_LATEST, PERIODS
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services


class Zombie:
    """Closer, invoicer and finaliser with connections and producers of their own."""

    def __init__(self, deployment: Deployment) -> None:
        settings = deployment.settings
        self._logs, self._partitions = Logs(settings), range(settings.billing_partitions)
        self._connections: list[Connection] = []
        catalogue, crash = CatalogueLog(self._logs), CrashPoint()
        documents = DocumentStore(self._connection(settings), partitions=settings.billing_partitions)
        ordered = DocumentStore(self._connection(settings), partitions=settings.billing_partitions)
        self._closer = PeriodCloser(
            self._logs, BillingStore(self._connection(settings)),
            ReconciliationStore(self._connection(settings)), catalogue, crash,
        )  # fmt: skip
        self._periods = LedgerKeeper(Ledger(self._connection(settings)), PERIODS)
        self._invoicer = Invoicer(documents, RunLineStore(self._connection(settings)), catalogue, self._periods, crash)
        self._finaliser = Finaliser(
            self._logs, ordered, BillingStore(self._connection(settings)), MoneyStore(self._connection(settings)),
            catalogue, CreditStore(self._connection(settings)),
            LedgerKeeper(Ledger(self._connection(settings)), FINALISATIONS), crash,
        )  # fmt: skip
        self.closed = self.ordered = self.entered = 0

    def _connection(self, settings: object) -> Connection:
        self._connections.append(Connection(settings))  # type: ignore[arg-type]
        return self._connections[-1]

    async def begin(self) -> None:
        """Takes every partition up, where its ledger ends, and never looks there again."""
        self._read = {
            PERIODS: dict(await self._periods.resume(self._partitions)),
            FINALISATIONS: dict(await self._finaliser.resume([0])),
        }

    async def walk(self) -> None:
        """Does everything again and again, until it is cancelled."""
        try:
            while True:
                self.closed += await self._closer.look(self._partitions)
                if batches := await self._new(PERIODS):
                    await self._invoicer.rate(batches)
                self.ordered += await self._finaliser.order_due()
                if batches := await self._new(FINALISATIONS):
                    await self._finaliser.project(batches)
                self.entered += await self._finaliser.enter_due()
                await asyncio.sleep(0.01)
        finally:
            await self._logs.stop()
            for connection in self._connections:
                connection.close()

    async def _new(self, topic: str) -> list[RecordBatch]:
        """What came to a topic since it was read last."""
        found = []
        for partition, end in enumerate(await self._logs.end_offsets(topic)):
            begin = self._read[topic][partition]
            records = await self._logs.read(topic, partition, begin, end)
            self._read[topic][partition] = end
            if records:
                found.append(RecordBatch(
                    topic, partition, begin, end, [each.offset for each in records],
                    [each.timestamp_ms for each in records], [each.key for each in records], [()] * len(records),
                    [each.value for each in records],
                ))  # fmt: skip
        return found


async def test_two_workers_that_race_from_close_to_number_make_one_of_each(deployment: Deployment) -> None:
    deployment.worker("ingest")
    first = deployment.worker("billing", instance="billing")
    await october.begin(deployment)
    await deployment.publish([*october.OF_OCTOBER, *october.LATE])
    await deployment.stored()
    assert first.stop() == 0
    zombies = [Zombie(deployment) for _ in range(2)]
    for zombie in zombies:
        await zombie.begin()
    walks = [asyncio.create_task(zombie.walk()) for zombie in zombies]
    # A worker that dies before its first close leaves the zombies a start that no busy machine takes away.
    dying = deployment.worker("billing", crash_at=f"{Step.LATE}:before:1", instance="billing")
    await deployment.tick(october.CLOSES)
    await deployment.until(lambda: dying.exit_code, "the worker dies before it closes")
    await deployment.until(lambda: sum(zombie.closed for zombie in zombies), "a zombie closes")
    deployment.worker("billing", instance="billing")
    october.check(await deployment.invoices(len(october.PLANS)))
    await asyncio.sleep(1)  # they walk on over what is final
    for walk in walks:
        assert not walk.done() or walk.exception() is None
        walk.cancel()
    await asyncio.gather(*walks, return_exceptions=True)
    for topic in (PERIODS, INVOICES, INVOICES_LATEST):
        records = await deployment.records(topic)
        by_id = Counter(
            _id(record.value or b"") for record in {(each.key, each.value): each for each in records}.values()
        )
        assert set(by_id.values()) == {1}, f"{topic}: one id, two contents"
    october.check(await deployment.stage.invoices())
    numbers = deployment.rows("SELECT number, count() FROM finalisations FINAL GROUP BY number ORDER BY number")
    assert numbers == [(1, 1), (2, 1), (3, 1)]
    assert deployment.rows("SELECT count(), uniqExact(document_id) FROM invoices FINAL") == [(3, 3)]


def _id(value: bytes) -> str:
    content = json.loads(value)
    return str(content.get("close_id") or content["id"])
