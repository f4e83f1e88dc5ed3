"""`tally serve` as a process of its own, and a producer that speaks HTTP to it."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from tests.deployments import WITHIN_S, Deployment, environment
from tests.nursery import nursery

BATCH = {"content-type": "application/cloudevents-batch+json"}
EVENT = {"content-type": "application/cloudevents+json"}


class ServerProcess:
    """A server, killed at the end of the test at the latest."""

    def __init__(self, deployment: Deployment, **settings: object) -> None:
        self.log = deployment.folder / f"serve-{time.monotonic_ns()}.log"
        changed = deployment.settings.model_copy(update={"serve_port": 0, **settings})
        self.process = nursery().start(("serve",), environment(changed), self.log)

    @property
    def address(self) -> str:
        """Where it listens; waits until it does."""
        deadline = time.monotonic() + WITHIN_S
        while (found := re.search(r"running on (https?://\S+)", self.log.read_text())) is None:
            assert self.process.exit_code is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return found.group(1).replace("0.0.0.0", "127.0.0.1")

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client, once the server can acknowledge."""
        address = await asyncio.to_thread(lambda: self.address)
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            deadline = time.monotonic() + WITHIN_S
            while (await client.get("/readyz")).status_code != 200:
                assert time.monotonic() < deadline, self.log.read_text()
                await asyncio.sleep(0.05)
            yield client

    def stop(self) -> tuple[int, float]:
        """SIGTERM; its exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.signal(signal.SIGTERM)
        return self.process.wait(30), time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()


@contextmanager
def serving(deployment: Deployment, **settings: object) -> Iterator[ServerProcess]:
    """A server for a block."""
    server = ServerProcess(deployment, **settings)
    try:
        yield server
    finally:
        server.kill()
