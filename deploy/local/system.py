"""The local system as a whole: up, down, status, and how a command finds it."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import psutil

from deploy.local import configs, downloads, state, supervision
from deploy.local import ports as local_ports
from deploy.local.errors import LocalServiceError, disk_full, disk_told
from deploy.local.places import cache, default_home, exclusive
from deploy.local.ports import Ports
from deploy.local.progress import Progress
from deploy.local.state import LocalSystem
from deploy.local.supervision import Program

READY_WITHIN_S = 60
ANOTHER_WORKS_WITHIN_S = 180
HOME_NEEDS_BYTES = 100_000_000  # to start at all: empty logs, the tables of the system, a few segments
SERVERS = ("kafka", "clickhouse")
CODE = {"PYTHONPATH": str(Path(__file__).parents[2])}  # where this package is: the supervisor works in another folder


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What one process of the local system is doing. `state` is running, starting, stopped or failed."""

    name: str
    state: str
    pid: int | None
    since: datetime | None
    resident_bytes: int
    detail: str


def find(home: Path | None = None) -> LocalSystem | None:
    """The system whose state file lies in `home` (default: the usual place); None if it was never started."""
    return state.read(_place(home))


def _place(home: Path | None) -> Path:
    return (home or default_home()).absolute()  # our processes run elsewhere


Workers = Callable[[LocalSystem], Sequence[Program]]
"""The programs to run beside the servers, once it is known where those are."""


def _none(_system: LocalSystem) -> Sequence[Program]:
    return ()


def up(
    progress: Progress, *, home: Path | None = None, ports: Ports | None = None, workers: Workers = _none
) -> LocalSystem:
    """Fetches and starts Kafka and ClickHouse, waits until both answer, then starts the workers for this system.

    Running it again changes nothing that runs. Raises LocalServiceError with what helps.
    """
    place = _place(home)
    downloads.fetch(progress)

    def waiting() -> None:
        progress.say(f"Another tally is starting or stopping what runs in {place}; waiting for it.")

    with disk_told(place), exclusive(place / "lock", waiting=waiting, within_s=ANOTHER_WORKS_WITHIN_S):
        return _up(place, ports, workers)


def ports_asked(home: Path | None, *, kafka: int | None, clickhouse: int | None) -> Ports | None:
    """The ports for `up` when some were asked for: the others stay as they are; None if none was asked for."""
    if kafka is None and clickhouse is None:
        return None
    system = find(home)
    current = local_ports.choose(_place(home)) if system is None else system.ports
    return local_ports.asked(current, kafka=kafka, clickhouse=clickhouse)


def _up(place: Path, ports: Ports | None, workers_of: Workers) -> LocalSystem:
    system = _settled(place, ports)
    workers = workers_of(system)
    running = supervision.connect(system)
    if running is None:
        supervision.end_leftovers(place)
        local_ports.check(system.ports)
        _check_space(place)
        running = supervision.start(system, (*_servers(system), *workers))
    else:
        _add(running, system, (*_servers(system), *workers))
    for name in SERVERS:
        _start(running, name)
    _wait_ready(running, system)
    for worker in workers:
        _start(running, worker.name)
    return system


def _settled(place: Path, ports: Ports | None) -> LocalSystem:
    """The system of a home: as it is, on other ports if some were asked for, or new."""
    system = state.read(place)
    if system is None:
        # One at a time: two that start together must not choose the same ports.
        with exclusive(cache() / "ports.lock", waiting=lambda: None, within_s=10):
            system = state.create(place, ports or local_ports.choose(place))
            local_ports.claim(place)
    elif ports is not None and ports != system.ports:
        if supervision.connect(system) is not None:
            raise LocalServiceError(f"it runs already, on {system.kafka} and {system.clickhouse}", "first: tally down")
        system = state.move(system, ports)
    return system


def _check_space(place: Path) -> None:
    free = shutil.disk_usage(place).free
    if free < HOME_NEEDS_BYTES:
        raise disk_full(
            f"{free / 1e6:.0f} MB are free for {place}, {HOME_NEEDS_BYTES / 1e6:.0f} MB are needed to start"
        )


def down(home: Path | None = None) -> bool:
    """Stops workers, then servers, cleanly; what is stored is kept. False if nothing ran."""
    system = find(home)
    if system is None:
        return False
    with exclusive(system.home / "lock", waiting=lambda: None, within_s=ANOTHER_WORKS_WITHIN_S):
        return _down(system)


def _down(system: LocalSystem) -> bool:
    running = supervision.connect(system)
    if running is None:
        return supervision.end_leftovers(system.home) > 0
    pid = int(running.getPID())
    names = [info["name"] for info in running.getAllProcessInfo()]
    for name in (*(name for name in names if name not in SERVERS), *SERVERS):
        _stop(running, name)
    running.shutdown()
    with suppress(psutil.NoSuchProcess):
        psutil.wait_procs([psutil.Process(pid)], timeout=15)
    return True


