"""Which loopback ports a home uses: chosen once, kept, and never those of another home, running or not."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import psutil

from deploy.local.errors import LocalServiceError
from deploy.local.places import cache, write_whole

FIRST = {"kafka": 9092, "controller": 9093, "clickhouse": 8123}
DYING_WITHIN_S = 3
STEP, STEPS = 10, 1000  # up to port 19092: below the ports that systems give to outgoing connections


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of a home; chosen once and kept, so that a restart finds the same clients."""

    kafka: int
    controller: int
    clickhouse: int


def choose(home: Path) -> Ports:
    """Ports that nobody holds and no other home has: the usual ones, else the next by tens."""
    claimed = _claimed(home)
    for step in range(0, STEP * STEPS, STEP):
        ports = Ports(**{name: first + step for name, first in FIRST.items()})
        if all(port not in claimed and is_free(port) for port in asdict(ports).values()):
            return ports
    raise LocalServiceError(
        "no three free ports were found", "choose them: tally up --kafka-port … --clickhouse-port …"
    )


def asked(current: Ports, *, kafka: int | None, clickhouse: int | None) -> Ports:
    """The current ports with those that were asked for; the controller's makes way. Raises LocalServiceError."""
    given = [port for port in (kafka, clickhouse) if port is not None]
    for port in given:
        if not 0 < port < 65_536:
            raise LocalServiceError(f"there is no port {port}", "choose one from 1024 to 65535")
    ports = replace(current, kafka=kafka or current.kafka, clickhouse=clickhouse or current.clickhouse)
    if ports.kafka == ports.clickhouse:
        raise LocalServiceError(f"Kafka and ClickHouse cannot both have port {ports.kafka}", "choose another for one")
    if ports.kafka != current.kafka or ports.controller in given:
        beside = (port for port in range(ports.kafka + 1, 65_536) if port != ports.clickhouse and is_free(port))
        ports = replace(ports, controller=next(beside, current.controller))
    return ports


def claim(home: Path) -> None:
    """Remembers that a home exists, so that others choose other ports even while it is down."""
    note = _note(home)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_whole(note, str(home))


def release(home: Path) -> None:
    """Forgets a home that was removed."""
    _note(home).unlink(missing_ok=True)


def _note(home: Path) -> Path:
    return cache() / "homes" / sha256(str(home).encode()).hexdigest()[:16]


def _claimed(home: Path) -> set[int]:
    found: set[int] = set()
    folder = cache() / "homes"
    for note in folder.iterdir() if folder.is_dir() else ():
        other = Path(note.read_text(encoding="utf-8"))
        if other != home:
            found |= _ports_of(other / "state.json")
    return found


def _ports_of(state: Path) -> set[int]:
    """The ports that a state file names; none if the home is gone or its state cannot be read: it is not ours."""
    try:
        return set(json.loads(state.read_text(encoding="utf-8"))["ports"].values())
    except (OSError, ValueError, KeyError):
        return set()


def check(ports: Ports) -> None:
    """Raises LocalServiceError for a port that somebody else holds; says who, where that can be known.

    A process that was just killed still holds its ports for a moment: that long is waited.
    """
    deadline = time.monotonic() + DYING_WITHIN_S
    for name, port in asdict(ports).items():
        while not is_free(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not is_free(port):
            raise LocalServiceError(
                f"port {port} ({name}) is taken by {_holder(port)}",
                "end that, or choose other ports: tally up --kafka-port … --clickhouse-port …",
            )


def is_free(port: int) -> bool:
    """Whether a loopback port can be bound now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        listening = [found for found in psutil.net_connections("tcp") if found.laddr and found.laddr.port == port]
        pid = next((found.pid for found in listening if found.pid and found.status == psutil.CONN_LISTEN), None)
        return "another program" if pid is None else f"{psutil.Process(pid).name()} (pid {pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return "another program"
