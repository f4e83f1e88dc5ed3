"""Real Kafka and real ClickHouse on a machine that has only Python: `up`, `down`, `status`, `find`."""

from deploy.local.errors import LocalServiceError
from deploy.local.ports import Ports
from deploy.local.progress import Plain, Progress, Silent
from deploy.local.state import LocalSystem
from deploy.local.supervision import Program
from deploy.local.system import ServiceStatus, down, find, ports_asked, start_worker, status, stop_worker, up, wipe

__all__ = [
    "LocalServiceError",
    "LocalSystem",
    "Plain",
    "Ports",
    "Program",
    "Progress",
    "ServiceStatus",
    "Silent",
    "down",
    "find",
    "ports_asked",
    "start_worker",
    "status",
    "stop_worker",
    "up",
    "wipe",
]
