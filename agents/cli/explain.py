"""`tally explain`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import AsJson

if TYPE_CHECKING:
    from agents.cli.explaining import Explained
    from agents.cli.reading import Reading
    from agents.cli.screen import Screen
    from agents.settings import Settings
    from agents.store.line_usage import Place
    from agents.store.looks import LookStore, StoredInvoice, StoredNote
    from schemas.credit_note import CreditNote
    from schemas.invoice import Basis, Invoice


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    from agents.cli.frame import PROVE

    app.command("explain", rich_help_panel=PROVE, epilog="Example: tally explain INV-000001:tokens")(explain)


def explain(
    name: Annotated[
        str, typer.Argument(metavar="DOCUMENT[:LINE]", help="An invoice or a credit note; a line by place or charge.")
    ],
    day: Annotated[str, typer.Option("--day", help="Begin with this day, YYYY-MM-DD.")] = "",
    after: Annotated[str, typer.Option("--after", help="Go on after this place: `next` of the page before.")] = "",
    days: Annotated[int, typer.Option("--days", min=1, help="Days at once.")] = 7,
    events: Annotated[int, typer.Option("--events", min=0, help="Raw events at once.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Take a line apart: arithmetic, groups, days, and the raw events with their Kafka offsets.

    Of a credit note: which line of which invoice it gives back, why, and the late or retracted events that caused it.

    Everything is read as of the vector of the close, so the answer is the same at any later date. When raw usage has
    been retired, what the close froze is shown, and said to be frozen. Without LINE: every line, and how to look into
    it.
    """
    import asyncio

    from agents.settings import load

    asyncio.run(_explain(load(), name, day=day, after=after, days=days, events=events, as_json=as_json))


