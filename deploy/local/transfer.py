"""A file from an address, resumable, and checked against a pinned digest."""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from deploy.local.errors import LocalServiceError
from deploy.local.progress import Progress

CHUNK = 1 << 20
ATTEMPTS = 4
PAUSE_S = 0.5
ALREADY_WHOLE = 416  # "range not satisfiable": the part that is here is the whole


class TransferFailed(Exception):
    """The network, or who is at its other end, did not deliver. What has arrived is kept."""


def download(address: str, target: Path, progress: Progress, *, what: str, size: int) -> None:
    """Fetches a file; a part that is there already is continued, now and in a later run.

    A connection that ends early is taken up again a few times. `size` in bytes, for the progress. Raises
    TransferFailed, or OSError if the disk fails.
    """
    if target.exists():
        return
    partial = target.with_name(target.name + ".partial")
    progress.begin(what, size)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(address, partial, progress)
            break
        except urllib.error.HTTPError as error:
            raise TransferFailed(f"{error.code} {error.reason}") from error  # asking again gives the same answer
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == ATTEMPTS:
                raise TransferFailed(str(error)) from error
            time.sleep(PAUSE_S * attempt)
    progress.end()
    partial.rename(target)


def _continue(address: str, partial: Path, progress: Progress) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == ALREADY_WHOLE and have:
            return
        raise
    with answer:
        have = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        left = answer.headers.get("Content-Length")
        whole = None if left is None else have + int(left)
        with partial.open("ab" if have else "wb") as out:
            while chunk := answer.read(CHUNK):
                out.write(chunk)
                have += len(chunk)
                progress.advance(have)
    if whole is not None and have < whole:
        raise ConnectionError(f"the connection ended after {have:,} of {whole:,} bytes")


def verify(file: Path, integrity: str) -> None:
    """Checks a file against an npm integrity value; a wrong one is removed and named."""
    algorithm, expected = integrity.split("-", 1)
    if base64.b64encode(digest(file, algorithm)).decode() != expected:
        file.unlink()
        raise LocalServiceError(
            f"{file.name} is damaged: its {algorithm} is not the pinned one",
            "it was removed; run this again to fetch it anew",
        )


def digest(file: Path, algorithm: str) -> bytes:
    """The digest of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).digest()
