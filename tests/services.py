"""Real Kafka and real ClickHouse for the tests: containers where a Docker engine answers, local servers otherwise.

`TALLY_TEST_SERVICES=auto|containers|local` chooses. Both kinds keep their ports over a restart, so that a story may
stop a server under a running worker and start it again.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

from deploy.local import Ports, Silent, find, start_worker, stop_worker, up, wipe
from deploy.local import status as local_status

KAFKA_IMAGE = "apache/kafka:4.1.0"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.7.3.19"
PROFILE = Path(__file__).parents[1] / "deploy" / "clickhouse" / "profile.xml"
READY_WITHIN_S = 60
MEMORY_BYTES = 6 * 1024**3
Server = Literal["kafka", "clickhouse"]


class Services(Protocol):
    """Where the servers are, and how to take one away."""

    home: Path
    """The folder of the local system; of nothing where there is none."""

    def addresses(self) -> Mapping[str, str]:
        """The settings that lead to the servers."""

    def stop(self, server: Server) -> None:
        """Stops one server; what it stored is kept."""

    def start(self, server: Server) -> None:
        """Starts it again; returns once it answers."""

    def kill(self, server: Server) -> None:
        """SIGKILL; it is started again at once. Returns once it answers."""

    def await_ready(self) -> None:
        """Returns once both answer."""

    def end(self) -> None:
        """Stops both and removes everything that they stored."""


def start_services() -> Services:
    """Starts what `TALLY_TEST_SERVICES` names. Raises ValueError for another word."""
    kind = os.environ.get("TALLY_TEST_SERVICES", "auto")
    if kind not in ("auto", "containers", "local"):
        raise ValueError(f"TALLY_TEST_SERVICES={kind}: auto, containers or local")
    if kind == "containers" or (kind == "auto" and engine_answers()):
        return ContainerServices()
    return LocalServices()


def engine_answers() -> bool:
    """Whether a Docker engine can be asked to run something, wherever testcontainers would look for it."""
    ask = "from testcontainers.core.docker_client import DockerClient; DockerClient().client.ping()"
    # In a process of its own: the client does not close what it could not connect.
    asked = subprocess.run([sys.executable, "-W", "ignore", "-c", ask], capture_output=True, timeout=30, check=False)
    return asked.returncode == 0


def free_port() -> int:
    """A loopback port that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fast_folder() -> Path:
    """Memory, where there is plenty of it: the servers still sync every write, but nobody waits for a disk.

    A server that is killed keeps what it wrote there as on a disk. Only a machine that dies would not, and no story
    kills the machine.
    """
    memory = Path("/dev/shm")
    try:
        roomy = min(psutil.disk_usage(str(memory)).free, psutil.virtual_memory().available) > MEMORY_BYTES
    except OSError:
        roomy = False
    return memory if roomy and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


class LocalServices:
    """The servers of `tally up`, in a home of this test session; leftovers of dead sessions are ended first."""

    def __init__(self) -> None:
        sessions = _fast_folder() / f"tally-tests-{os.getuid()}"
        sessions.mkdir(mode=0o700, exist_ok=True)
        for left in sessions.iterdir():
            if not _is_running(left.name):
                wipe(left)
        self.home = sessions / _session()
        ports = Ports(kafka=free_port(), controller=free_port(), clickhouse=free_port())
        up(Silent(), home=self.home, ports=ports)

    def addresses(self) -> Mapping[str, str]:
        """The settings that lead to the servers."""
        system = find(self.home)
        assert system is not None, f"{self.home} has no state"
        return {
            "kafka": system.kafka,
            "clickhouse": system.clickhouse,
            "clickhouse_user": system.clickhouse_user,
            "clickhouse_password": system.clickhouse_password,
        }

    def stop(self, server: Server) -> None:
        """Stops one server; what it stored is kept."""
        stop_worker(server, self.home)

    def start(self, server: Server) -> None:
        """Starts it again; returns once it answers."""
        start_worker(server, self.home)
        up(Silent(), home=self.home)

    def kill(self, server: Server) -> None:
        """SIGKILL; the supervisor starts it again. Returns once it answers."""
        for status in local_status(self.home):
            if status.name == server and status.pid:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(status.pid).kill()
        self.await_ready()

    def await_ready(self) -> None:
        """Returns once both answer."""
        up(Silent(), home=self.home)

    def end(self) -> None:
        """Stops both and removes everything that they stored."""
        wipe(self.home)


