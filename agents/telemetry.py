"""Every metric of Tally, in one place: name, meaning, labels. Names are a contract; deploy/README.md lists them.

Counters count what this process did since it started; what is stored is asked of the store. No label ever holds a
subject, a customer or anything else of which there is no end.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began is seen by who scrapes it
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


# -- workers ---------------------------------------------------------------------------------------------------------

EVENTS: Final = _counter(
    "tally_events_total", "Records of usage.events that were stored, by outcome: event, correction or dead_letter.",
    "outcome",
)  # fmt: skip
DEAD_LETTERS: Final = _counter("tally_dead_letters_total", "Records refused, by reason.", "reason")
STORED: Final = _counter("tally_stored_records_total", "Records of any log that were stored.", "topic")
BATCH_RECORDS: Final = _histogram("tally_batch_records", "Records per cycle of storing.", _ROWS, "topic")
INSERT_SECONDS: Final = _histogram(
    "tally_insert_seconds", "Time of a cycle of storing: rows, ledger and what is published, with every try.",
    _SECONDS, "topic",
)  # fmt: skip
STEP_SECONDS: Final = _histogram("tally_step_seconds", "Time of one write of a cycle.", _SECONDS, "step")
DELAY_SECONDS: Final = _histogram(
    "tally_delay_seconds", "From the broker's time of the newest record of a cycle until it was stored.", _SECONDS,
    "topic",
)  # fmt: skip
REDELIVERED: Final = _counter(
    "tally_redelivered_records_total", "Records that were fetched, not stored, and are fetched again.", "topic"
)
RETRIES: Final = _counter("tally_store_retries_total", "Cycles tried again because a service was away.", "topic")
SEAL_SECONDS: Final = _histogram("tally_seal_seconds", "Time in which the panes of one tick were recomputed.", _SECONDS)
SEALED_PANES: Final = _counter("tally_sealed_panes_total", "Five-minute panes of a meter that were recomputed.")

LAG: Final = _gauge(
    "tally_lag_records", "Offsets that are not stored yet, of a partition that is held.", "topic", "partition"
)
NEXT_OFFSET: Final = _gauge("tally_stored_offset", "Up to where a held partition is stored.", "topic", "partition")
FRESHNESS: Final = _gauge(
    "tally_freshness_seconds", "Age of the oldest record that is not stored, at most; 0 if none waits.", "topic"
)
STOPPED: Final = _gauge(
    "tally_partitions_stopped", "Assigned partitions that are not read: their log is another.", "topic"
)
STANDSTILL: Final = _gauge("tally_partitions_standing_still", "Partitions with lag that have not moved for a minute.")
SERVICE_UP: Final = _gauge("tally_service_up", "1 if the service answers this worker, else 0.", "service")
READY: Final = _gauge("tally_ready", "1 if this worker can do its work, else 0.")
OLDEST_TRY_SECONDS: Final = _gauge("tally_retrying_seconds", "For how long a cycle has been tried again; 0 if none is.")

LEAKS: Final = _gauge("tally_leaked_events", "Events that nobody would pay for as it is, by kind of leak.", "leak")
METER_GROUPS: Final = _gauge(
    "tally_meter_groups", "The most groups that a customer has of a meter in a period that is not billed.", "meter"
)
COPIES: Final = _gauge(
    "tally_copies", "Records that do not count because their identity came before: duplicate or conflict.", "kind"
)
GAPS_OPEN: Final = _gauge(
    "tally_missing_events", "Numbers that producers of numbered events left out, for ten minutes."
)
DEAD_LETTERS_OPEN: Final = _gauge("tally_dead_letters_open", "Dead letters neither replayed nor waived.")
CLOCK_BEHIND: Final = _gauge("tally_clock_behind_seconds", "Wall time less billing time; 0 on a test clock.")
RUNS_OPEN: Final = _gauge("tally_billing_runs_open", "Billing runs that are due and not closed yet.")
RUNS_PARKED: Final = _gauge("tally_billing_runs_parked", "Billing runs that were set aside until somebody looks.")


# -- limits, alerts and collection -----------------------------------------------------------------------------------

RESERVATIONS: Final = _counter(
    "tally_reservations_total",
    "Reservations that this server answered, by outcome: granted, or refused because of the limit, an id that has "
    "ended, a balance that is missing or stale, or a verdict that did not come.",
    "outcome",
)
RESERVATIONS_HELD: Final = _gauge("tally_reservations_held", "Reservations that hold something of an entitlement now.")
ENTITLED: Final = _gauge(
    "tally_entitlement_customers", "Customers whose entitlements this server reads: asked for within five minutes."
)
ENTITLEMENT_AGE: Final = _gauge(
    "tally_entitlement_age_seconds", "Age of the balances that this server answers with; 0 if nobody is asked for."
)
REFRESH_SECONDS: Final = _histogram(
    "tally_entitlement_refresh_seconds", "Time in which the balances of all of them were read.", _SECONDS
)
ALERT_LOOK_SECONDS: Final = _histogram(
    "tally_alert_look_seconds", "Time in which every rule of the catalogue was looked at.", _SECONDS
)
COLLECTION_WAITING: Final = _gauge(
    "tally_collection_waiting", "Requests to a payment service without an outcome, by kind: payment or refund.", "kind"
)
COLLECTION_OLDEST: Final = _gauge(
    "tally_collection_oldest_seconds", "Billing time since the oldest of them was asked for; 0 if there is none."
)
COLLECTION_UNSENT: Final = _gauge(
    "tally_collection_unsent",
    "What the books decided and no topic has yet, by kind: payment, refund, notice, or command for a subscription.",
    "kind",
)
PAST_DUE: Final = _gauge("tally_invoices_past_due", "Invoices that were not paid by their due date.")


def exposition() -> bytes:
    """All metrics in the text format of Prometheus."""
    return generate_latest(REGISTRY)
