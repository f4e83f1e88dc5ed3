"""Processes that are born quickly: one that has imported everything forks one for each life.

Stories start hundreds of workers, and importing costs more than what most of them live for. A forked worker is a
process like any other: its own number, its own environment, its own death. The nursery reads one JSON line per birth
(`command`, `environment`, `log`) and writes one per birth and per death. That `tally` starts from nothing, as people
and supervisors start it, is shown where it is installed (tests/deploy).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from agents import app, worker  # noqa: F401  # what a worker imports when it starts
from agents.cli import main as tally
from agents.web import server  # noqa: F401

ROOT = Path(__file__).parents[1]
FAILED = 70
ASK_EVERY_S = 0.02


class Life:
    """One process, from its birth to its death."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._ended: int | None = None

    @property
    def exit_code(self) -> int | None:
        """None while it lives; -9 after SIGKILL."""
        if self._ended is None:
            self._ended = self._nursery.ended(self.pid)
        return self._ended

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal; False if it was dead already."""
        if self.exit_code is not None:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:  # the news of its death is on the way
            return False
        return True

    def wait(self, within_s: float) -> int:
        """Its exit code. Blocks; raises TimeoutError if it lives on."""
        deadline = time.monotonic() + within_s
        while (code := self.exit_code) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} lives on after {within_s} s")
            time.sleep(ASK_EVERY_S / 4)
        return code

    async def death(self) -> int:
        """Its exit code, once it has died."""
        while (code := self.exit_code) is None:
            await asyncio.sleep(ASK_EVERY_S)
        return code

    async def end(self, within_s: float) -> int | None:
        """Its exit code if it dies within a limit; None if it lives on."""
        try:
            return await asyncio.wait_for(self.death(), within_s)
        except TimeoutError:
            return None

    def kill(self) -> bool:
        """SIGKILL: no goodbye to anybody; whether that is what it died of."""
        killed = self.signal(signal.SIGKILL)
        self.wait(60)
        return killed


class Nursery:
    """Starts `tally …` in processes of their own; its end is the end of all of them."""

    def __init__(self) -> None:
        given = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"], cwd=ROOT, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._deaths: dict[int, int] = {}
        self._births: list[int] = []
        self._half = b""
        self._one_at_a_time = threading.RLock()

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Life:
        """`tally COMMAND` in an environment of its own; what it says is added to a log."""
        birth = {"command": list(command), "environment": dict(environment), "log": str(log)}
        assert self._process.stdin is not None
        log.touch()  # who started it may look at once
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps(birth).encode() + b"\n")
            self._process.stdin.flush()
            while not self._births:
                self._hear(None)
            pid = self._births.pop()
            self._deaths.pop(pid, None)  # of one that had the number before
            return Life(pid, self)

    def ended(self, pid: int) -> int | None:
        """The exit code of a process; None while it lives."""
        with self._one_at_a_time:
            self._hear(0)
            return self._deaths.get(pid)

    def close(self) -> None:
        """Ends all that still live."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _hear(self, within_s: float | None) -> None:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while select.select([pipe], [], [], within_s)[0]:
            heard = os.read(pipe, 65536)
            assert heard, "the nursery has ended"
            *whole, self._half = (self._half + heard).split(b"\n")
            for told in map(json.loads, whole):
                if "ended" in told:
                    self._deaths[told["pid"]] = told["ended"]
                else:
                    self._births.append(told["pid"])
            within_s = 0


@cache
def nursery() -> Nursery:
    """The one of this process; it ends with it."""
    return Nursery()


def main() -> None:
    """The nursery itself: forks on request, tells of births and deaths, and ends with its standard input."""
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the tests ends it by closing its input
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    waiting, living = b"", set[int]()
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 4096)
            living -= _tell_deaths()
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                break
            *whole, waiting = (waiting + received).split(b"\n")
            for line in whole:
                living.add(pid := _birth(json.loads(line)))
                _tell({"pid": pid})
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _tell(what: Mapping[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _tell_deaths() -> set[int]:
    dead = set[int]()
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return dead
        if not pid:
            return dead
        dead.add(pid)
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
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for place in (1, 2):
        os.dup2(log, place)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    random.seed()  # or all of them would back off in step
    sys.argv = ["tally", *wanted["command"]]
    try:
        tally()
    except SystemExit as exit:
        return int(exit.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main()
