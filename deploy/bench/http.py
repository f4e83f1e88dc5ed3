"""How fast `tally serve` takes usage: events per second and core, and how long an acknowledgement takes at half load.

`python -m deploy.bench.http` starts a server of its own on the running deployment (`tally up`, topics, a first tick),
pinned to one core where the system can do that; the load comes from here over plain sockets. One JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
EVENT = (
    '{{"specversion":"1.0","id":"{run}-{number:08d}","source":"/bench/http","type":"llm.request",'
    '"subject":"bench/key-{key}","time":"{time}","datacontenttype":"application/json",'
    '"data":{{"model":"large","region":"eu","tokens_in":4808,"tokens_out":"10","cached":false}}}}'
)
TARGET_PER_CORE, TARGET_P99_MS = 20_000, 50.0


@dataclass(frozen=True, slots=True)
class Acks:
    """How long a request waited for its acknowledgement at a steady rate, from the moment at which it was due."""

    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found. `per_core` counts the CPU of the server alone; `sent` is what the wall clock saw."""

    events: int
    batch: int
    connections: int
    sent_per_s: float
    per_core: float
    cpu_us_per_event: float
    acks: Mapping[str, Acks]
    """At half of the rate that is asked for, and at half of what this server took."""
    resident_mb: float
    reaches: bool


@contextmanager
def server(folder: Path, environment: Mapping[str, str] | None) -> Iterator[tuple[psutil.Process, int]]:
    """A server on any free port, and that port; on the first core, alone if it can be."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "agents.cli", "serve", "--port", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 30
        while (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        running = psutil.Process(process.pid)
        if hasattr(running, "cpu_affinity"):
            running.cpu_affinity(running.cpu_affinity()[:1])
        yield running, int(found.group(1))
    finally:
        process.terminate()
        process.wait(15)


def bodies(run: str, requests: int, batch: int) -> list[bytes]:
    """Requests with events that no other request has."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return [
        _request(
            "["
            + ",".join(EVENT.format(run=run, number=n, key=n % 997, time=at) for n in range(i * batch, (i + 1) * batch))
            + "]"
        )
        for i in range(requests)
    ]


def _request(body: str) -> bytes:
    head = (
        "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/cloudevents-batch+json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    body = await reader.readexactly(int(length.group(1)) if length else 0)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError((head + body).decode(errors="replace")[:500])


async def flood(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Sends as fast as answers come, on so many connections; seconds."""
    left = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in left:
            await _ask(reader, writer, request)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.perf_counter() - began


async def steady(port: int, requests: Sequence[bytes], every_s: float, connections: int) -> list[float]:
    """Sends one request every so often, whether or not earlier ones were answered; sorted times to the answer.

    A request that has to wait for its turn waits from the moment at which it was due.
    """
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    taken: list[float] = []

    async def one(request: bytes, due: float) -> None:
        connection = await idle.get()
        await _ask(*connection, request)
        taken.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    began = time.perf_counter()
    sent = []
    for number, request in enumerate(requests):
        due = began + number * every_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent.append(asyncio.ensure_future(one(request, due)))
    await asyncio.gather(*sent)
    while not idle.empty():
        idle.get_nowait()[1].close()
    return sorted(taken)


def measure(
    *, seconds: float, batch: int = 500, connections: int = 4, environment: Mapping[str, str] | None = None
) -> Measured:
    """Both measurements, one after the other, on one server of the deployment that the environment names."""
    run = f"{os.getpid()}-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), environment) as (process, port):
        _wait_ready(port)
        warm = bodies(run + "-w", 20, batch)
        asyncio.run(flood(port, warm, connections))
        requests = bodies(run, max(20, int(seconds * 30_000 / batch)), batch)
        before = _cpu_s(process)
        took = asyncio.run(flood(port, requests, connections))
        cpu = _cpu_s(process) - before
        events = len(requests) * batch
        per_core = events / cpu
        half = {"asked": TARGET_PER_CORE / 2, "found": min(per_core, events / took) / 2}
        acks = {name: _acks(port, f"{run}-{name}", rate, seconds, batch, connections) for name, rate in half.items()}
        return Measured(
            events=events,
            batch=batch,
            connections=connections,
            sent_per_s=round(events / took),
            per_core=round(per_core),
            cpu_us_per_event=round(cpu / events * 1e6, 2),
            acks=acks,
            resident_mb=round(process.memory_info().rss / 1e6),
            reaches=per_core >= TARGET_PER_CORE and acks["asked"].p99_ms <= TARGET_P99_MS,
        )


def _acks(port: int, run: str, rate: float, seconds: float, batch: int, connections: int) -> Acks:
    requests = bodies(run, max(100, int(seconds * rate / batch)), batch)
    times = asyncio.run(steady(port, requests, batch / rate, 4 * connections))
    p50, p99 = (round(1000 * times[int(len(times) * share)], 1) for share in (0.5, 0.99))
    return Acks(round(rate), p50, p99)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _wait_ready(port: int) -> None:
    from http.client import HTTPConnection

    deadline = time.monotonic() + 30
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        if answer.status == 200:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server is not ready: {said}")
        time.sleep(0.2)


def main() -> None:
    """Measures, prints, and fails if the target is missed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=float, default=10.0)
    asked.add_argument("--batch", type=int, default=500)
    asked.add_argument("--connections", type=int, default=4)
    given = asked.parse_args()
    found = measure(seconds=given.seconds, batch=given.batch, connections=given.connections)
    print(json.dumps(asdict(found), indent=1))
    raise SystemExit(0 if found.reaches else 1)


if __name__ == "__main__":
    main()
