"""Processes under measurement: on which cores they run, what CPU time they take, how much memory they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
FIRST, REST = {CORES[0]}, set(CORES[1:]) or {CORES[0]}


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    found = []
    with suppress(psutil.NoSuchProcess):
        found.append(psutil.Process(pid))
        found += found[0].children(recursive=True)
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds, of all threads, user and system, that a process and its children have taken so far."""
    spent = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def resident_mb(pid: int) -> float:
    """Megabytes (10^6) in memory, children included."""
    held = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            held += process.memory_info().rss
    return held / 1e6


def peak_mb(pid: int) -> float:
    """The most megabytes (10^6) that the process has held so far, by the kernel's own mark; 0 where there is none."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def pin(pid: int, cores: set[int]) -> None:
    """Binds every thread of a process and its children to some cores; threads made later inherit it."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes started inside run on these cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
