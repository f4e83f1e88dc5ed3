"""The endpoint of a worker: `/livez`, `/readyz`, `/metrics` at `TALLY_METRICS_PORT`; none where that is 0."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from agents.delivery import TallyApp
from agents.logs import Logs
from agents.settings import Settings
from agents.store.connection import Connection
from agents.store.waiting import WaitingStore
from agents.watch import Watch
from agents.web import probes
from agents.web.server import QuietServer

log = logging.getLogger(__name__)

BIND_WITHIN_S = 10.0
AGAIN_AFTER_S = 0.5


class EndpointTaken(Exception):
    """Something else listens where this worker's probes should be answered."""


@asynccontextmanager
async def endpoint(app: TallyApp, settings: Settings) -> AsyncIterator[None]:
    """Answers probes for the block. Raises EndpointTaken."""
    if not settings.metrics_port:
        yield
        return
    listening = await _listening(settings.metrics_host, settings.metrics_port)
    logs, connection = Logs(settings), Connection(settings)
    watch = Watch(app, logs, connection, WaitingStore(Connection(settings)))
    site = FastAPI(title="Tally worker", docs_url=None, redoc_url=None, openapi_url=None)
    site.include_router(probes.router(watch, may_see=lambda _request: None))
    config = uvicorn.Config(site, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None,
                            server_header=False, timeout_graceful_shutdown=1)  # fmt: skip
    server = QuietServer(config)
    tasks = [asyncio.ensure_future(server.serve(sockets=[listening])), asyncio.ensure_future(watch.run())]
    for task in tasks:
        task.add_done_callback(lambda done: _died(app, done))
    try:
        yield
    finally:
        server.should_exit = True
        tasks[1].cancel()
        await asyncio.wait(tasks, timeout=2)
        await logs.stop()
        connection.close()


def _died(app: TallyApp, task: asyncio.Task[None]) -> None:
    """A worker that cannot be watched any more must not go on unseen."""
    if not app.should_stop and not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the watch ended: %s", error, exc_info=error)
        app.fail(error)


async def _listening(host: str, port: int) -> socket.socket:
    """The socket; waits a while for one that a worker before this one still holds."""
    deadline = time.monotonic() + BIND_WITHIN_S
    while True:
        try:
            return socket.create_server((host, port))
        except OSError as error:
            if time.monotonic() > deadline:
                raise EndpointTaken(f"{host}:{port} is taken (TALLY_METRICS_PORT): {error}") from error
        await asyncio.sleep(AGAIN_AFTER_S)
