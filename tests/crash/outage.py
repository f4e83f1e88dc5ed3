"""A server is away for a long time while usage goes on: what the worker does meanwhile, and how it comes back.

The producer numbers its events at a steady rate by the clock. What a broker that is away does not take, it keeps, and
hands in when the broker is back, as fast as it can. So the backlog is in Kafka or before it, and drained is it once
what is stored is no more than a second behind the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil
from aiokafka.errors import KafkaError

from agents.publisher import Publisher, Record
from agents.topics import USAGE_EVENTS, KafkaUnavailable
from schemas.tick import USAGE
from tests.builders import event
from tests.crash.storm import insisting
from tests.deployments import Deployment, WorkerProcess
from tests.services import Server, Services, free_port

AT_ONCE = 10_000
PROBE_EVERY_S = 0.5
WITHIN_S = 300
GROWN_AT_MOST = 256 * 1024 * 1024
AWAY_AT_MOST_S = 7_200
LEAVES_WITHIN_S = 5
AGAIN_WITHIN_S = 10.0
TIMES_THE_INPUT = 10


class Producer:
    """Events with numbers, so many per second of the clock from its start on."""

    def __init__(self, deployment: Deployment, per_s: int) -> None:
        self._deployment, self.per_s = deployment, per_s
        self._began = time.monotonic()
        self._until: float | None = None
        self._publisher: Publisher | None = None
        self.published = 0

    @property
    def due(self) -> int:
        """How many there are by the clock."""
        return int(((self._until or time.monotonic()) - self._began) * self.per_s)

    async def run(self) -> None:
        """Hands in what is due, until all of it was acknowledged after `stop`."""
        while self._until is None or self.published < self.due:
            count = min(self.due - self.published, AT_ONCE)
            records = [_event(number) for number in range(self.published, self.published + count)]
            await insisting(lambda batch=records: self._hand_in(batch), within_s=AWAY_AT_MOST_S)  # type: ignore[misc]
            self.published += count
            await asyncio.sleep(0 if count == AT_ONCE else 0.25)
        await self._leave()

    def stop(self) -> None:
        """No events after now."""
        self._until = time.monotonic()

    async def _hand_in(self, records: Sequence[Record]) -> None:
        if self._publisher is None:
            partitions = await self._deployment.logs.partitions(USAGE_EVENTS)
            publisher = Publisher(self._deployment.settings, USAGE_EVENTS, partitions=partitions)
            await publisher.start()
            self._publisher = publisher
        try:
            await self._publisher.publish(records)
        except KafkaUnavailable:
            await self._leave()  # what it has not sent is handed in again, by a new one
            raise

    async def _leave(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(publisher.stop(), LEAVES_WITHIN_S)


def _event(number: int) -> tuple[bytes | None, bytes]:
    return event(f"subject-{number % 30}", "2026-10-05 10:00", {"tokens": number}, id=str(number))


@dataclass(slots=True)
class Found:
    """What an outage looked like from outside."""

    server: Server
    per_s: int
    away_s: float = 0.0
    not_live: int = 0
    """Probes of /livez that were not answered with 200."""
    not_ready_s: float = 0.0
    """From the server's stop until /readyz said so."""
    grown: int = 0
    """Bytes that the worker's memory grew by at most."""
    again_s: float = 0.0
    """From the server's return until something new was stored."""
    backlog: int = 0
    drained_s: float = 0.0
    drained: int = 0
    """Records stored from the server's return until it was drained."""
    ready_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def times(self) -> float:
        """How many times faster than the input the backlog was drained, from the first new record on."""
        return self.drained / max(self.drained_s - self.again_s, 0.001) / self.per_s

    def beyond_limits(self) -> list[str]:
        """What should have been quicker or smaller."""
        found = [f"not live at {self.not_live} probes"] if self.not_live else []
        found += [f"memory grew by {self.grown / 1e6:.0f} MB"] if self.grown > GROWN_AT_MOST else []
        found += [f"consuming again only after {self.again_s:.1f} s"] if self.again_s > AGAIN_WITHIN_S else []
        if self.backlog > TIMES_THE_INPUT * self.per_s and self.times < TIMES_THE_INPUT:
            found.append(f"drained at {self.times:.1f} times the input only")
        return found

    def text(self) -> str:
        """In a line."""
        live = f"not live at {self.not_live} probes" if self.not_live else "live all the time"
        return (
            f"{self.server} away for {self.away_s:,.0f} s at {self.per_s:,} events/s: {live}, not ready after "
            f"{self.not_ready_s:.1f} s, memory +{self.grown / 1e6:.0f} MB, consuming again after {self.again_s:.1f} s, "
            f"ready after {self.ready_s:.1f} s, backlog of {self.backlog:,} drained in {self.drained_s:.1f} s: "
            f"{self.times:.0f} times the input"
        )


