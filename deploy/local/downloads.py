"""The servers, fetched once into the cache by the clients of their registries: pinned, checked, resumable."""

from __future__ import annotations

import platform
import shutil

from deploy.local import clickhouse_library, kafka_jars
from deploy.local.clickhouse_library import library
from deploy.local.errors import disk_full, disk_told
from deploy.local.places import cache, exclusive
from deploy.local.progress import Progress

ANOTHER_FETCHES_WITHIN_S = 3600
MARGIN_BYTES = 200_000_000


def missing() -> dict[str, int]:
    """What has to be fetched, with its size in bytes; empty if everything is there."""
    wanted = {}
    if not kafka_jars.is_here():
        wanted[kafka_jars.NAME] = kafka_jars.DOWNLOAD_BYTES
    if not clickhouse_library.is_here():
        wanted[clickhouse_library.NAME] = library().packed_bytes
    return wanted


def fetch(progress: Progress) -> None:
    """Fetches what is missing, after saying how much that is. Running it again resumes. Raises LocalServiceError."""
    if not missing():
        return

    def waiting() -> None:
        progress.say(f"Another tally is fetching into {cache()}; waiting for it.")

    with disk_told(cache()), exclusive(cache() / "lock", waiting=waiting, within_s=ANOTHER_FETCHES_WITHIN_S):
        _fetch(progress)


def _fetch(progress: Progress) -> None:
    wanted = missing()  # asked again: another may have fetched it while we waited
    if not wanted:
        return
    parts = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in wanted.items())
    progress.say(f"To fetch once: {parts}; {sum(wanted.values()) / 1e6:.0f} MB in all, into {cache()}")
    if not library().tried or _other_libc():
        progress.say(f"Untested platform: {platform.platform()}. Trying; if it fails: docker compose up")
    _check_space(sum(wanted.values()) + (0 if clickhouse_library.is_here() else library().unpacked_bytes))
    if kafka_jars.NAME in wanted:
        kafka_jars.fetch(progress)
    if clickhouse_library.NAME in wanted:
        clickhouse_library.fetch(progress)


def _other_libc() -> bool:
    """Whether this Linux has another C library than the one that the package was built for."""
    return platform.system() == "Linux" and platform.libc_ver()[0] != "glibc"


def _check_space(needed: int) -> None:
    free = shutil.disk_usage(cache()).free
    if free < needed + MARGIN_BYTES:
        raise disk_full(f"{needed / 1e6:.0f} MB are needed under {cache()}, {free / 1e6:.0f} MB are free")
