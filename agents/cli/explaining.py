"""A line of an invoice taken apart: its arithmetic, the groups that the close froze, its days, and raw events.

Every part is read as of the vector of the close, so it says the same at any later date; once raw usage is gone, what
the close froze still stands, and the answer says that it is frozen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from agents.cli.reading import Reading
from agents.store.line_usage import BEGINNING, LineDay, LineEvent, LineKey, LineUsage, Place
from agents.store.looks import StoredInvoice
from agents.topics import CATALOGUE
from pipeline.calendar.windows import windows_of
from pipeline.meters.usage_sql import Frame, to_ms
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.invoice import Invoice, InvoiceLine
from schemas.period import Period
from schemas.tick import Vector

DAYS_AT_ONCE = 7
EVENTS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class FrozenGroup:
    """A row that the close froze: what one group (or window) of the line comes to."""

    values: dict[str, str | None]
    events: int
    invalid: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Page:
    """What one look shows of the raw events of a line: some days, and some events from the first of them on."""

    days: tuple[LineDay, ...]
    events: tuple[LineEvent, ...]
    next_day: str | None
    next_event: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """A line and everything below it."""

    invoice: Invoice
    place: int
    line: InvoiceLine
    vector: Vector
    groups: tuple[FrozenGroup, ...] = ()
    page: Page | None = None
    raw: Literal["kept", "frozen", "none"] = "none"
    """Whether raw events are still there; `none` for a line without usage."""


def lines_named(invoice: Invoice, name: str) -> list[int]:
    """The places (from 1) of the lines that a name may mean: a place, a charge, or the beginning of a line's id."""
    if name.isdigit() and 1 <= int(name) <= len(invoice.lines):
        return [int(name)]
    by_charge = [place for place, line in enumerate(invoice.lines, 1) if line.rated.charge == name]
    by_id = [place for place, line in enumerate(invoice.lines, 1) if len(name) >= 4 and line.id.startswith(name)]
    return by_charge or by_id


async def explained(
    readers: Reading, stored: StoredInvoice, place: int, *, day: str, after: Place, days: int, events: int
) -> Explained:
    """Takes a line apart; `day` and `after` say where the look begins."""
    invoice = stored.invoice
    line = invoice.lines[place - 1]
    vector = Vector(ends=invoice.basis.vector)
    if line.rated.meter is None or line.rated.meter_version is None:
        return Explained(invoice, place, line, vector)
    catalogue = await readers.catalogue.as_of(vector.end(CATALOGUE, 0))
    closed = await asyncio.to_thread(close_of, readers, invoice)
    key = line_key(invoice, line, closed, catalogue)
    usage = LineUsage(readers.connection)
    return await asyncio.to_thread(_explained, usage, invoice, place, key, day, after, days, events)


def close_of(readers: Reading, invoice: Invoice) -> PeriodClosed:
    """The close that an invoice rests on. Raises NotFound."""
    from agents.cli.failures import NotFound

    closes = readers.looks.closes([invoice.basis.close_id])
    if not closes:
        raise NotFound(f"the close {invoice.basis.close_id} of {invoice.number or invoice.id} is not stored")
    return PeriodClosed.model_validate_json(closes[0].record)


def line_key(invoice: Invoice, line: InvoiceLine, closed: PeriodClosed, catalogue: Catalogue) -> LineKey:
    """What a line counts. Raises LookupError for a meter that the catalogue does not have."""
    due = due_of(line, closed)
    frame = Frame(line.rated.service, line.rated.time_zone, line.rated.period, gaps=due.pauses,
                  subjects=due.subjects, other_subjects=due.other_subjects)  # fmt: skip
    return LineKey(invoice.customer, meter_of(line, catalogue), frame, Vector(ends=invoice.basis.vector))


def due_of(line: InvoiceLine, closed: PeriodClosed) -> DuePeriod:
    """The due period of a close that a line bills. Raises LookupError if there is none."""
    for due in closed.periods:
        same = (due.subscription, due.plan_version, due.period, due.service)
        if same == (line.subscription, line.plan_version, line.rated.period, line.rated.service):
            return due
    raise LookupError(f"close {closed.close_id} has no period of {line.subscription} for line {line.id}")


def meter_of(line: InvoiceLine, catalogue: Catalogue) -> MeterEntry:
    """The version of the meter that a line was rated with."""
    entry = catalogue.meters.get((str(line.rated.meter), str(line.rated.meter_version)))
    if entry is None:
        raise LookupError(f"meter {line.rated.meter}@{line.rated.meter_version} is not in the catalogue")
    return entry


def _explained(
    usage: LineUsage, invoice: Invoice, place: int, key: LineKey, day: str, after: Place, days: int, events: int
) -> Explained:
    line = invoice.lines[place - 1]
    rows = usage.frozen(invoice.basis.close_id, line.subscription, key)
    groups = tuple(
        FrozenGroup(
            dict(zip(key.meter.meter.group_by, json.loads(row["grp"]), strict=True)), row["events"], row["invalid"],
            row["value"],
        )
        for row in rows
    )  # fmt: skip
    calendar = windows_of("day", key.span, line.rated.time_zone)
    calendar = tuple(window.intersection(key.span) for window in calendar)
    page = _page(usage, key, _from(calendar, day, after), after, days, events)
    kept = bool(page.days or page.events) or not any(group.events for group in groups)
    if not kept:  # nothing in these days: is there anything at all?
        kept = bool(usage.events(key, key.span, BEGINNING, 1))
    return Explained(invoice, place, line, key.vector, groups, page, "kept" if kept else "frozen")


def _from(calendar: Sequence[Period], day: str, after: Place) -> Sequence[Period]:
    """The days from a date, or from the day of a place in the events, on."""
    if after != BEGINNING:
        return [each for each in calendar if to_ms(each.end) > after.ms]
    return [each for each in calendar if not day or f"{each.start:%Y-%m-%d}" >= day]


def _page(usage: LineUsage, key: LineKey, calendar: Sequence[Period], after: Place, days: int, events: int) -> Page:
    shown, rest = calendar[:days], calendar[days:]
    counted = usage.days(key, shown) if shown else ()
    while not counted and rest:  # days without usage are passed over
        shown, rest = rest[:days], rest[days:]
        counted = usage.days(key, shown)
    found: list[LineEvent] = []
    for each in counted:
        span = next(window for window in shown if window.start == each.start)
        if len(found) < events:
            found += usage.events(key, span, after, events - len(found))
    more = sum(each.events for each in counted) > len(found) or bool(rest)
    cursor = found[-1].place.text() if found and more else None
    return Page(counted, tuple(found), f"{rest[0].start:%Y-%m-%d}" if rest else None, cursor)
