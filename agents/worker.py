"""A worker process: one app, started, watched and stopped within a limit."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading

from aiokafka.errors import KafkaError

from agents.delivery import exit_now
from agents.settings import Settings, load

log = logging.getLogger(__name__)

STOP_WITHIN_S = 10.0
FAILED = 70


def run(name: str) -> None:
    """Runs the worker `ingest` or `billing` until it is told to stop. Raises SystemExit(70) if it cannot go on."""
    settings = load()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
    )
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Hundreds of thousands of short-lived records: collect seldom, and never what lives from start to end.
    gc.set_threshold(100_000, 50, 100)
    if code := asyncio.run(_serve(name, settings)):
        raise SystemExit(code)


async def _serve(name: str, settings: Settings) -> int:
    from agents.app import create_app

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
    log.info("%s worker is running", name)
    stop_asked = asyncio.ensure_future(asked.wait())
    crashed = asyncio.ensure_future(app.wait_until_stopped())
    cannot_go_on = asyncio.ensure_future(app.failed.wait())
    await asyncio.wait({stop_asked, crashed, cannot_go_on}, return_when=asyncio.FIRST_COMPLETED)
    failed = app.failed.is_set() or (crashed.done() and not asked.is_set())
    # If stopping hangs (an insert, a broker), the process must end all the same, with its offsets uncommitted. The
    # timer goes on until the process is gone.
    watchdog = threading.Timer(STOP_WITHIN_S, exit_now, (FAILED,))
    watchdog.daemon = True
    watchdog.start()
    await app.stop()
    return FAILED if failed else 0
