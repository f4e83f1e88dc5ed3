"""Workers that are born quickly: a process that has imported everything forks one for each life.

A crash run starts a worker for every kill, and importing costs more than living until the crash. A forked worker is a
process like any other: its own number, its own environment, its own death. The nursery reads one JSON line per birth
(`name`, `environment`, `log`) and writes one per birth and per death.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import selectors
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.settings import Settings
from tests.deployments import ROOT, environment

FAILED = 70


class Life:
    """One worker process, from its birth to its death."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def exit_code(self) -> int | None:
        """None while it lives; -9 after SIGKILL."""
        return self.ended.result() if self.ended.done() else None

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal; False if it was dead already."""
        if self.ended.done():
            return False
        os.kill(self.pid, number)
        return True

    async def death(self) -> int:
        """Its exit code, once it has died. Who stops waiting does not end the wait of others."""
        return await asyncio.shield(self.ended)

    async def end(self, within_s: float) -> int | None:
        """Its exit code if it dies within a limit; None if it lives on."""
        try:
            return await asyncio.wait_for(asyncio.shield(self.ended), within_s)
        except TimeoutError:
            return None

    async def kill(self) -> bool:
        """SIGKILL; whether that is what it died of."""
        killed = self.signal(signal.SIGKILL)
        await self.death()
        return killed


class Nursery:
    """Starts workers in processes of their own. Use as an async context manager: its end is the end of all of them."""

    def __init__(self) -> None:
        self._process: Any = None
        self._births: asyncio.Queue[int] = asyncio.Queue()
        self._lives: dict[int, Life] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Nursery:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.nursery", cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        for life in list(self._lives.values()):
            await life.kill()
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def start(self, name: str, settings: Settings, log: Path) -> Life:
        """A new worker."""
        birth = {"name": name, "environment": environment(settings), "log": str(log)}
        async with self._one_at_a_time:
            self._process.stdin.write(json.dumps(birth).encode() + b"\n")
            await self._process.stdin.drain()
            return self._lives[await self._births.get()]

    async def _listen(self) -> None:
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "ended" in told:
                self._lives.pop(told["pid"]).ended.set_result(told["ended"])
            else:
                self._lives[told["pid"]] = Life(told["pid"])
                self._births.put_nowait(told["pid"])


def main() -> None:
    """The nursery itself: forks on request, tells of births and deaths, and ends with its standard input."""

    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    waiting = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 4096)
            _tell_deaths()
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                return
            *whole, waiting = (waiting + received).split(b"\n")
            for line in whole:
                _tell({"pid": _birth(json.loads(line))})


def _tell(what: Mapping[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _tell_deaths() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell({"pid": pid, "ended": os.waitstatus_to_exitcode(status)})


def _birth(wanted: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        code = _live(wanted)
    finally:
        os._exit(code)


def _live(wanted: Mapping[str, Any]) -> int:
    from agents.worker import run

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for place in (1, 2):
        os.dup2(log, place)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    random.seed()  # or all of them would back off in step
    try:
        run(wanted["name"])
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


if __name__ == "__main__":
    main()
