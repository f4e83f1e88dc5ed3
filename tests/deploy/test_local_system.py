"""Kafka and ClickHouse on this machine: they start, stop cleanly, keep what they stored, and survive `kill -9`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import LocalServiceError, LocalSystem, Ports, Silent, down, find, status, up, wipe
from deploy.local.supervision import MARK

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(
        os.environ.get("TALLY_TEST_SERVICES") == "containers", reason="the local servers are not wanted here"
    ),
]
ROOT = Path(__file__).parents[2]
WITHIN_S = 90


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of this module, with one record in Kafka and one row in ClickHouse."""
    place = tmp_path_factory.mktemp("home")
    system = up(Silent(), home=place)
    try:
        asyncio.run(put(system))
        ask(system, "CREATE TABLE kept (number UInt8) ENGINE = MergeTree ORDER BY number")
        ask(system, "INSERT INTO kept VALUES (7)")
        yield place
    finally:
        wipe(place)


def ask(system: LocalSystem, query: str) -> str:
    request = urllib.request.Request(
        system.clickhouse,
        data=query.encode(),
        headers={"X-ClickHouse-User": system.clickhouse_user, "X-ClickHouse-Key": system.password},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode()).strip()


async def put(system: LocalSystem) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=system.kafka, acks="all") as producer:
        await producer.send_and_wait("kept", b"seven")


async def first_record(system: LocalSystem) -> bytes | None:
    consumer = AIOKafkaConsumer("kept", bootstrap_servers=system.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), WITHIN_S)
        return bytes(record.value) if record.value is not None else None
    finally:
        await consumer.stop()


def assert_all_kept(home: Path) -> None:
    """Both servers answer, with what was stored before."""
    system = up(Silent(), home=home)
    assert asyncio.run(first_record(system)) == b"seven"
    assert ask(system, "SELECT number FROM kept") == "7"


