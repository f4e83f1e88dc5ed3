"""A server that goes away and comes back costs time, not records; a worker that leaves hands its partitions over."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from agents.store.connection import Connection
from tests.builders import events
from tests.crash.outage import GROWN_AT_MOST, outages
from tests.deployments import Deployment
from tests.groups import members
from tests.services import Services
from tests.stories import october

pytestmark = pytest.mark.services

STORED = "SELECT count(), uniqExact(source, id) FROM events FINAL"
LEDGER = """
SELECT k_partition, sum(next_offset - first_offset) AS length, max(next_offset) AS reached, max(events) AS events
FROM ledger FINAL WHERE topic = 'usage.events' GROUP BY k_partition ORDER BY k_partition
"""


async def test_a_worker_is_live_and_not_ready_while_a_server_is_away_and_stores_everything_once_it_is_back(
    deployment: Deployment, services: Services
) -> None:
    """`make crash SIZE=outage` shows the same with half an hour for each, and how quickly it comes back."""
    await deployment.begin(october.BEGINS)
    found = await outages(deployment, services, ("clickhouse", "kafka"), length_s=1, per_s=300, told=print)
    assert [(each.server, each.not_live, each.faults) for each in found] == [("clickhouse", 0, []), ("kafka", 0, [])]
    assert all(each.backlog > 0 and each.grown < GROWN_AT_MOST for each in found)


async def test_both_servers_may_be_away_the_worker_lives_on_in_bounded_memory_and_catches_up(
    deployment: Deployment, services: Services
) -> None:
    worker = deployment.worker("ingest", pending_rows=4_000, flush_rows=1_000)
    await deployment.begin(october.BEGINS)
    await deployment.publish(usage(300))
    await deployment.stored()
    before = psutil.Process(worker.pid).memory_info().rss
    await asyncio.to_thread(services.stop, "clickhouse")
    for _ in range(4):
        await deployment.publish(usage(10_000))
    await asyncio.to_thread(services.stop, "kafka")
    await asyncio.sleep(3)  # it tries both, in vain
    grown = psutil.Process(worker.pid).memory_info().rss - before
    starting = deployment.worker("ingest")  # one that starts now waits as well
    await asyncio.sleep(2)
    assert worker.exit_code is None and starting.exit_code is None
    assert grown < 128 * 1024 * 1024, f"{grown / 1e6:.0f} MB for a backlog that is not ours to hold"
    await asyncio.to_thread(services.start, "kafka")
    await asyncio.to_thread(services.start, "clickhouse")
    await deployment.publish(usage(300))
    await deployment.stored(within_s=120)
    assert worker.exit_code is None and starting.exit_code is None
    check_rows(deployment, 40_600)


async def test_an_older_backup_of_clickhouse_catches_up_from_its_own_ledger(deployment: Deployment) -> None:
    worker = deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    await deployment.publish(usage(300))
    await deployment.stored()
    await asyncio.to_thread(statement, deployment, "BACKUP DATABASE {0} TO File('{0}')")
    await deployment.publish([*usage(300), (b"a", b"{broken")])
    await deployment.stored()
    assert worker.stop() == 0  # its committed offsets are far ahead of the backup
    await asyncio.to_thread(statement, deployment, "DROP DATABASE {0} SYNC")
    await asyncio.to_thread(statement, deployment, "RESTORE DATABASE {0} FROM File('{0}')")
    assert deployment.rows(STORED) == [(300, 300)]
    await deployment.publish(usage(100))
    deployment.worker("ingest")
    await deployment.stored()
    check_rows(deployment, 700)
    assert deployment.rows("SELECT count() FROM dead_letters FINAL") == [(1,)]


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


def check_rows(deployment: Deployment, records: int) -> None:
    """Each once, and no range missing."""
    assert deployment.rows(STORED) == [(records, records)]
    assert deployment.rows("SELECT sum(gaps), sum(covered < reached) FROM v_ingest_coverage") == [(0, 0)]


def statement(deployment: Deployment, sql: str) -> None:
    """What an operator says to ClickHouse about the whole database."""
    connection = Connection(deployment.settings, database="default")
    connection.execute(sql.format(deployment.settings.database))
    connection.close()


def check_stored(deployment: Deployment, records: int) -> None:
    """Each once; and the ledger's rows tile the log: their lengths add up to its end, so none is missing or double."""
    assert deployment.rows(STORED) == [(records, records)]
    ledger = deployment.rows(LEDGER)
    assert all(length == reached == events for _, length, reached, events in ledger)
    assert sum(events for *_, events in ledger) == records
