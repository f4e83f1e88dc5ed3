"""The state file: how every command finds the running system, and what survives a restart."""

from __future__ import annotations

import json
import secrets
import tempfile
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from deploy.local.errors import LocalServiceError
from deploy.local.places import write_whole
from deploy.local.ports import Ports

SOCKET_PATH_BYTES = 85  # of about 100 that systems allow; the supervisor appends to it while it starts


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
        """The socket on which the supervisor listens; elsewhere if the home's path is too long for a socket's."""
        here = self.home / "supervisor.sock"
        if len(str(here).encode()) <= SOCKET_PATH_BYTES:
            return here
        return Path(tempfile.gettempdir()) / f"tally-{sha256(str(self.home).encode()).hexdigest()[:16]}.sock"


def read(home: Path) -> LocalSystem | None:
    """The system that a home describes; None for a home that was never used. Raises LocalServiceError if unreadable."""
    file = home / "state.json"
    if not file.exists():
        return None
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return LocalSystem(home, Ports(**kept["ports"]), kept["password"])
    except (ValueError, KeyError, TypeError) as error:
        raise LocalServiceError(
            f"{file} is damaged: {error}", f"restore it, or start anew without what was stored: rm -r {home}"
        ) from error


def create(home: Path, ports: Ports) -> LocalSystem:
    """A new state, readable by its owner only."""
    system = LocalSystem(home, ports, secrets.token_urlsafe(18))
    _write(system)
    return system


def move(system: LocalSystem, ports: Ports) -> LocalSystem:
    """The same system on other ports."""
    moved = replace(system, ports=ports)
    _write(moved)
    return moved


def _write(system: LocalSystem) -> None:
    text = json.dumps({"ports": asdict(system.ports), "password": system.password}, indent=1)
    write_whole(system.home / "state.json", text, mode=0o600)
