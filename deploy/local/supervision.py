"""The supervisor that keeps the servers and our workers running: supervisord, driven over its own socket.

It restarts what died, also by SIGKILL, with back-off, and gives up after several deaths in a row (`FATAL`, with the
reason in `status`). If the supervisor itself is killed, the next `up` ends what it left behind and starts again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil

from deploy.local.errors import LocalServiceError
from deploy.local.state import LocalSystem

MARK = "TALLY_SUPERVISED_HOME"


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep running: its command, environment, and how long it may take to stop."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_s: int = 12


def write(system: LocalSystem, programs: Sequence[Program]) -> Path:
    """Writes the supervisor's configuration."""
    logs = system.home / "logs"
    logs.mkdir(exist_ok=True)
    sections = [
        "[unix_http_server]",
        f"file={system.control}",
        "[supervisord]",
        f"directory={system.home}",
        f"logfile={logs / 'supervisor.log'}",
        f"pidfile={system.home / 'supervisor.pid'}",
        "logfile_maxbytes=5MB",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for order, program in enumerate(programs):
        environment = {**program.environment, MARK: str(system.home)}
        sections += [
            f"[program:{program.name}]",
            f"command={' '.join(_quoted(word) for word in program.command)}",
            "environment=" + ",".join(f"{name}={_quoted(value)}" for name, value in sorted(environment.items())),
            f"priority={order}",
            "autostart=false",
            "autorestart=true",
            "startsecs=1",
            "startretries=8",
            "stopasgroup=false",
            f"stopwaitsecs={program.stop_s}",
            f"stdout_logfile={logs / program.name}.log",
            "redirect_stderr=true",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
        ]
    file = system.home / "supervisor.conf"
    file.write_text("\n".join(sections) + "\n", encoding="utf-8")
    return file


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def connect(system: LocalSystem) -> Any | None:
    """The running supervisor; None if there is none."""
    from supervisor.xmlrpc import SupervisorTransport

    if not system.control.exists():
        return None
    transport = SupervisorTransport(serverurl=f"unix://{system.control}")
    transport.request = _closing(transport)
    proxy = ServerProxy("http://127.0.0.1", transport=transport)
    try:
        proxy.supervisor.getState()
    except (OSError, HTTPException, Fault):
        return None
    return proxy.supervisor


def _closing(transport: Any) -> Callable[..., Any]:
    """The transport's request, with its connection closed afterwards: nobody else would close it."""
    request = transport.request

    def once(*arguments: Any, **named: Any) -> Any:
        try:
            return request(*arguments, **named)
        finally:
            transport.close()

    return once


def start(system: LocalSystem, programs: Sequence[Program]) -> Any:
    """Starts the supervisor, after ending what an earlier one left behind; starts no program yet."""
    end_leftovers(system.home)
    config = write(system, programs)
    system.control.unlink(missing_ok=True)
    environment = {**os.environ, MARK: str(system.home)}
    started = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if started.returncode:
        raise LocalServiceError(f"the supervisor did not start: {started.stderr.strip()[-500:]}", f"see {config}")
    for _ in range(100):
        if (running := connect(system)) is not None:
            return running
        time.sleep(0.05)
    raise LocalServiceError("the supervisor does not answer", f"see {system.home / 'logs' / 'supervisor.log'}")


def end_leftovers(home: Path) -> int:
    """Ends processes that an earlier supervisor of this home started and lost; how many there were.

    They are known by a mark in their environment, so that no stranger with a recycled number is ever touched.
    """
    left = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home):
                left.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # not ours, or gone
    mine = {process.pid for process in psutil.Process().parents()}
    left = [process for process in left if process.pid not in mine]
    for process in left:
        process.terminate()
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)
    return len(left)
