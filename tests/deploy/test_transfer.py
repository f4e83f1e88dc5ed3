"""Fetching a file: continued where it stopped, checked at the end; from a real server on this machine."""

from __future__ import annotations

import base64
import hashlib
import io
import resource
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import LocalServiceError, Silent, clickhouse_library, transfer
from deploy.local.clickhouse_library import library, unpack
from deploy.local.kafka_jars import check, drop_damaged
from deploy.local.transfer import TransferFailed, download, verify

CONTENT = bytes(range(256)) * 12_000  # about three chunks
ROOT = Path(__file__).parents[2]


class Server:
    """Serves CONTENT, and may hang up after some bytes of an answer, or not know of ranges."""

    def __init__(self, *, hang_up_after: int | None = None, times: int = 0, ranges: bool = True) -> None:
        self.asked: list[str | None] = []
        self._hang_up_after, self._times, self._ranges = hang_up_after, times, ranges
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                """Not into the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/file.tgz"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if request.path != "/file.tgz":
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self._ranges else 0
        if start >= len(CONTENT):
            request.send_error(416)
            return
        body = CONTENT[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self._times:
            self._times -= 1
            body = body[: self._hang_up_after]
        request.wfile.write(body)

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSE_S", 0)


def fetch(address: str, target: Path) -> bytes:
    download(address, target, Silent(), what="the file", size=len(CONTENT))
    return target.read_bytes()


def test_a_file_arrives_whole_and_leaves_no_part(tmp_path: Path) -> None:
    with Server().running() as server:
        assert fetch(server.address, tmp_path / "file.tgz") == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.tgz"]


def test_a_connection_that_ends_early_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    with Server(hang_up_after=1_000_000, times=2).running() as server:
        assert fetch(server.address, tmp_path / "file.tgz") == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_run_that_was_interrupted_is_continued_by_the_next(tmp_path: Path) -> None:
    with Server(hang_up_after=500_000, times=transfer.ATTEMPTS).running() as server:
        with pytest.raises(TransferFailed, match="ended after 2,000,000 of 3,072,000 bytes"):
            fetch(server.address, tmp_path / "file.tgz")
        assert not (tmp_path / "file.tgz").exists()
        assert fetch(server.address, tmp_path / "file.tgz") == CONTENT
    assert server.asked[-1] == "bytes=2000000-"


def test_a_part_that_is_already_the_whole_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file.tgz.partial").write_bytes(CONTENT)
    with Server().running() as server:
        assert fetch(server.address, tmp_path / "file.tgz") == CONTENT


def test_a_server_without_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    (tmp_path / "file.tgz.partial").write_bytes(b"something old")
    with Server(ranges=False).running() as server:
        assert fetch(server.address, tmp_path / "file.tgz") == CONTENT


def test_what_is_not_there_is_asked_for_once(tmp_path: Path) -> None:
    with Server().running() as server:
        with pytest.raises(TransferFailed, match="404"):
            fetch(server.address.replace("file", "other"), tmp_path / "file.tgz")
        assert len(server.asked) == 1


def test_without_a_network_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(TransferFailed, match="refused"):
        fetch("http://127.0.0.1:1/file.tgz", tmp_path / "file.tgz")
    assert list(tmp_path.iterdir()) == []


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def test_a_file_with_the_pinned_digest_stays(tmp_path: Path) -> None:
    (tmp_path / "file.tgz").write_bytes(CONTENT)
    verify(tmp_path / "file.tgz", integrity(CONTENT))
    assert (tmp_path / "file.tgz").exists()


def test_a_file_with_another_digest_is_named_and_removed_so_that_the_next_run_fetches_it(tmp_path: Path) -> None:
    (tmp_path / "file.tgz").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(LocalServiceError, match=r"file\.tgz is damaged: its sha512 .*\n.*run this again"):
        verify(tmp_path / "file.tgz", integrity(CONTENT))
    assert not (tmp_path / "file.tgz").exists()


def test_a_full_disk_is_not_taken_for_the_network(tmp_path: Path) -> None:
    code = f"""
import sys, resource
from pathlib import Path
from deploy.local import Silent
from deploy.local.errors import LocalServiceError, disk_told
from deploy.local.transfer import download
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, {resource.RLIM_INFINITY}))
try:
    with disk_told(Path({str(tmp_path)!r})):
        download(sys.argv[1], Path({str(tmp_path)!r}) / "file.tgz", Silent(), what="the file", size=1)
except LocalServiceError as error:
    print(error)
"""
    with Server().running() as server:
        done = subprocess.run(
            [sys.executable, "-c", code, server.address], capture_output=True, text=True, check=True, cwd=ROOT
        )
    assert done.stdout.startswith(f"disk full: {tmp_path} could not be written (File too large)\n  make room")


def test_the_library_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    package, target = tmp_path / "package.tgz", tmp_path / "here" / "libchdb.so"
    with tarfile.open(package, "w:gz") as archive:
        member = tarfile.TarInfo("package/libchdb.so")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    damaged = tmp_path / "damaged.tgz"
    damaged.write_bytes(package.read_bytes()[: package.stat().st_size // 2])
    with pytest.raises(EOFError):
        unpack(damaged, target)
    assert not target.exists()
    unpack(package, target)
    assert target.read_bytes() == CONTENT


def test_an_unknown_platform_is_told_to_use_docker() -> None:
    assert library("Linux", "x86_64").tried
    assert not library("Darwin", "arm64").tried
    with pytest.raises(LocalServiceError, match=r"no ClickHouse package for SunOS on sparc\n.*docker compose up"):
        library("SunOS", "sparc")


def test_every_platform_that_was_tried_has_a_pinned_digest() -> None:
    pins = clickhouse_library.LOCK.read_text(encoding="utf-8")
    for found in clickhouse_library.LIBRARIES.values():
        assert not found.tried or f'"{found.package}" = "sha512-' in pins


PINS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one.jar", "two.jar")}


def jar(folder: Path, name: str, content: bytes | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(name.encode() if content is None else content)
    return file


def test_jars_and_their_descriptions_that_a_killed_run_left_half_written_are_fetched_anew(tmp_path: Path) -> None:
    whole, half = jar(tmp_path / "a", "one.jar"), jar(tmp_path / "b", "two.jar", b"tw")
    read, torn = jar(tmp_path / "a", "one.pom", b"<project/>"), jar(tmp_path / "b", "two.pom", b"<proj")
    assert drop_damaged(tmp_path, PINS) == ("two.jar", "two.pom")
    assert (whole.exists(), half.exists(), read.exists(), torn.exists()) == (True, False, True, False)


def test_a_class_path_with_exactly_the_pinned_jars_passes(tmp_path: Path) -> None:
    for name in PINS:
        jar(tmp_path / "class-path" / "jars", name)
    check(tmp_path / "class-path", tmp_path / "repository", PINS)


@pytest.mark.parametrize(("name", "content"), [("two.jar", b"other"), ("three.jar", None)], ids=["changed", "unknown"])
def test_a_jar_that_is_not_the_pinned_one_is_named_and_removed_everywhere(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    for pinned in PINS:
        jar(tmp_path / "class-path" / "jars", pinned)
    jar(tmp_path / "class-path" / "modules", name, content)
    if name in PINS:
        (tmp_path / "class-path" / "jars" / name).unlink()
    kept = jar(tmp_path / "repository", name, content)
    with pytest.raises(LocalServiceError, match=rf"jars differ from servers\.lock\.toml: {name}\n.*run this again"):
        check(tmp_path / "class-path", tmp_path / "repository", PINS)
    assert not kept.exists()
    assert not (tmp_path / "class-path").exists()
