"""What two deployments over the same logs must hold alike: everything but the log is a function of a log prefix."""

from __future__ import annotations

from agents.store.connection import Connection

SAME_IN_BOTH = {
    "invoices": "SELECT number, customer, status, content_sha256, document FROM invoices FINAL ORDER BY number",
    "lines": "SELECT document_id, line, record FROM invoice_lines FINAL ORDER BY document_id, line",
    "numbers": "SELECT document_id, series, number, k_offset FROM finalisations FINAL ORDER BY number",
    "closes": "SELECT customer, tick, revision, usage_rows, fingerprint, record FROM closes FINAL ORDER BY customer",
    "frozen usage": "SELECT * FROM period_usage FINAL ORDER BY close_id, subscription, meter, period_start, grp, "
    "shape, window_start, first_at, k_offset, k_partition",
    "totals": "SELECT meter, meter_version, subject, pane, grp, events, invalid, total FROM pane_totals FINAL "
    "WHERE events > 0 ORDER BY ALL",
    "events": "SELECT * EXCEPT (flags) FROM events FINAL ORDER BY k_partition, inv_offset",
    "customers": "SELECT customer, state, k_offset FROM customers FINAL ORDER BY customer",
    "outcomes": "SELECT * FROM command_outcomes FINAL ORDER BY k_partition, k_offset",
}


def fingerprints(db: Connection) -> dict[str, tuple[object, ...]]:
    """Per table: how many rows, and a 128-bit hash of all of them; for tables too large to compare in memory."""
    found = {}
    for what, sql in SAME_IN_BOTH.items():
        unordered = sql.partition(" ORDER BY ")[0]
        rows = db.tuples(f"SELECT count(), toString(sum(reinterpretAsUInt128(sipHash128(*)))) FROM ({unordered})")
        found[what] = rows[0]
    return found