def pid_of(name: str, home: Path) -> int:
    """The process of a service that runs."""
    until(lambda: any(service.name == name and service.pid for service in status(home)))
    return next(service.pid for service in status(home) if service.name == name and service.pid)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def processes_of(home: Path) -> list[int]:
    """Every process that a supervisor of this home ever started and that is still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # gone, or somebody else's
    return found


def tally(*arguments: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agents.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TALLY_HOME": str(home), **environment},
    )


def test_up_starts_what_answers_and_up_again_changes_nothing_that_runs(home: Path) -> None:
    before = {service.name: service.pid for service in status(home)}
    assert set(before) == {"kafka", "clickhouse"}
    assert_all_kept(home)
    assert {service.name: service.pid for service in status(home)} == before
    assert all(service.state == "running" and service.resident_bytes > 50_000_000 for service in status(home))
    said = "".join(file.read_text(errors="replace") for file in (home / "logs").glob("clickhouse.log*"))
    assert "<Debug>" not in said, "a server that traces every query spends a quarter of its time on it"


def test_stop_and_start_keep_everything_and_leave_no_process(home: Path) -> None:
    assert down(home)
    assert processes_of(home) == []
    assert {service.state for service in status(home)} == {"stopped"}
    assert not down(home)
    assert_all_kept(home)


@pytest.mark.parametrize("name", ["kafka", "clickhouse"])
def test_a_server_killed_with_sigkill_comes_back_with_what_it_stored(home: Path, name: str) -> None:
    killed = pid_of(name, home)
    os.kill(killed, signal.SIGKILL)
    until(lambda: pid_of(name, home) != killed)
    assert_all_kept(home)


def test_the_process_inside_clickhouse_killed_with_sigkill_comes_back(home: Path) -> None:
    outer = pid_of("clickhouse", home)
    (inner,) = psutil.Process(outer).children()
    inner.kill()
    until(lambda: pid_of("clickhouse", home) != outer)
    assert_all_kept(home)


def test_a_supervisor_killed_with_sigkill_is_replaced_and_nothing_runs_twice(home: Path) -> None:
    system = find(home)
    assert system is not None
    os.kill(int((home / "supervisor.pid").read_text()), signal.SIGKILL)
    until(lambda: {service.state for service in status(home)} == {"stopped"})
    assert_all_kept(home)
    commands = [" ".join(psutil.Process(pid).cmdline()) for pid in processes_of(home)]
    assert sum("kafka.Kafka" in command for command in commands) == 1
    assert sum("--serve" in command for command in commands) == 1


def test_everything_killed_with_sigkill_at_once_starts_again_with_what_was_stored(home: Path) -> None:
    for pid in processes_of(home):
        os.kill(pid, signal.SIGKILL)
    assert_all_kept(home)


def test_down_ends_what_a_killed_supervisor_left(home: Path) -> None:
    os.kill(int((home / "supervisor.pid").read_text()), signal.SIGKILL)
    assert down(home)
    assert processes_of(home) == []
    assert_all_kept(home)


def test_a_running_system_does_not_move_and_a_stopped_one_does(home: Path) -> None:
    system = find(home)
    assert system is not None
    elsewhere = Ports(*(port + 2000 for port in asdict(system.ports).values()))
    with pytest.raises(LocalServiceError, match=r"runs already, on 127\.0\.0\.1:.*\n.*first: tally down"):
        up(Silent(), home=home, ports=elsewhere)
    down(home)
    assert up(Silent(), home=home, ports=elsewhere).ports == elsewhere
    assert_all_kept(home)


def test_a_taken_port_is_named_before_anything_starts(home: Path) -> None:
    system = find(home)
    assert system is not None
    down(home)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", system.ports.clickhouse))
        other.listen()
        refused = tally("up", home=home)
        said, _ = refused.communicate(timeout=WITHIN_S)
    assert refused.returncode == 3
    assert f"port {system.ports.clickhouse} (clickhouse) is taken by" in said
    assert "--clickhouse-port" in said
    assert processes_of(home) == []
    assert_all_kept(home)


def test_two_commands_for_one_home_at_the_same_time_start_it_once(home: Path) -> None:
    down(home)
    both = [tally("up", home=home) for _ in range(2)]
    said = [one.communicate(timeout=2 * WITHIN_S)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert any("Another tally is starting or stopping" in one for one in said)
    assert_all_kept(home)


def test_two_new_homes_started_at_the_same_time_have_ports_of_their_own(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    try:
        both = [tally("up", home=place) for place in homes]
        said = [one.communicate(timeout=2 * WITHIN_S)[0] for one in both]
        assert [one.returncode for one in both] == [0, 0], said
        found = [find(place) for place in homes]
        assert len({port for system in found if system for port in asdict(system.ports).values()}) == 6
        assert [ask(system, "SELECT 1") for system in found if system] == ["1", "1"]
    finally:
        for place in homes:
            wipe(place)


SMALL_DISK = "mount -t tmpfs -o size=2m none {disk} && exec {python} -m agents.cli up"


def on_a_small_disk(disk: Path, **environment: str) -> tuple[int, str]:
    """`tally up` where a folder is a file system of 2 MB, in a mount namespace of its own."""
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL_DISK.format(disk=disk, python=sys.executable)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this machine lets nobody mount a small disk")
    return done.returncode, done.stderr + done.stdout


def test_a_disk_too_small_for_the_downloads_is_named_before_anything_is_fetched(tmp_path: Path) -> None:
    code, said = on_a_small_disk(tmp_path / "disk", XDG_CACHE_HOME=str(tmp_path / "disk"), TALLY_HOME=str(tmp_path))
    assert code == 3
    assert "To fetch once: Kafka" in said
    assert "disk full: " in said
    assert "2 MB are free" in said
    assert "make room" in said


def test_a_disk_too_small_for_what_is_stored_is_named_before_anything_starts(home: Path, tmp_path: Path) -> None:
    code, said = on_a_small_disk(tmp_path / "disk", TALLY_HOME=str(tmp_path / "disk"))
    assert code == 3
    assert "disk full: 2 MB are free" in said
    assert processes_of(tmp_path / "disk") == []


def test_a_home_that_may_not_be_written_is_named_with_other_folders(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused = tally("up", home=Path("/proc/tally"))
    said, _ = refused.communicate(timeout=WITHIN_S)
    assert refused.returncode != 0
    assert "/proc/tally" in said
    assert "Traceback" not in said


def test_without_a_network_the_message_says_what_to_check(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    refused = tally(
        "up",
        home=tmp_path / "home",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        HTTP_PROXY=nowhere,
        HTTPS_PROXY=nowhere,
        http_proxy=nowhere,
        https_proxy=nowhere,
        NO_PROXY="",
    )
    said, _ = refused.communicate(timeout=WITHIN_S)
    assert refused.returncode == 3
    assert "MB in all" in said
    assert "Kafka could not be fetched" in said
    assert "check the network" in said
    assert "Traceback" not in said