class Probed:
    """A worker with its endpoint, looked at all the time."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient) -> None:
        self._http, self._port = http, free_port()
        self.worker: WorkerProcess = deployment.worker("ingest", metrics_port=self._port, pending_rows=50_000)

    async def status(self, probe: str) -> int:
        """The status of a probe; 0 if nobody answers."""
        try:
            return (await self._http.get(f"http://127.0.0.1:{self._port}/{probe}")).status_code
        except httpx.TransportError:
            return 0

    async def until(self, probe: str, status: int) -> None:
        """Returns once a probe has a status."""
        async with asyncio.timeout(WITHIN_S):
            while await self.status(probe) != status:
                await asyncio.sleep(0.1)

    def memory(self) -> int:
        """Bytes that it holds."""
        return int(psutil.Process(self.worker.pid).memory_info().rss)

    async def watch(self, found: Found) -> None:
        """Notes what is seen, until it is cancelled."""
        before = self.memory()
        while True:
            found.not_live += await self.status("livez") != httpx.codes.OK
            found.grown = max(found.grown, self.memory() - before)
            await asyncio.sleep(PROBE_EVERY_S)


async def outages(
    deployment: Deployment, services: Services, servers: tuple[Server, ...], *, length_s: float, per_s: int,
    told: Callable[[str], None],
) -> list[Found]:  # fmt: skip
    """Each server is away for so long, one after the other, under one worker; then every event is looked for."""
    producer, found = Producer(deployment, per_s), list[Found]()
    producing = asyncio.create_task(producer.run())
    async with httpx.AsyncClient() as http:
        probed = Probed(deployment, http)
        try:
            await probed.until("readyz", httpx.codes.OK)
            for server in servers:
                await _caught_up(deployment, producer)
                found.append(await _outage(deployment, services, server, producer, probed, length_s, told))
                told(found[-1].text())
            producer.stop()
            await producing
            told(f"{producer.published:,} events were handed in: each is looked for")
            await deployment.stored(within_s=WITHIN_S)
            found[-1].faults += _lost(deployment, producer.published)
            if probed.worker.exit_code is not None:
                found[-1].faults.append(f"the worker ended with {probed.worker.exit_code}")
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)
    return found


async def _outage(
    deployment: Deployment, services: Services, server: Server, producer: Producer, probed: Probed, length_s: float,
    told: Callable[[str], None],
) -> Found:  # fmt: skip
    found = Found(server, producer.per_s)
    watching = asyncio.create_task(probed.watch(found))
    try:
        await asyncio.to_thread(services.stop, server)
        began = time.monotonic()
        told(f"{server} is away for {length_s:,.0f} s")
        await probed.until("readyz", httpx.codes.SERVICE_UNAVAILABLE)
        found.not_ready_s = time.monotonic() - began
        await asyncio.sleep(max(0.0, length_s - found.not_ready_s))
        found.away_s = time.monotonic() - began
        await asyncio.to_thread(services.start, server)
        await _comes_back(found, deployment, producer, probed)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return found


async def _comes_back(found: Found, deployment: Deployment, producer: Producer, probed: Probed) -> None:
    back, stored = time.monotonic(), await _stored(deployment)
    found.backlog = producer.due - stored
    async with asyncio.timeout(WITHIN_S):
        while await _stored(deployment) == stored:
            await asyncio.sleep(0.05)
    found.again_s = time.monotonic() - back
    await _caught_up(deployment, producer)
    found.drained_s, found.drained = time.monotonic() - back, await _stored(deployment) - stored
    await probed.until("readyz", httpx.codes.OK)
    found.ready_s = time.monotonic() - back


async def _caught_up(deployment: Deployment, producer: Producer) -> None:
    """Returns once what is stored is no more than a second behind the clock."""
    async with asyncio.timeout(WITHIN_S):
        while producer.due - await _stored(deployment) > producer.per_s:
            await asyncio.sleep(0.05)


async def _stored(deployment: Deployment) -> int:
    coverage = await insisting(lambda: asyncio.to_thread(deployment.billing.coverage, USAGE))
    return sum(coverage.values())


def _lost(deployment: Deployment, published: int) -> list[str]:
    """Events that are not stored exactly once; a record that was handed in twice is stored once."""
    rows, identities = deployment.rows("SELECT count(), uniqExact(source, id) FROM counted_events_now")[0]
    gaps = deployment.rows("SELECT sum(gaps), sum(covered < reached) FROM v_ingest_coverage")[0]
    if (rows, identities, *gaps) == (published, published, 0, 0):
        return []
    return [f"{published:,} events, {rows:,} rows of {identities:,} identities, {gaps} gaps"]
