"""What a command's exit code means, and which failure leads to which: one table for people, scripts and tests.

Failures are named, not imported: a command that needs no service must not pay for the libraries that raise them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OK: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
SERVICE_DOWN: Final = 3
NOT_FOUND: Final = 4
PROOF_FAILED: Final = 5
TIMED_OUT: Final = 6
INTERRUPTED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "done, or healthy",
    REFUSED: "refused or unhealthy: a rule says no, and the message says which",
    USAGE: "the command line was not understood",
    SERVICE_DOWN: "Kafka or ClickHouse cannot be reached",
    NOT_FOUND: "no such customer, invoice, topic or file",
    PROOF_FAILED: "a reconciliation or replay found a difference",
    TIMED_OUT: "what was waited for did not happen in time; it may still happen",
    INTERRUPTED: "stopped from the keyboard",
}


@dataclass(frozen=True, slots=True)
class Route:
    """How a failure leaves the program: its code, and what helps."""

    code: int
    help: str = ""


START: Final = "start the local services with `tally up`, or set TALLY_KAFKA and TALLY_CLICKHOUSE; `tally status` looks"

ROUTES: Final[dict[str, Route]] = {
    "agents.topics.KafkaUnavailable": Route(SERVICE_DOWN, START),
    "agents.topics.KafkaRefused": Route(REFUSED),
    "agents.topics.TopicMissing": Route(NOT_FOUND),
    "agents.store.connection.StoreUnavailable": Route(SERVICE_DOWN, START),
    "agents.store.connection.StoreRefused": Route(REFUSED, "`tally migrate` brings the tables up to this version"),
    "agents.store.migrations.HistoryEdited": Route(REFUSED),
    "agents.store.migrations.MigrationInvalid": Route(REFUSED),
    "deploy.local.errors.LocalServiceError": Route(SERVICE_DOWN),
    "pipeline.closing.engines.UnknownEngine": Route(REFUSED),
    "agents.cli.rebuilding.RebuildRefused": Route(REFUSED),
    "agents.signing.KeyRefused": Route(REFUSED),
    "agents.clock.TickRefused": Route(REFUSED),
    "agents.web.server.ServerRefused": Route(REFUSED),
    "agents.event_files.FileRefused": Route(REFUSED),
    "agents.publishing.PositionRefused": Route(REFUSED),
    "agents.tokens.TokenTaken": Route(REFUSED),
    "agents.tokens.TokenUnknown": Route(NOT_FOUND),
    "agents.cli.failures.Refused": Route(REFUSED),
    "pipeline.rating.rate_request.RequestRefused": Route(REFUSED),
    "agents.cli.failures.NotFound": Route(NOT_FOUND),
    "agents.cli.failures.ProofFailed": Route(PROOF_FAILED),
    "agents.cli.failures.TimedOut": Route(TIMED_OUT),
    "agents.bench.site.BenchFailed": Route(REFUSED, "its log says why; what it started is gone"),
    "builtins.FileNotFoundError": Route(NOT_FOUND),
    "builtins.PermissionError": Route(REFUSED),
    "pydantic_core._pydantic_core.ValidationError": Route(USAGE, "a setting or an input has the wrong form"),
}


def route_of(failure: type[BaseException]) -> Route | None:
    """How a failure of this kind leaves; None for a mistake of ours, which is shown with its traceback."""
    for kind in failure.__mro__:
        route = ROUTES.get(f"{kind.__module__}.{kind.__qualname__}")
        if route is not None:
            return route
    return None
