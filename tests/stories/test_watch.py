"""A worker is watched: what it tells of its work, when it is live, when it is ready, and how it stops."""

from __future__ import annotations

import asyncio
import json
import re
import time

import httpx
import pytest

from agents.topics import USAGE_EVENTS
from tests.builders import attributes, events, moment
from tests.deployments import WITHIN_S, Deployment, WorkerProcess
from tests.services import Services, free_port

pytestmark = pytest.mark.services

BEGINS = moment("2026-10-01 00:00")


class Watched:
    """A worker with its endpoint."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient, **settings: object) -> None:
        self.port = free_port()
        self._http = http
        self.worker: WorkerProcess = deployment.worker(
            "ingest", metrics_port=self.port, gauges_every_s=1, log_format="json", **settings
        )

    async def status(self, probe: str) -> int:
        """The status of a probe; 0 before it is answered."""
        try:
            return (await self._http.get(f"http://127.0.0.1:{self.port}/{probe}")).status_code
        except httpx.TransportError:
            return 0

    async def until(self, probe: str, status: int) -> float:
        """Returns once a probe has a status; the seconds that it took."""
        began = time.monotonic()
        while (found := await self.status(probe)) != status:
            assert time.monotonic() - began < WITHIN_S, f"/{probe} is {found}: {self.worker.said()}"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def metrics(self) -> dict[str, float]:
        """Every sample, by name and labels."""
        text = (await self._http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        return {name: float(value) for name, value in re.findall(r"^([a-z][^ ]*(?:{.*})?) (\S+)$", text, re.MULTILINE)}

    async def until_metric(self, name: str, value: float) -> dict[str, float]:
        """Returns all metrics once one has a value."""
        deadline = time.monotonic() + WITHIN_S
        while (found := await self.metrics()).get(name) != value:
            assert time.monotonic() < deadline, f"{name} is {found.get(name)}: {self.worker.said()}"
            await asyncio.sleep(0.2)
        return found


async def test_a_worker_counts_its_work_waits_for_a_store_that_is_away_and_stops_in_ten_seconds(
    deployment: Deployment, services: Services
) -> None:
    await deployment.begin(BEGINS)
    async with httpx.AsyncClient() as http:
        watched = Watched(deployment, http)
        await watched.until("readyz", 200)
        broken = json.dumps({**attributes("a", "2026-10-05 10:00", {}), "time": "yesterday"}).encode()
        await deployment.publish([*events("a", "2026-10-05 10:00", 20), (b"a", broken)])
        await deployment.stored()
        found = await watched.until_metric("tally_dead_letters_open", 1)
        assert found['tally_events_total{outcome="event"}'] == 20
        assert found['tally_dead_letters_total{reason="invalid_time"}'] == 1
        assert found['tally_leaked_events{leak="unmetered type"}'] == 20
        assert found['tally_stored_records_total{topic="usage.events"}'] == 21
        assert found['tally_delay_seconds_count{topic="usage.events"}'] >= 1
        for topic in ("usage.events", "usage.dead-letters"):
            for partition in range(3):
                await watched.until_metric(f'tally_lag_records{{partition="{partition}",topic="{topic}"}}', 0)
        await asyncio.to_thread(services.stop, "clickhouse")
        try:
            await deployment.publish(events("a", "2026-10-05 11:00", 20))
            await watched.until("readyz", 503)
            found = await watched.until_metric('tally_service_up{service="clickhouse"}', 0)
            assert await watched.status("livez") == 200
            assert watched.worker.exit_code is None
            await deployment.until(lambda: told(watched, "warning", USAGE_EVENTS), "it says what it waits with")
            began = time.monotonic()
            await asyncio.to_thread(watched.worker.stop)
            assert time.monotonic() - began < 10
        finally:
            await asyncio.to_thread(services.start, "clickhouse")
        deployment.worker("ingest")
        await deployment.stored()
        assert deployment.rows("SELECT count(), uniqExact(id) FROM events FINAL") == [(40, 40)]


def told(watched: Watched, level: str, topic: str) -> bool:
    """Whether its log has a line of a level about a topic."""
    lines = watched.worker.log.read_text(encoding="utf-8").splitlines()
    lines = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return any(line["level"] == level and line.get("topic") == topic for line in lines)


async def test_a_partition_that_stands_still_though_nothing_is_in_its_way_ends_the_liveness_of_its_worker(
    deployment: Deployment,
) -> None:
    # An insert that hangs: no failure, no answer. The store itself answers all the while.
    deployment.db.execute("CREATE TABLE slow (s UInt8) ENGINE = Null")
    deployment.db.execute("CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleepEachRow(0.5) AS s FROM events")
    await deployment.begin(BEGINS)
    async with httpx.AsyncClient() as http:
        watched = Watched(deployment, http, standstill_s=0.8)
        await watched.until("readyz", 200)
        assert await watched.status("livez") == 200
        await deployment.publish(events("a", "2026-10-05 10:00", 6))
        await watched.until("livez", 503)
        said = (await http.get(f"http://127.0.0.1:{watched.port}/livez")).text
        assert re.match(r"usage\.events/\d has lag and has not moved for \d+ s", said)
        await deployment.stored()
        await watched.until("livez", 200)
