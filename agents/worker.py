"""A worker process: one app, started, watched and stopped within a limit."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading

from aiokafka.errors import KafkaError

from agents.delivery import TallyApp, exit_now
from agents.log_lines import configure
from agents.settings import Settings, load

log = logging.getLogger(__name__)

STOP_WITHIN_S = 9.5  # the whole stop must be over in ten
FAILED = 70


def run(name: str) -> None:
    """Runs the worker `ingest` or `billing` until it is told to stop. Raises SystemExit(70) if it cannot go on."""
    settings = load()
    configure(settings)
    # Hundreds of thousands of short-lived records: collect seldom, and never what lives from start to end.
    gc.set_threshold(100_000, 50, 100)
    if code := asyncio.run(_serve(name, settings)):
        raise SystemExit(code)


async def _serve(name: str, settings: Settings) -> int:
    from agents.app import create_app
    from agents.web.worker import EndpointTaken, endpoint

    app = create_app(name, settings)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        await app.start()
    except KafkaError as error:
        log.critical("Kafka at %s cannot be used: %r", settings.kafka, error)
        return FAILED
    gc.collect()
    gc.freeze()
    try:
        async with endpoint(app, settings):
            log.info("%s worker is running", name)
            failed = await _until_told(app, asked)
            _end_within_limit()
            await app.stop()
    except EndpointTaken as error:
        log.critical("%s", error)
        _end_within_limit()
        await app.stop()
        failed = True
    return FAILED if failed else 0


def _end_within_limit() -> None:
    """If stopping hangs (an insert, a broker), the process must end all the same, with its offsets uncommitted. The
    timer goes on until the process is gone."""
    watchdog = threading.Timer(STOP_WITHIN_S, exit_now, (FAILED,))
    watchdog.daemon = True
    watchdog.start()


async def _until_told(app: TallyApp, asked: asyncio.Event) -> bool:
    """Waits until the worker is asked to stop, or cannot go on; whether it is the latter."""
    crashed = asyncio.ensure_future(app.wait_until_stopped())
    waits = {asyncio.ensure_future(asked.wait()), crashed, asyncio.ensure_future(app.failed.wait())}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    return app.failed.is_set() or (crashed.done() and not asked.is_set())
