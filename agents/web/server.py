"""`tally serve`: the application on uvicorn, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from agents import tokens
from agents.logs import Logs
from agents.settings import Settings
from agents.tokens import Tokens
from agents.web.access import is_loopback
from agents.web.app import create_app

FINISH_WITHIN_S = 4
"""How long requests under way may take once the server is told to stop; what they sent is then awaited for 5 s."""
BACKLOG = 512
SWITCH_S = 0.00005
"""How long a thread that refreshes balances may keep the interpreter from answering, each time that an answer waits for
something; a request does a few times. By default it is a hundred times as long."""
GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Collected seldom: what a request makes lives for a millisecond and is in no cycle."""


class ServerRefused(Exception):
    """The server would be open to strangers."""


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises ServerRefused, KafkaUnavailable."""
    check(settings)
    asyncio.run(_serve(settings))


def check(settings: Settings) -> None:
    """Raises ServerRefused for an address that others reach and no token, or for half of a certificate."""
    if not is_loopback(settings.serve_host) and not Tokens(tokens.place(settings)).all():
        raise ServerRefused(
            f"{settings.serve_host} can be reached from other machines, and no token exists: tally tokens create"
        )
    if (settings.serve_tls_certificate is None) != (settings.serve_tls_key is None):
        raise ServerRefused("TALLY_SERVE_TLS_CERTIFICATE and TALLY_SERVE_TLS_KEY: both are needed, or neither")


class QuietServer(uvicorn.Server):
    """Ends with code 0 when it was told to stop and has finished; the stock one dies of the signal afterwards."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the loop's business."""
        yield

    def ask_to_stop(self) -> None:
        """Takes nothing new and finishes what is under way."""
        self.should_exit = True


async def _serve(settings: Settings) -> None:
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*GC_THRESHOLDS)
    logs = Logs(settings)
    try:
        server = QuietServer(
            uvicorn.Config(
                await create_app(settings, logs),
                host=settings.serve_host,
                port=settings.serve_port,
                ssl_certfile=settings.serve_tls_certificate,
                ssl_keyfile=settings.serve_tls_key,
                http="httptools",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=FINISH_WITHIN_S,
            )
        )
        gc.collect()
        gc.freeze()  # what lives as long as the server is not looked through again and again
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.ask_to_stop)
        await server.serve()
    finally:
        await logs.stop()
