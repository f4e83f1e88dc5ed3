"""A line of a document taken apart: its arithmetic, the groups that the close froze, its days, and raw events.

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
from agents.topics import CATALOGUE
from pipeline.calendar.windows import windows_of
from pipeline.meters.usage_sql import Frame, to_ms
from schemas.catalogue_entry import Catalogue, MeterEntry
from schemas.credit_note import CreditNote, CreditNoteLine
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.invoice import Basis, Invoice, InvoiceLine
from schemas.period import Period
from schemas.rated_line import RatedLine
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
class Counted:
    """What a line of a document counts: whose usage, on which plan version, as it was rated; `span` is what it bills.

    Of an interim invoice the span ends before the service that its price shrinks by.
    """

    customer: str
    basis: Basis
    subscription: str
    plan_version: str | None
    rated: RatedLine
    span: Period

    @property
    def vector(self) -> Vector:
        """Of the close that the document rests on."""
        return Vector(ends=self.basis.vector)


@dataclass(frozen=True, slots=True)
class Explained:
    """What stands behind a line: what its close froze, and the events that were counted."""

    counted: Counted
    groups: tuple[FrozenGroup, ...] = ()
    page: Page | None = None
    raw: Literal["kept", "frozen", "none"] = "none"
    """Whether raw events are still there; `none` for a line without usage."""


def billed_by(invoice: Invoice, line: InvoiceLine) -> Counted:
    """What a line of an invoice counts."""
    rated = line.rated
    span = line.span or rated.service
    return Counted(invoice.customer, invoice.basis, line.subscription, line.plan_version, rated, span)


def charge_of(line: InvoiceLine | CreditNoteLine) -> str:
    """The charge that a line bills or gives back."""
    return line.charge if isinstance(line, CreditNoteLine) else line.rated.charge


def lines_named(document: Invoice | CreditNote, name: str) -> list[int]:
    """The places (from 1) of the lines that a name may mean: a place, a charge, or the beginning of a line's id."""
    if name.isdigit() and 1 <= int(name) <= len(document.lines):
        return [int(name)]
    lines: tuple[InvoiceLine | CreditNoteLine, ...] = document.lines
    by_charge = [place for place, line in enumerate(lines, 1) if charge_of(line) == name]
    by_id = [place for place, line in enumerate(lines, 1) if len(name) >= 4 and line.id.startswith(name)]
    return by_charge or by_id


async def explained(readers: Reading, counted: Counted, *, day: str, after: Place, days: int, events: int) -> Explained:
    """Takes a line apart; `day` and `after` say where the look begins."""
    if counted.rated.meter is None or counted.rated.meter_version is None:
        return Explained(counted)
    catalogue = await readers.catalogue.as_of(counted.vector.end(CATALOGUE, 0))
    closed = await asyncio.to_thread(close_of, readers, counted.basis)
    key = line_key(counted, closed, catalogue)
    usage = LineUsage(readers.connection)
    return await asyncio.to_thread(_explained, usage, counted, key, day, after, days, events)


def close_of(readers: Reading, basis: Basis) -> PeriodClosed:
    """The close that a document rests on. Raises NotFound."""
    from agents.cli.failures import NotFound

    closes = readers.looks.closes([basis.close_id])
    if not closes:
        raise NotFound(f"the close {basis.close_id} of tick {basis.tick}, which the document rests on, is not stored")
    return PeriodClosed.model_validate_json(closes[0].record)


def line_key(counted: Counted, closed: PeriodClosed, catalogue: Catalogue) -> LineKey:
    """What a line counts. Raises LookupError for a meter that the catalogue does not have."""
    due, rated = due_of(counted, closed), counted.rated
    frame = Frame(counted.span, rated.time_zone, rated.period, gaps=due.pauses, subjects=due.subjects,
                  other_subjects=due.other_subjects)  # fmt: skip
    return LineKey(counted.customer, meter_of(rated, catalogue), frame, counted.vector)


def due_of(counted: Counted, closed: PeriodClosed) -> DuePeriod:
    """The due period of a close that a line bills. Raises LookupError if there is none."""
    for due in closed.periods:
        same = (due.subscription, due.plan_version, due.period, due.service)
        if same == (counted.subscription, counted.plan_version, counted.rated.period, counted.span):
            return due
    raise LookupError(f"close {closed.close_id} has no period of {counted.subscription} for {counted.rated.charge}")


def meter_of(rated: RatedLine, catalogue: Catalogue) -> MeterEntry:
    """The version of the meter that a line was rated with."""
    entry = catalogue.meters.get((str(rated.meter), str(rated.meter_version)))
    if entry is None:
        raise LookupError(f"meter {rated.meter}@{rated.meter_version} is not in the catalogue")
    return entry


def _explained(
    usage: LineUsage, counted: Counted, key: LineKey, day: str, after: Place, days: int, events: int
) -> Explained:
    rows = usage.frozen(counted.basis.close_id, counted.subscription, key)
    groups = tuple(
        FrozenGroup(
            dict(zip(key.meter.meter.group_by, json.loads(row["grp"]), strict=True)), row["events"], row["invalid"],
            row["value"],
        )
        for row in rows
    )  # fmt: skip
    calendar = windows_of("day", key.span, counted.rated.time_zone)
    calendar = tuple(window.intersection(key.span) for window in calendar)
    page = _page(usage, key, _from(calendar, day, after), after, days, events)
    kept = bool(page.days or page.events) or not any(group.events for group in groups)
    if not kept:  # nothing in these days: is there anything at all?
        kept = bool(usage.events(key, key.span, BEGINNING, 1))
    return Explained(counted, groups, page, "kept" if kept else "frozen")


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
