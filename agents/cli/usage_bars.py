"""Usage per day as bars of text: exact sums, and a length that is only for the eye."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from schemas.quantity import ZERO, plain

WIDTH = 40
DAYS = 31
ADDS_UP = ("count", "sum")
EIGHTHS = " ▏▎▍▌▋▊▉"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MeterUsage:
    """One version of a meter over the days shown."""

    meter: str
    version: str
    days: Mapping[date, Decimal]
    groups: Mapping[str, Decimal]
    events: int
    invalid: int
    late: int
    unbilled: Decimal | None
    """Usage that no invoice covers yet, of all days; None where no subscription runs."""
    unbilled_since: datetime | None
    note: str = ""
    """Why there is no number, for the whole or for some of the days."""
    adds_up: bool = True
    """Whether the days' numbers are the whole's when added."""

    @property
    def total(self) -> Decimal | None:
        """The sum over the days shown; None of a meter whose days do not add up."""
        return sum(self.days.values(), ZERO) if self.adds_up else None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a customer used in `[first, last)`, and how fresh that is."""

    customer: str
    first: date
    last: date
    meters: tuple[MeterUsage, ...]
    freshness: Row


def shown(
    daily: Sequence[Row],
    current: Sequence[Row],
    freshness: Row,
    *,
    customer: str,
    first: date | None = None,
    last: date | None = None,
) -> Shown:
    """Arranges rows of v_usage_daily and v_usage_current; the span is by default a month up to the last usage."""
    newest = max((row["day"] for row in daily), default=freshness["as_of"].date())
    end = last or newest + timedelta(days=1)
    start = first or max(end - timedelta(days=DAYS), min((row["day"] for row in daily), default=date.min))
    rows = [row for row in daily if start <= row["day"] < end]
    keys = sorted({(row["meter"], row["meter_version"]) for row in (*rows, *current)})
    return Shown(customer, start, end, tuple(_meter(key, rows, current) for key in keys), freshness)


def _meter(key: tuple[str, str], daily: Sequence[Row], current: Sequence[Row]) -> MeterUsage:
    mine, open_ = ([row for row in rows if (row["meter"], row["meter_version"]) == key] for rows in (daily, current))
    days: dict[date, Decimal] = {}
    groups: dict[str, Decimal] = {}
    adds_up = all(row.get("aggregation", "sum") in ADDS_UP for row in mine)
    for row in mine:
        if adds_up and row["value"] is not None:
            days[row["day"]] = days.get(row["day"], ZERO) + row["value"]
            groups[row["grp"]] = groups.get(row["grp"], ZERO) + row["value"]
        elif row["value"] is not None and row["grp"] == "[]":
            days[row["day"]] = row["value"]
    return MeterUsage(
        *key,
        days=dict(sorted(days.items())),
        groups=dict(sorted(groups.items())),
        events=sum(row["events"] for row in mine),
        invalid=sum(row["invalid"] for row in mine),
        late=sum(row["late"] for row in mine),
        unbilled=sum((row["value"] for row in open_), ZERO) if open_ and adds_up else None,
        unbilled_since=min((row["period_start"] for row in open_), default=None) if adds_up else None,
        note=_note(mine, adds_up),
        adds_up=adds_up,
    )


def _note(rows: Sequence[Row], adds_up: bool) -> str:
    """What the view says of rows without a value, or that days are not to be added."""
    said = next((row["note"] for row in rows if row.get("note")), "")
    return said or ("" if adds_up else f"{rows[0]['aggregation']}: days are not added up")


def lines(found: Shown) -> Iterator[str]:
    """The usage for a person."""
    names = [used.meter for used in found.meters]
    for used in found.meters:
        version = f"@{used.version}" if names.count(used.meter) > 1 else ""
        yield f"{found.customer} · {used.meter}{version}: {number(used.total)} in {used.events:,} events"
        yield from _bars(used, found.first, found.last)
        yield from _remarks(used)
        yield ""
    if not found.meters:
        yield f"{found.customer}: no usage from {found.first} to {found.last}"
    fresh = found.freshness
    yield (
        f"{found.first} to {found.last} (UTC, exclusive) · billing time {_said(fresh['as_of'])}, tick {fresh['tick']}"
        f" · stored to {_said(fresh['stored_to'])}"
    )


def _bars(used: MeterUsage, first: date, last: date) -> Iterator[str]:
    most = max(used.days.values(), default=ZERO)
    day = first
    while day < last:
        value = used.days.get(day, ZERO if used.adds_up else None)
        yield f"  {day}  {bar(value or ZERO, most):<{WIDTH}}  {number(value):>20}".rstrip()
        day += timedelta(days=1)


def bar(value: Decimal, most: Decimal, width: int = WIDTH) -> str:
    """A bar whose length is to `width` as `value` is to `most`, in eighths of a character; empty for nothing."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, int(value * width * 8 / most))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _remarks(used: MeterUsage) -> Iterator[str]:
    for group, value in used.groups.items():
        if group != "[]":
            yield f"    {_named(group)}: {number(value)}"
    if used.unbilled is not None:
        yield f"  not billed yet, since {_said(used.unbilled_since)}: {number(used.unbilled)}"
    if used.note:
        yield f"  {used.note}"
    if used.invalid:
        yield f"  {used.invalid:,} events without a usable value are left out of the sums"
    if used.late:
        yield f"  {used.late:,} events came after their five minutes were sealed; they are in the sums"


def _named(group: str) -> str:
    return ", ".join("–" if value is None else str(value) for value in json.loads(group))


def number(value: Decimal | None) -> str:
    """Grouped by thousands, without trailing zeros; a dash for none."""
    return "–" if value is None else f"{Decimal(plain(value)):,f}"


def _said(at: datetime | None) -> str:
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def described(found: Shown) -> dict[str, object]:
    """The usage for a program; quantities are decimal strings."""
    return {
        "customer": found.customer,
        "from": found.first,
        "to": found.last,
        "tick": found.freshness["tick"],
        "as_of": found.freshness["as_of"],
        "stored_to": found.freshness["stored_to"],
        "meters": [_meter_described(used) for used in found.meters],
    }


def _meter_described(used: MeterUsage) -> dict[str, object]:
    return {
        "meter": used.meter,
        "version": used.version,
        "value": None if used.total is None else plain(used.total),
        "note": used.note,
        "events": used.events,
        "invalid": used.invalid,
        "late": used.late,
        "days": [{"day": day, "value": plain(value)} for day, value in used.days.items()],
        "groups": [{"group": json.loads(group), "value": plain(value)} for group, value in used.groups.items()],
        "not_billed": None if used.unbilled is None else {"since": used.unbilled_since, "value": plain(used.unbilled)},
    }