class ContainerServices:
    """The official images, on loopback ports that stay the same over a restart."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="tally-tests-"))
        self._password = secrets.token_urlsafe(18)
        self._ports: dict[Server, int] = {"kafka": free_port(), "clickhouse": free_port()}
        self._containers: dict[Server, Any] = {"kafka": self._kafka(), "clickhouse": self._clickhouse()}
        try:
            for container in self._containers.values():
                container.start()
            for server in self._containers:
                self._wait_ready(server)
        except BaseException:
            self.end()
            raise

    def _kafka(self) -> Any:
        from testcontainers.core.container import DockerContainer

        port = self._ports["kafka"]
        settings = {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_MESSAGE_MAX_BYTES": "4194304",
        }
        container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
        for name, value in settings.items():
            container = container.with_env(name, value)
        return container

    def _clickhouse(self) -> Any:
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(CLICKHOUSE_IMAGE).with_bind_ports(8123, self._ports["clickhouse"])
        container = container.with_volume_mapping(str(PROFILE), "/etc/clickhouse-server/users.d/tally-profile.xml")
        return container.with_env("CLICKHOUSE_USER", "tally").with_env("CLICKHOUSE_PASSWORD", self._password)

    def _wait_ready(self, server: Server) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._answers(server):
            if time.monotonic() > deadline:
                out, err = self._containers[server].get_logs()
                said = (out + err).decode(errors="replace")[-2000:]
                raise TimeoutError(f"{server} does not answer within {READY_WITHIN_S} s: {said}")
            time.sleep(0.2)

    def _answers(self, server: Server) -> bool:
        """Whether a server answers its own protocol: an engine accepts connections before the server does."""
        request = b"\0\0\0\n\0\x12\0\0\0\0\0\1\xff\xff" if server == "kafka" else b"GET /ping HTTP/1.0\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self._ports[server]), timeout=1) as connection:
                connection.sendall(request)
                return len(connection.recv(8)) == 8
        except OSError:
            return False

    def addresses(self) -> Mapping[str, str]:
        """The settings that lead to the servers."""
        return {
            "kafka": f"127.0.0.1:{self._ports['kafka']}",
            "clickhouse": f"http://127.0.0.1:{self._ports['clickhouse']}",
            "clickhouse_user": "tally",
            "clickhouse_password": self._password,
        }

    def stop(self, server: Server) -> None:
        """Stops one server; what it stored is kept."""
        self._containers[server].get_wrapped_container().stop()

    def start(self, server: Server) -> None:
        """Starts it again; returns once it answers."""
        self._containers[server].get_wrapped_container().start()
        self._wait_ready(server)

    def kill(self, server: Server) -> None:
        """SIGKILL, and a start. Returns once it answers."""
        self._containers[server].get_wrapped_container().kill()
        self.start(server)

    def await_ready(self) -> None:
        """Returns once both answer."""
        for server in self._containers:
            self._wait_ready(server)

    def end(self) -> None:
        """Stops both and removes everything that they stored."""
        for container in self._containers.values():
            container.stop()
        self.home.rmdir()


def _session() -> str:
    """A name for this process that a later one with the same number does not have."""
    return f"{os.getpid()}-{int(psutil.Process().create_time())}"


def _is_running(session: str) -> bool:
    pid, _, began = session.partition("-")
    try:
        return int(psutil.Process(int(pid)).create_time()) == int(began)
    except (psutil.NoSuchProcess, ValueError):
        return False
