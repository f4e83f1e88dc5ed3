"""A log that was truncated or re-created stops its partitions, names what is missing, and goes on once adopted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.logs import partition_of
from agents.publisher import Record
from agents.topics import USAGE_EVENTS, TopicMissing, reconcile_topics
from tests.builders import events
from tests.command_line import answer, tally
from tests.deployments import Deployment, WorkerProcess
from tests.stories import october

pytestmark = pytest.mark.services

EPOCHS = "SELECT count(), uniqExact(id) FROM events FINAL"
COVERED = """
SELECT k_partition, covered, events + controls FROM v_ingest_coverage WHERE topic = 'usage.events' ORDER BY 1
"""


def usage(count: int) -> list[Record]:
    """So many events of subjects that fill every partition."""
    return [record for subject in "abcdefghij" for record in events(subject, "2026-10-05 10:00", count // 10)]


async def stopped(worker: WorkerProcess, deployment: Deployment, what: str) -> None:
    await deployment.until(lambda: what in worker.log.read_text(encoding="utf-8"), f"the worker says {what}")


async def ends(deployment: Deployment) -> Sequence[int]:
    return await deployment.logs.end_offsets(USAGE_EVENTS)


async def test_a_truncated_log_stops_its_partition_and_goes_on_in_a_new_epoch(deployment: Deployment) -> None:
    first = deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    await deployment.publish(usage(300))
    await deployment.stored()
    assert first.stop() == 0
    before = await ends(deployment)
    await deployment.publish(usage(300))
    gone = (await ends(deployment))[1] - 10
    await truncate(deployment, partition=1, below=gone)

    worker = deployment.worker("ingest")
    named = f"usage.events/1: {before[1]} to {gone - 1} are gone"
    await stopped(worker, deployment, named)
    wanted = await ends(deployment)
    await deployment.until(
        lambda: covered(deployment)[0] == wanted[0] and covered(deployment)[2] == wanted[2], "others go on"
    )
    assert covered(deployment)[1] == before[1] and worker.exit_code is None
    status = await tally(deployment, "status", "--json")
    assert status.returncode == 1 and named in status.stdout and "tally topics adopt" in status.stdout
    assert (await tally(deployment, "topics", "adopt")).returncode == 2, "a reason is needed"

    done = await tally(deployment, "topics", "adopt", "--reason", "the story of a truncated log")
    assert done.returncode == 0, done.stderr
    await deployment.stored()
    assert covered(deployment) == list(await ends(deployment)), "not a position was moved"
    lost = gone - before[1]
    assert deployment.rows(EPOCHS) == [(600 - lost, 600 - lost)]
    assert all(reached == counted for _, reached, counted in deployment.rows(COVERED))
    assert (await tally(deployment, "topics", "adopt", "--reason", "again")).returncode == 1, "nothing to adopt"


async def test_a_recreated_topic_stops_its_partitions_and_no_position_goes_back(deployment: Deployment) -> None:
    worker = deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    first = usage(100)
    await deployment.publish(first)
    await deployment.stored()
    held = [record for record in first if partition_of(record[0] or b"", deployment.settings.usage_partitions) == 0]
    await deployment.publish(usage(200))
    await deployment.stored()
    tick = await deployment.tick(october.IN_GRACE)
    before = covered(deployment)
    await recreate(deployment)
    await deployment.publish([*held, *usage(100)])  # one partition has its first records again, the others nothing
    await stopped(worker, deployment, "truncated or re-created")
    assert worker.exit_code is None

    done = await tally(deployment, "topics", "adopt", "--reason", "the story of a topic that was made again")
    assert done.returncode == 0, done.stderr
    await deployment.stored()
    after = await ends(deployment)
    assert all(end > held for end, held in zip(after, before, strict=True)), "positions go on"
    assert deployment.rows(EPOCHS) == [(400, 400)]
    assert all(reached == counted for _, reached, counted in deployment.rows(COVERED))
    later = await deployment.tick(october.CLOSES)
    assert later.vector.covers(tick.vector), "the vector does not go back"

    # A worker that starts later, and one on an older backup of the ledger, find the same epoch.
    assert worker.stop() == 0
    deployment.worker("ingest")
    await deployment.publish(usage(50))
    await deployment.stored()
    assert deployment.rows(EPOCHS) == [(450, 450)]

    # A second reading finds every record at the position that it was stored under, in whichever epoch.
    found = await answer(deployment, "reconcile", "--deep")
    again = found["read_again"]
    assert (found["balanced"], again["differing"], again["records"]) == (True, 0, len(held) + 150)
    assert again["events"] + again["copies"] == again["records"]
    (first_of_all,) = deployment.rows("SELECT min(bitNot(inv_offset)) FROM events WHERE k_partition = 0")[0]
    gone = f"k_partition = 0 AND bitNot(inv_offset) = {first_of_all} SETTINGS lightweight_deletes_sync = 2"
    await asyncio.to_thread(deployment.db.execute, f"DELETE FROM events WHERE {gone}")
    assert deployment.rows(EPOCHS) == [(449, 449)]
    assert (await answer(deployment, "reconcile", "--deep", "--repair"))["balanced"], "stored again from its own epoch"
    assert deployment.rows(EPOCHS) == [(450, 450)]


def covered(deployment: Deployment) -> list[int]:
    """How far each partition is stored."""
    found = dict(deployment.billing.coverage(USAGE_EVENTS))
    return [found.get(partition, 0) for partition in range(deployment.settings.usage_partitions)]


async def truncate(deployment: Deployment, *, partition: int, below: int) -> None:
    """As an operator does with kafka-delete-records."""
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    try:
        place = TopicPartition(deployment.settings.topic_prefix + USAGE_EVENTS, partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=below)})
    finally:
        await admin.close()


async def recreate(deployment: Deployment) -> None:
    """The topic is deleted and made again, empty."""
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    try:
        await admin.delete_topics([deployment.settings.topic_prefix + USAGE_EVENTS])
    finally:
        await admin.close()
    async with asyncio.timeout(30):
        while not all(state.status != "missing" for state in await reconcile_topics(deployment.settings)):
            await asyncio.sleep(0.2)
    deployment.logs._counts.clear()
    async with asyncio.timeout(30):
        while True:
            try:
                await deployment.logs.end_offsets(USAGE_EVENTS)
                return
            except TopicMissing:
                await asyncio.sleep(0.2)
