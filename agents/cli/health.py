"""Whether the deployment is well, section by section, and what to do next.

`tally status` shows every section; bare `tally` shows the next step of the first section that needs one. A section is
computed from live services; it is asked only when the sections before it let it be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.settings import Settings


PROBED_WELL = ("live", "ready")


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the status. `needed` stops the sections after it: they could not be asked."""

    name: str
    healthy: bool
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    next_step: str = ""
    needed: bool = False


def _services(settings: Settings) -> Section:
    """What answers where, whether it runs here under our supervisor or elsewhere."""
    from agents.cli.services import WORKERS, probe_port
    from deploy.local import find, status

    system = find(settings.home)
    rows: list[tuple[object, ...]] = []
    for service in status(settings.home):
        detail = service.detail
        if service.name in WORKERS and service.state == "running" and system is not None:
            detail = f"{_probed(probe_port(system, service.name))}; {detail}"
        memory = f"{service.resident_bytes / 1e6:,.0f} MB" if service.resident_bytes else ""
        rows.append((service.name, service.state, service.pid or "", memory, detail))
    answering = {"Kafka": _answers(settings.kafka.split(",")[0]), "ClickHouse": _answers(settings.clickhouse)}
    for name, answers in answering.items():
        address = settings.kafka if name == "Kafka" else settings.clickhouse
        rows.append((f"{name} at {address}", "answers" if answers else "does not answer", "", "", ""))
    failed = any(row[1] == "failed" for row in rows)
    return Section(
        "services",
        all(answering.values()) and not failed,
        ("service", "state", ">pid", ">memory", "detail"),
        tuple(rows),
        next_step="tally up" if not all(answering.values()) else "",
        needed=not all(answering.values()),
    )


def _answers(address: str) -> bool:
    """Whether something accepts a connection at `host:port` or `http://host:port`."""
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(address if "//" in address else f"//{address}")
    try:
        with socket.create_connection((place.hostname or "", place.port or 8123), timeout=1):
            return True
    except OSError:
        return False


def _probed(port: int) -> str:
    """What a local worker says of itself: live and ready, or the first thing that it names."""
    from http.client import HTTPConnection, HTTPException

    said = []
    for probe in ("livez", "readyz"):
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", f"/{probe}")
            said.append(connection.getresponse().read().decode().splitlines()[0])
        except (OSError, HTTPException):
            return "its probes do not answer"
        finally:
            connection.close()
    return " and ".join(said) if said == ["live", "ready"] else next(each for each in said if each not in PROBED_WELL)


def _topics(settings: Settings) -> Section:
    import asyncio

    from agents.topics import reconcile_topics

    states = [s for s in asyncio.run(reconcile_topics(settings, dry_run=True)) if s.status != "present"]
    rows = tuple((s.name, s.status, "; ".join(f"{k} {v}" for k, v in s.drift.items()), s.detail) for s in states)
    return Section(
        "topics",
        not states,
        ("topic", "status", "drift", "detail"),
        rows,
        next_step="tally topics" if states else "",
        needed=any(state.status == "missing" for state in states),
    )


def _tables(settings: Settings) -> Section:
    from agents.store.migrations import migrate

    steps = migrate(settings, dry_run=True)
    rows = tuple((step.migration.file, step.statement) for step in steps)
    return Section(
        "tables",
        not steps,
        ("pending migration", ">statement"),
        rows,
        next_step="tally migrate" if steps else "",
        needed=bool(steps),
    )


SECTIONS: tuple[Callable[[Settings], Section], ...] = (_services, _topics, _tables)


def sections(settings: Settings) -> Iterator[Section]:
    """Every section that can be asked, in order; stops after one that the rest needs."""
    for ask in SECTIONS:
        section = ask(settings)
        yield section
        if section.needed:
            return
    from agents.cli.status_line import line_sections

    yield from line_sections(settings)