def wipe(home: Path | None = None) -> Path | None:
    """Stops the system and removes everything that it stored. Returns the folder that is gone."""
    system = find(home)
    if system is None:
        return None
    down(system.home)
    shutil.rmtree(system.home)
    local_ports.release(system.home)
    return system.home


def status(home: Path | None = None) -> tuple[ServiceStatus, ...]:
    """What runs, process by process; empty for a home that was never used."""
    system = find(home)
    if system is None:
        return ()
    running = supervision.connect(system)
    if running is None:
        return tuple(ServiceStatus(name, "stopped", None, None, 0, "the supervisor is not running") for name in SERVERS)
    return tuple(_status(info) for info in running.getAllProcessInfo())


def stop_worker(name: str, home: Path | None = None) -> None:
    """Stops one process."""
    _stop(_connected(home), name)


def start_worker(name: str, home: Path | None = None) -> None:
    """Starts one process that was stopped."""
    _start(_connected(home), name)


def _connected(home: Path | None) -> Any:
    system = find(home)
    running = None if system is None else supervision.connect(system)
    if running is None:
        raise LocalServiceError("the local system is not running", "start it: tally up")
    return running


def _servers(system: LocalSystem) -> tuple[Program, Program]:
    home = system.home
    kafka_config = configs.write_kafka(home, system.ports)
    clickhouse_config = configs.write_clickhouse(home, system.ports, system.password)
    if not (home / "kafka" / "meta.properties").exists():
        _format_kafka(home, kafka_config)
    return (
        Program("kafka", configs.kafka_command(home, "kafka.Kafka", str(kafka_config)), {}, stop_s=20),
        Program("clickhouse", configs.clickhouse_command(clickhouse_config), CODE, stop_s=12),
    )


def _format_kafka(home: Path, config: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(config), "--ignore-formatted")
    done = subprocess.run(configs.kafka_command(home, *tool), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalServiceError(f"Kafka could not lay out {home / 'kafka'}: {done.stderr.strip()[-500:]}", "see above")


def _add(running: Any, system: LocalSystem, programs: Sequence[Program]) -> None:
    supervision.write(system, programs)
    added, changed, _removed = running.reloadConfig()[0]
    # Another version of a worker replaces the one that runs; servers stay until they are stopped.
    replaced = [name for name in changed if name not in SERVERS]
    for name in replaced:
        _stop(running, name)
        running.removeProcessGroup(name)
    for name in (*added, *replaced):
        running.addProcessGroup(name)


def _start(running: Any, name: str) -> None:
    try:
        running.startProcess(name, False)
    except Fault as fault:
        if "ALREADY_STARTED" not in fault.faultString:
            raise LocalServiceError(f"{name} could not be started: {fault.faultString}", "see its log") from fault


def _stop(running: Any, name: str) -> None:
    try:
        running.stopProcess(name)
    except Fault as fault:
        if "NOT_RUNNING" not in fault.faultString and "BAD_NAME" not in fault.faultString:
            raise LocalServiceError(f"{name} could not be stopped: {fault.faultString}", "see its log") from fault


def _wait_ready(running: Any, system: LocalSystem) -> None:
    waiting = {"kafka": _kafka_answers, "clickhouse": _clickhouse_answers}
    deadline = time.monotonic() + READY_WITHIN_S
    while waiting:
        waiting = {name: answers for name, answers in waiting.items() if not answers(system)}
        for name in waiting:
            if running.getProcessInfo(name)["statename"] == "FATAL":
                raise LocalServiceError(f"{name} does not stay up", _tail(system, name))
        if waiting and time.monotonic() > deadline:
            name = next(iter(waiting))
            raise LocalServiceError(f"{name} does not answer within {READY_WITHIN_S} s", _tail(system, name))
        time.sleep(0.1)


def _tail(system: LocalSystem, name: str) -> str:
    log = system.home / "logs" / f"{name}.log"
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
    return "\n  ".join((f"the end of {log}:", *last))


def _kafka_answers(system: LocalSystem) -> bool:
    """Whether the broker answers a request of its own protocol (ApiVersions), not just a connection."""
    import socket
    import struct

    body = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", system.ports.kafka), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            return len(connection.recv(8)) == 8
    except OSError:
        return False


def _clickhouse_answers(system: LocalSystem) -> bool:
    request = urllib.request.Request(
        f"{system.clickhouse}/?query=SELECT+1",
        headers={"X-ClickHouse-User": system.clickhouse_user, "X-ClickHouse-Key": system.password},
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.read() == b"1\n")
    except (urllib.error.URLError, OSError):
        return False


_STATES = {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "starting", "STOPPING": "running",
           "FATAL": "failed", "EXITED": "failed", "STOPPED": "stopped", "UNKNOWN": "failed"}  # fmt: skip


def _status(info: dict[str, Any]) -> ServiceStatus:
    pid = info["pid"] or None
    since = datetime.fromtimestamp(info["start"], UTC) if pid else None
    return ServiceStatus(info["name"], _STATES[info["statename"]], pid, since, _resident(pid), info["description"])


def _resident(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        process = psutil.Process(pid)
        return sum(member.memory_info().rss for member in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0
