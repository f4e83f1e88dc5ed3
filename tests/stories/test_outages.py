"""A server that goes away and comes back costs time, not records; a worker that leaves hands its partitions over."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.builders import events
from tests.deployments import Deployment
from tests.services import Services
from tests.stories import october

pytestmark = pytest.mark.services

STORED = "SELECT count(), uniqExact(source, id) FROM events FINAL"
LEDGER = """
SELECT k_partition, sum(next_offset - first_offset) AS length, max(next_offset) AS reached, max(events) AS events
FROM ledger FINAL WHERE topic = 'usage.events' GROUP BY k_partition ORDER BY k_partition
"""


async def test_usage_that_comes_while_clickhouse_is_away_is_stored_once_it_is_back(
    deployment: Deployment, services: Services
) -> None:
    worker = deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    await deployment.publish(usage(300))
    await deployment.stored()
    await asyncio.to_thread(services.stop, "clickhouse")
    await deployment.publish(usage(300))
    await asyncio.sleep(1)  # the worker tries, in vain
    await asyncio.to_thread(services.start, "clickhouse")
    await deployment.stored(within_s=60)
    assert worker.exit_code is None
    check_stored(deployment, 600)


async def test_a_kafka_that_was_restarted_is_read_on_where_it_was(deployment: Deployment, services: Services) -> None:
    worker = deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    await deployment.publish(usage(300))
    await deployment.stored()
    await asyncio.to_thread(services.stop, "kafka")
    await asyncio.sleep(1)
    await asyncio.to_thread(services.start, "kafka")
    await deployment.publish(usage(300))
    await deployment.stored(within_s=60)
    assert worker.exit_code is None
    check_stored(deployment, 600)


async def test_partitions_change_hands_without_a_record_lost_or_stored_twice(deployment: Deployment) -> None:
    leaving, staying = deployment.worker("ingest"), deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    await members(deployment, 2)
    for _ in range(5):
        await deployment.publish(usage(100))
    leaves = asyncio.create_task(asyncio.to_thread(leaving.stop))
    while not leaves.done():
        await deployment.publish(usage(10))
    assert await leaves == 0
    await members(deployment, 1)
    deployment.worker("ingest")
    await members(deployment, 2)
    await deployment.publish(usage(100))
    await deployment.stored()
    assert staying.exit_code is None
    check_stored(deployment, sum(await deployment.logs.end_offsets("usage.events")))


def usage(count: int) -> list[tuple[bytes | None, bytes]]:
    """So many events over several subjects, and so over all partitions."""
    return [record for subject in "abcdefghij" for record in events(subject, "2026-10-05 10:00", count // 10)]


def check_stored(deployment: Deployment, records: int) -> None:
    """Each once; and the ledger's rows tile the log: their lengths add up to its end, so none is missing or double."""
    assert deployment.rows(STORED) == [(records, records)]
    ledger = deployment.rows(LEDGER)
    assert all(length == reached == events for _, length, reached, events in ledger)
    assert sum(events for *_, events in ledger) == records


async def members(deployment: Deployment, count: int) -> None:
    """Returns once the ingest group is settled on so many members."""
    group = f"{deployment.settings.topic_prefix}tally-ingest"
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    try:
        async with asyncio.timeout(60):
            while await settled(admin, group) != count:
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def settled(admin: AIOKafkaAdminClient, group: str) -> int:
    """How many members hold partitions; 0 while they are being moved."""
    (answer,) = await admin.describe_consumer_groups([group])
    ((_error, _group, state, _kind, _protocol, found, *_),) = answer.groups
    return len(found) if state == "Stable" else 0
