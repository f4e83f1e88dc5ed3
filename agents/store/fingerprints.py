"""Fingerprints of tables below a bound of the logs: two databases that were computed from one log have the same ones.

A fingerprint is the count and the wrapping sum of a 128-bit hash over what a row says; what may differ without meaning
(when a seal was made, in which order rows came) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.store.connection import Connection

USAGE_BELOW = "k_offset < {usage:Array(UInt64)}[k_partition + 1]"
BY_TICK = "tick <= {tick:UInt64}"


@dataclass(frozen=True, slots=True)
class Bound:
    """How far two databases are compared: the ends of the logs, and the last tick under which something closed."""

    usage: tuple[int, ...]
    audited: tuple[int, ...]
    commands: tuple[int, ...]
    attributions: int
    finalisations: int
    tick: int
    erasures: int = 0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How many rows a table has below a bound, and what they add up to."""

    rows: int
    content: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows {self.content:032x}"


TABLES: Mapping[str, tuple[str, str]] = {
    "events": (
        "type, subject, ts, source, id, k_partition, inv_offset, data, exact, sequence, appended_at",
        "bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]",
    ),
    "corrections": (
        "target_source, target_id, k_partition, k_offset, toString(action), source, id, reason, type, subject, ts, "
        "data",
        USAGE_BELOW,
    ),
    "retractions": (
        "type, subject, ts, source, id, k_partition, k_offset, first_partition, first_offset, toString(kind)",
        "k_offset < {audited:Array(UInt64)}[k_partition + 1]",
    ),
    "dead_letters": (
        "topic, k_partition, k_offset, reason, detail, source, record_key, toString(headers), payload",
        "topic = 'usage.events' AND " + USAGE_BELOW,
    ),
    "attributions": ("subject, effective_from, customer, actor, reason, request_id, k_offset",
                     "k_offset < {attributions:UInt64}"),
    "ticks": ("number, time, clock, vector, k_offset", "number <= {tick:UInt64}"),
    "command_outcomes": ("outcome", "k_offset < {commands:Array(UInt64)}[k_partition + 1]"),
    "subscription_events": ("event", "k_offset < {commands:Array(UInt64)}[k_partition + 1]"),
    "billing_runs": ("customer, tick, revision, run", BY_TICK),
    "closes": ("customer, tick, revision, record", BY_TICK),
    "period_usage": (
        "close_id, subscription, meter, meter_version, period_start, period_end, grp, shape, window_start, window_end, "
        "first_at, k_offset, k_partition, events, invalid, value, fingerprint",
        "close_id IN (SELECT close_id FROM closes WHERE tick <= {tick:UInt64})",
    ),
    "run_lines": ("customer, tick, revision, line, record", BY_TICK),
    "finalisations": ("document_id, series, number, issued_at, k_offset", "k_offset < {finalisations:UInt64}"),
    "credit_entries": ("customer, k_offset, place, record", "k_offset < {finalisations:UInt64}"),
    "erasures": ("k_offset, subject_sha256, pseudonym, toString(customers)", "k_offset < {erasures:UInt64}"),
    "revenue_lines": (
        "document, line, customer, currency, issued_at, first_day, days, net, monthly",
        "document IN (SELECT document_id FROM finalisations WHERE k_offset < {finalisations:UInt64})",
    ),
    "drafts": ("document_id, tick, customer, replaced, content_sha256, document", BY_TICK),
    "invoices": ("document_id, kind, number, customer, total, content_sha256", BY_TICK),
}  # fmt: skip
"""Table -> (what a row says, which rows lie below a bound)."""


class Fingerprints:
    """Reads fingerprints from one database."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def last_closed(self) -> tuple[int, tuple[int, ...]]:
        """The last tick under which something closed, and its vector of usage; (0, ()) before the first."""
        rows = self._db.tuples(
            "SELECT number, usage FROM ticks FINAL WHERE number IN (SELECT max(tick) FROM closes) LIMIT 1"
        )
        return (rows[0][0], tuple(rows[0][1])) if rows else (0, ())

    def erased_to(self) -> int:
        """The offset of billing.erasures behind the last that was carried out."""
        return int(self._db.tuples("SELECT if(count() = 0, 0, max(k_offset) + 1) FROM erasures")[0][0])

    def of(self, table: str, bound: Bound) -> Fingerprint:
        """The fingerprint of a table below a bound."""
        columns, below = TABLES[table]
        content = f"sumWithOverflow(reinterpretAsUInt128(sipHash128({columns})))"
        rows = self._db.tuples(
            f"SELECT count(), {content} FROM {table} FINAL WHERE {below}",
            {
                "usage": _padded(bound.usage), "audited": _padded(bound.audited), "commands": _padded(bound.commands),
                "attributions": bound.attributions, "finalisations": bound.finalisations, "tick": bound.tick,
                "erasures": bound.erasures,
            },
        )  # fmt: skip
        return Fingerprint(int(rows[0][0]), int(rows[0][1]))


def _padded(ends: Sequence[int]) -> list[int]:
    return list(ends) or [0]
