"""The state file: how every command finds the running system, and what survives a restart."""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.errors import LocalServiceError

DEFAULT_PORTS = {"kafka": 9092, "controller": 9093, "clickhouse": 8123}


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of a home; chosen once and kept, so that a restart finds the same clients."""

    kafka: int
    controller: int
    clickhouse: int


@dataclass(frozen=True, slots=True)
class LocalSystem:
    """Where a local system is reached."""

    home: Path
    ports: Ports
    password: str

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""
        return f"127.0.0.1:{self.ports.kafka}"

    @property
    def clickhouse(self) -> str:
        """HTTP address."""
        return f"http://127.0.0.1:{self.ports.clickhouse}"

    clickhouse_user = "tally"

    @property
    def clickhouse_password(self) -> str:
        """Drawn once per home; loopback only."""
        return self.password

    @property
    def database(self) -> str:
        """The database of the deployment."""
        return "tally"

    @property
    def control(self) -> Path:
        """The socket on which the supervisor listens. Short, because a socket's path may have 100 bytes at most."""
        return self.home / "supervisor.sock"


def read(home: Path) -> LocalSystem | None:
    """The system that a home describes; None for a home that was never used."""
    file = home / "state.json"
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    return LocalSystem(home, Ports(**kept["ports"]), kept["password"])


def create(home: Path, wanted: Ports | None = None) -> LocalSystem:
    """A new state with free ports (the usual ones where they are free), readable by its owner only."""
    home.mkdir(parents=True, exist_ok=True)
    ports = wanted or Ports(**{name: _free(port) for name, port in DEFAULT_PORTS.items()})
    system = LocalSystem(home, ports, secrets.token_urlsafe(18))
    file = home / "state.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"ports": asdict(ports), "password": system.password}, indent=1), encoding="utf-8")
    return system


def check_ports(system: LocalSystem) -> None:
    """Raises LocalServiceError for a port that somebody else holds."""
    for name, port in asdict(system.ports).items():
        if not is_free(port):
            raise LocalServiceError(
                f"port {port} ({name}) is taken by another program",
                f"end it (see: ss -ltnp 'sport = :{port}'), or choose other ports: tally up --kafka-port … ",
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


def _free(preferred: int) -> int:
    if is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
