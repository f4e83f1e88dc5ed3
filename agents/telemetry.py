"""Every metric of Tally, in one place: name, meaning, labels. Names are a contract; deploy/README.md lists them.

Counters count what this process did since it started; what is stored is asked of the store. No label ever holds a
subject, a customer or anything else of which there is no end.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)

_ROWS: Final = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000)
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(name, meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(name, meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=buckets)


# -- the HTTP server -------------------------------------------------------------------------------------------------

HTTP_REQUESTS: Final = _counter(
    "tally_http_requests_total", "Requests answered, by route and status.", "route", "status"
)
HTTP_EVENTS: Final = _counter(
    "tally_http_events_total", "Events handed in, by outcome: acknowledged, refused, judged (a dry run), or failed.",
    "outcome",
)  # fmt: skip
HTTP_REFUSED: Final = _counter("tally_http_refused_total", "Events refused, by reason.", "reason")
HTTP_TURNED_AWAY: Final = _counter(
    "tally_http_turned_away_total", "Requests told to come again: full, or the broker did not acknowledge.", "why"
)
HTTP_ACK_SECONDS: Final = _histogram(
    "tally_http_ack_seconds", "From a whole body to the acknowledgement of all its events.", _SECONDS
)
HTTP_PENDING_BYTES: Final = _gauge("tally_http_pending_bytes", "Bytes on the way to the broker, not acknowledged yet.")
HTTP_TOKENS_REFUSED: Final = _counter("tally_http_tokens_refused_total", "Requests without a token that is accepted.")


def exposition() -> bytes:
    """All metrics in the text format of Prometheus."""
    return generate_latest(REGISTRY)