async def _explain(
    settings: Settings, name: str, *, day: str, after: str, days: int, events: int, as_json: bool
) -> None:
    from agents.cli.failures import Refused
    from agents.cli.reading import reading
    from agents.cli.screen import Screen
    from agents.store.line_usage import BEGINNING, Place
    from agents.store.looks import StoredNote

    screen = Screen(json_only=as_json)
    try:
        begin = Place.read(after) if after else BEGINNING
    except ValueError as fault:
        raise Refused(f"--after: {fault}") from None
    look = Look(day, begin, days, events)
    async with reading(settings) as readers:
        stored, line = named(readers.looks, name)
        if isinstance(stored, StoredNote):
            from agents.cli.explain_note import explain_note

            await explain_note(readers, screen, stored, line, look, as_json=as_json)
        else:
            await _explain_invoice(readers, screen, stored, line, look, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Look:
    """Where a look at raw events begins, and how much of them it shows."""

    day: str
    after: Place
    days: int
    events: int


async def _explain_invoice(
    readers: Reading, screen: Screen, stored: StoredInvoice, line: str, look: Look, *, as_json: bool
) -> None:
    from agents.cli.explaining import billed_by, explained

    invoice = stored.invoice
    if not line:
        _show_lines(screen, stored, as_json=as_json)
        return
    place = place_of(invoice, line)
    found = await explained(
        readers, billed_by(invoice, invoice.lines[place - 1]),
        day=look.day, after=look.after, days=look.days, events=look.events,
    )  # fmt: skip
    if as_json:
        name = invoice.number or invoice.id
        rated = found.counted.rated.model_dump(mode="json")
        screen.document({"invoice": name, "line": place, "rated": rated, **described(found)})
    else:
        _show(screen, invoice, place, found)


def named(looks: LookStore, name: str) -> tuple[StoredInvoice | StoredNote, str]:
    """The document of `DOCUMENT[:LINE]` and what names the line. Raises NotFound, and Refused if it is ambiguous."""
    from agents.cli.invoices import the_invoice_or_note

    document, colon, line = name.rpartition(":")
    if not colon or looks.find_invoice(name):  # a customer's name may hold a colon
        return the_invoice_or_note(looks, name), ""
    return the_invoice_or_note(looks, document), line


def place_of(shown: Invoice | CreditNote, line: str) -> int:
    """The place of the line that a name means. Raises NotFound with names like it, and Refused if it is ambiguous."""
    from agents.cli.explaining import charge_of, lines_named
    from agents.cli.failures import NotFound, Refused
    from agents.cli.names import near

    document = shown.number or shown.id
    places = lines_named(shown, line)
    if not places:
        charges = tuple(dict.fromkeys(charge_of(each) for each in shown.lines))
        raise NotFound(f"{document} has no line {line!r}{near(line, charges)}; `tally explain {document}` lists them")
    if len(places) > 1:
        raise Refused(f"{line} is the charge of lines {', '.join(map(str, places))}: name one by its place")
    return places[0]


def _show_lines(screen: Screen, stored: StoredInvoice, *, as_json: bool) -> None:
    from agents.cli.invoice_table import title
    from schemas.quantity import plain

    invoice = stored.invoice
    if as_json:
        screen.document({"invoice": invoice.number or invoice.id, "lines": [
            {"line": place, "id": line.id, "charge": line.rated.charge, "kind": line.rated.kind,
             "meter": line.rated.meter, "quantity": plain(line.rated.quantity), "amount": f"{line.amount:f}"}
            for place, line in enumerate(invoice.lines, 1)
        ]})  # fmt: skip
        return
    columns = (">line", "charge", "kind", "meter", ">quantity", ">events", ">amount")
    screen.table(title(invoice), columns, [
        (place, line.rated.charge, line.rated.kind, line.rated.meter or "", f"{line.rated.quantity:,f}",
         f"{line.rated.events:,}", f"{line.amount:,f}")
        for place, line in enumerate(invoice.lines, 1)
    ])  # fmt: skip
    screen.say(f"Next: tally explain {invoice.number or invoice.id}:LINE")


def _show(screen: Screen, invoice: Invoice, place: int, found: Explained) -> None:
    from agents.cli.invoice_table import COLUMNS, rated_rows, title

    document = invoice.number or invoice.id
    rows = list(rated_rows(found.counted.rated, invoice.period))
    screen.table(f"{title(invoice)}, line {place}", COLUMNS, rows)
    show_usage(screen, found, document, f"{document}:{place}")


def show_usage(screen: Screen, found: Explained, document: str, name: str) -> None:
    """What the close froze of a line, and a page of the raw events behind it."""
    if found.raw == "none":
        screen.say("No usage stands behind this line: it is computed from its price and its span alone.")
        return
    _show_groups(screen, found)
    if found.raw == "frozen":
        screen.say("Frozen: the raw events of this line are no longer kept here. What the close counted stands above.")
        return
    _show_events(screen, found, document, name)


def _show_groups(screen: Screen, found: Explained) -> None:
    from agents.cli.invoice_table import number

    basis: Basis = found.counted.basis
    screen.table(
        f"frozen by close {basis.close_id} at tick {basis.tick}", ("group", ">events", ">unusable", ">value"),
        [(_text(group.values), f"{group.events:,}", f"{group.invalid:,}", number(group.value))
         for group in found.groups],
    )  # fmt: skip
    for topic, ends in basis.vector.items():
        screen.say(f"complete to  {topic} {' '.join(f'{end:,}' for end in ends)}  (next offset by partition)")
    screen.say()


def _show_events(screen: Screen, found: Explained, document: str, name: str) -> None:
    from agents.cli.invoice_table import number

    page = found.page
    assert page is not None
    screen.table("by day", ("day begins (UTC)", ">events", ">unusable", ">value"), [
        (f"{day.start:%Y-%m-%d %H:%M}", f"{day.events:,}", f"{day.invalid:,}",
         "" if day.value is None else number(day.value))
        for day in page.days
    ])  # fmt: skip
    screen.table("raw events", ("time (UTC)", "partition:offset", "subject", "source", "id", "group", ">value"), [
        (clock_time(event.time), f"{event.partition}:{event.offset:,}",
         event.subject, event.source, event.id, ", ".join("–" if v is None else v for v in event.group),
         "unusable" if event.value is None else number(event.value))
        for event in page.events
    ])  # fmt: skip
    if page.next_event:
        screen.say(f"more events: tally explain {name} --after {page.next_event}")
    if page.next_day:
        screen.say(f"more days:   tally explain {name} --day {page.next_day}")
    screen.say(f"Next: tally evidence {document} (signed, checked offline)")


def clock_time(at: datetime) -> str:
    """An instant to the millisecond."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def _text(values: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {'–' if value is None else value}" for name, value in values.items()) or "all"


def described(found: Explained) -> dict[str, object]:
    """What stands behind a line, for programs."""
    from schemas.quantity import plain

    page = found.page
    return {
        "close": found.counted.basis.close_id,
        "vector": found.counted.vector.model_dump(mode="json")["ends"],
        "raw": found.raw,
        "groups": [
            {"values": group.values, "events": group.events, "invalid": group.invalid, "value": plain(group.value)}
            for group in found.groups
        ],
        "days": [] if page is None else [
            {"start": day.start.isoformat(), "events": day.events, "invalid": day.invalid,
             "value": None if day.value is None else plain(day.value)}
            for day in page.days
        ],
        "events": [] if page is None else [
            {"time": event.time.isoformat(), "partition": event.partition, "offset": event.offset, "type": event.type,
             "subject": event.subject, "source": event.source, "id": event.id, "data": event.data,
             "group": list(event.group), "value": None if event.value is None else plain(event.value)}
            for event in page.events
        ],
        "next": None if page is None else {"day": page.next_day, "after": page.next_event},
    }  # fmt: skip
