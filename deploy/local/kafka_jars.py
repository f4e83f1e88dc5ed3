"""Kafka: Maven artefacts, resolved by jgo into a repository of our own, each jar checked against its pinned SHA-256."""

from __future__ import annotations

import shutil
import tomllib
import xml.etree.ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import NETWORK, USE_DOCKER, LocalServiceError, not_installed
from deploy.local.places import cache, write_whole
from deploy.local.progress import Progress
from deploy.local.transfer import digest

VERSION = "4.1.0"
NAME = f"Kafka {VERSION}"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
DOWNLOAD_BYTES = 45_243_986
LOCK = Path(__file__).with_name("servers.lock.toml")


def place() -> Path:
    """Where the class path of Kafka lies."""
    return cache() / "kafka" / VERSION


def is_here() -> bool:
    """Whether every jar was fetched and checked."""
    return (place() / "verified").exists()


def class_path() -> str:
    """Kafka's class path: both folders that jgo makes."""
    folder = Path((place() / "verified").read_text(encoding="utf-8"))
    return f"{folder}/jars/*:{folder}/modules/*"


def fetch(progress: Progress) -> None:
    """Fetches what is missing and checks everything. Raises LocalServiceError."""
    repository = place() / "repository"
    drop_damaged(repository, pinned())
    progress.begin(NAME, DOWNLOAD_BYTES)
    folder = _resolve(repository, progress)
    progress.end()
    check(folder, repository, pinned())
    write_whole(place() / "verified", str(folder))


def pinned() -> dict[str, str]:
    """SHA-256 of each jar, by its name."""
    jars: dict[str, str] = tomllib.loads(LOCK.read_text(encoding="utf-8"))["jars"]
    return jars


def _resolve(repository: Path, progress: Progress) -> Path:
    try:
        from jgo import MAVEN_CENTRAL_URL, GlobalSettings
        from jgo.env import EnvironmentBuilder
        from jgo.maven import MavenContext, PythonResolver
        from requests import RequestException
    except ModuleNotFoundError as error:
        raise not_installed("jgo") from error
    addresses = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    resolver = PythonResolver(progress_callback=_counter(progress))
    context = MavenContext(resolver=resolver, repo_cache=repository, remote_repos=addresses, timeout=60)
    try:
        environment = EnvironmentBuilder(context=context, cache_dir=place()).from_endpoint(ENDPOINT)
    except (RequestException, RuntimeError, ValueError) as error:
        raise LocalServiceError(
            f"Kafka could not be fetched: {_short(error)}", f"{NETWORK}; or {USE_DOCKER}"
        ) from error
    return Path(str(environment.path))


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def _counter(progress: Progress) -> Callable[[str, int], object]:
    """What jgo calls for each file that it fetches: our progress counts bytes over all of them."""
    done = 0

    @contextmanager
    def counting(_file: str, _size: int) -> Iterator[Callable[[int], None]]:
        def count(more: int) -> None:
            nonlocal done
            done += more
            progress.advance(done)

        yield count

    return counting


def drop_damaged(repository: Path, expected: dict[str, str]) -> tuple[str, ...]:
    """Removes what a run that was killed left half-written, because jgo would take it for whole; returns the names."""
    damaged = [
        jar
        for jar in repository.rglob("*.jar")
        if jar.name in expected and digest(jar, "sha256").hex() != expected[jar.name]
    ]
    damaged += [file for suffix in ("pom", "xml") for file in repository.rglob(f"*.{suffix}") if not _reads(file)]
    for file in damaged:
        file.unlink()
    return tuple(sorted(file.name for file in damaged))


def _reads(file: Path) -> bool:
    try:
        xml.etree.ElementTree.parse(file)
    except xml.etree.ElementTree.ParseError:
        return False
    return True


def check(folder: Path, repository: Path, expected: dict[str, str]) -> None:
    """Compares every jar of the class path with its pin; what differs is removed and named."""
    found = {jar.name: digest(jar, "sha256").hex() for jar in sorted(folder.glob("*/*.jar"))}
    wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if not wrong:
        return
    for name in wrong:
        for jar in repository.rglob(name):
            jar.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    raise LocalServiceError(
        f"jars differ from {LOCK.name}: {', '.join(wrong)}", "they were removed; run this again to fetch them anew"
    )
