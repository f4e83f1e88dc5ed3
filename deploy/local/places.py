"""Where the local system keeps its things: a home for state and data, a cache for what was downloaded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import LocalServiceError


def default_home() -> Path:
    """The folder of state, data and logs: `TALLY_HOME`, else the XDG state folder."""
    if named := os.environ.get("TALLY_HOME"):
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tally"


def cache() -> Path:
    """The folder of downloads, shared by all homes: the XDG cache folder, outside of any checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "tally"


@contextmanager
def exclusive(file: Path, *, waiting: Callable[[], None], within_s: float) -> Iterator[None]:
    """One process at a time; the system releases the lock of one that died.

    `waiting` is called once if another holds it. Raises LocalServiceError if it is not released in time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as held:
        deadline = time.monotonic() + within_s
        told = False
        while not _taken(held.fileno()):
            if time.monotonic() > deadline:
                raise LocalServiceError(f"another tally holds {file}", "wait for it, or end it, then run this again")
            if not told:
                waiting()
                told = True
            time.sleep(0.1)
        yield


def _taken(descriptor: int) -> bool:
    import fcntl  # not on every system; the ones without it are told to use Docker before they come here

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_whole(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Writes a file so that a reader, or whoever comes after a crash, finds all of it or the one before."""
    partial = file.with_name(file.name + ".new")
    partial.touch(mode)
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
