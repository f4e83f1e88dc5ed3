"""A worker process: one app, started, watched and stopped within a limit."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from contextlib import suppress

from aiokafka.errors import KafkaError

from agents.delivery import FIRST_RETRY_S, LONGEST_RETRY_S, TallyApp
from agents.log_lines import configure
from agents.settings import Settings, load
from agents.topics import KafkaUnavailable, reach

log = logging.getLogger(__name__)

STOP_WITHIN_S = 9.5  # the whole stop must be over in ten
FAILED = 70
TELL_EVERY_S = 10.0
GC_THRESHOLDS = (100_000, 50, 100)


class Seldom(logging.Filter):
    """Lets a complaint of the Kafka client through once in a while: while a broker is away it makes ten a second."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told; all but the Kafka client's are."""
        if not record.name.startswith("aiokafka"):
            return True
        told = self._told.get(record.msg, -TELL_EVERY_S)
        if record.created - told < TELL_EVERY_S:
            return False
        self._told[record.msg] = record.created
        return True


def run(name: str) -> None:
    """Runs the worker `ingest` or `billing` until it is told to stop. Raises SystemExit(70) if it cannot go on."""
    settings = load()
    configure(settings)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    # Hundreds of thousands of short-lived records: collect seldom, and never what lives from start to end.
    gc.set_threshold(*GC_THRESHOLDS)
    if code := asyncio.run(_serve(name, settings)):
        raise SystemExit(code)


async def _kafka_answers(settings: Settings, asked: asyncio.Event) -> bool:
    """Waits for the broker, as long as a store may be away; False if it did not come, or we are asked to stop.

    A worker that started while Kafka is away must not die of it: its supervisor would give up sooner than Kafka.
    """
    give_up_at = time.monotonic() + settings.store_retry_s
    pause = FIRST_RETRY_S
    while not asked.is_set():
        try:
            await reach(settings)
        except KafkaUnavailable as error:
            if time.monotonic() >= give_up_at:
                log.critical("%s", error)
                return False
            log.warning("%s; asking again in %.1f s", error, pause)
        else:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), pause)
        pause = min(pause * 2, LONGEST_RETRY_S)
    return False


async def _serve(name: str, settings: Settings) -> int:
    from agents.app import create_app
    from agents.web.worker import EndpointTaken, endpoint

    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    if not await _kafka_answers(settings, asked):
        return 0 if asked.is_set() else FAILED
    app = create_app(name, settings)
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


def exit_now(code: int) -> None:
    """Ends the process at once; for a stop that does not end by itself."""
    logging.shutdown()
    os._exit(code)
