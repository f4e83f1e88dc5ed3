"""Usage as a close froze it: rows of `period_usage` as the rating takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pipeline.meters.usage_needed import GROUPS
from pipeline.rating.charge_lines import Usage
from schemas.period import Period


def usage_by_meter(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str, Period], list[Usage]]:
    """Frozen rows as the rating takes them: by window, then in order of first usage."""
    found: dict[tuple[str, str, Period], list[Usage]] = {}
    order = ("shape", "window_start", "first_at", "k_offset", "k_partition", "grp")
    for row in sorted(rows, key=lambda row: tuple(row[name] for name in order)):
        span = Period(start=row["period_start"], end=row["period_end"])
        start, end = row["window_start"], row["window_end"]
        window = Period(start=start, end=end) if end > start else None
        group = tuple(json.loads(row["grp"]))
        usage = Usage(group, row["value"], row["events"], row["invalid"], window, row["shape"] or GROUPS.name)
        found.setdefault((row["subscription"], row["meter"], span), []).append(usage)
    return found
