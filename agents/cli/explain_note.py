"""`tally explain` of a credit note: what it gives back of which invoice line, by which arithmetic, and why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agents.cli.explain import Look, clock_time, described, place_of, show_usage
from agents.cli.explaining import Explained, explained
from agents.cli.invoice_table import COLUMNS, number, rated_rows
from agents.cli.note_grounds import Grounds, counted_by, grounds_of
from agents.cli.screen import Screen
from agents.store.late_records import LateRecord, LateRecordStore
from agents.store.looks import StoredNote
from pipeline.proof.note_evidence import billed_before, credit_key, key_of
from schemas.credit_note import CreditNote, CreditNoteLine
from schemas.evidence import GivenBack
from schemas.quantity import ZERO

if TYPE_CHECKING:
    from agents.cli.reading import Reading


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the invoice that a note corrects: where it stands, what it billed, what earlier notes took of it."""

    invoice: str
    line: int
    billed: Decimal
    taken: Decimal


@dataclass(frozen=True, slots=True)
class CreditExplained:
    """A line of a note taken apart."""

    note: CreditNote
    place: int
    line: CreditNoteLine
    of: Place | None
    """None where no invoice billed what is given back."""
    given: tuple[GivenBack, ...]
    causes: tuple[LateRecord, ...]
    usage: tuple[Explained, ...]


async def explain_note(
    readers: Reading, screen: Screen, stored: StoredNote, line: str, look: Look, *, as_json: bool
) -> None:
    """Shows the lines of a note, or one of them taken apart. Raises NotFound."""
    grounds = await grounds_of(readers, stored)
    if not line:
        _show_lines(screen, grounds, as_json=as_json)
        return
    found = await _taken_apart(readers, grounds, place_of(stored.note, line), look)
    if as_json:
        screen.document(_described(found))
    else:
        _show(screen, found)


async def show_note(readers: Reading, screen: Screen, stored: StoredNote, *, as_json: bool) -> None:
    """Shows a note: its lines, its totals, and where the total goes."""
    note = stored.note
    if as_json:
        screen.document({"credit_note": note.model_dump(mode="json"), "sha256": stored.sha256})
        return
    _show_lines(screen, await grounds_of(readers, stored), as_json=False)
    for said in _totals(note):
        screen.say(f"  {said}")
    screen.say(f"  sha256        {stored.sha256}; computed again by: tally replay {note.number or note.id}")


def _totals(note: CreditNote) -> list[str]:
    """What is taken back in all, and where it goes, in sentences."""
    totals, settled = note.totals, note.settled
    taxes = "".join(f", tax {group.tax:,f} at {number(group.percentage)} % of {group.taxable:,f}"
                    for group in totals.tax_by_rate)  # fmt: skip
    said = [f"net {totals.net:,f}{taxes}; total {totals.total:,f} {note.currency}"]
    places = (
        ("set off against the invoice of the same run", settled.set_off), ("cancelled of what was open",
        settled.cancelled), ("restored to credits", settled.restored), ("to be paid out", settled.refunded),
        ("kept for the next invoice", settled.kept),
    )  # fmt: skip
    return said + [f"{amount:,f} {where}" for where, amount in places if amount]


async def _taken_apart(readers: Reading, grounds: Grounds, place: int, look: Look) -> CreditExplained:
    note = grounds.stored.note
    line = note.lines[place - 1]
    key = key_of(line, grounds.invoice)
    given = tuple(each for each in grounds.given_back if credit_key(each) == key)
    positions = line.late.positions if line.late is not None else ()
    store = LateRecordStore(readers.connection)
    causes = await asyncio.to_thread(store.at, positions, note.customer, line.period) if positions else ()
    usage = [
        await explained(readers, counted_by(note, each), day=look.day, after=look.after, days=look.days,
                        events=look.events)
        for each in given
    ]  # fmt: skip
    return CreditExplained(note, place, line, _place(grounds, line), given, causes, tuple(usage))


def _place(grounds: Grounds, line: CreditNoteLine) -> Place | None:
    invoice = grounds.invoice
    if invoice is None or line.invoice_line is None:
        return None
    place = next(place for place, each in enumerate(invoice.lines, 1) if each.id == line.invoice_line)
    taken = [each.gross for stored in grounds.earlier for each in stored.note.lines
             if each.invoice_line == line.invoice_line]  # fmt: skip
    return Place(invoice.number or invoice.id, place, invoice.lines[place - 1].amount, sum(taken, ZERO))


def _show_lines(screen: Screen, grounds: Grounds, *, as_json: bool) -> None:
    note = grounds.stored.note
    places = [_place(grounds, line) for line in note.lines]
    if as_json:
        screen.document({
            "credit_note": note.number or note.id, "invoice": note.invoice_number, "reason": note.reason,
            "lines": [{"line": place, "id": line.id, "charge": line.charge, **_amounts(line), "gives_back": _of(of)}
                      for place, (line, of) in enumerate(zip(note.lines, places, strict=True), 1)],
        })  # fmt: skip
        return
    columns = (">line", "charge", "gives back", ">of", ">late records", ">gross", ">discount", ">net")
    screen.table(_title(note), columns, [
        (place, line.charge, "" if of is None else f"{of.invoice} line {of.line}", "" if of is None else
         f"{of.billed:,f}", "" if line.late is None else f"{line.late.records:,}", f"{line.gross:,f}",
         f"{line.discount:,f}", f"{line.net:,f}")
        for place, (line, of) in enumerate(zip(note.lines, places, strict=True), 1)
    ])  # fmt: skip
    screen.say(note.reason)
    screen.say(f"Next: tally explain {note.number or note.id}:LINE")


def _title(note: CreditNote) -> str:
    of = f" of {note.invoice_number}" if note.invoice_number else ""
    return f"{note.number or 'draft ' + note.id[:8]}{of}  {note.customer}  {note.totals.total:,f} {note.currency}"


def _show(screen: Screen, found: CreditExplained) -> None:
    document = found.note.number or found.note.id
    screen.say(f"{_title(found.note)}, line {found.place}: {found.line.charge}, {found.note.reason}")
    for said in _said(found):
        screen.say(f"  {said}")
    screen.say()
    for each in found.given:
        screen.table("what the run gave back", COLUMNS, list(rated_rows(each.rated, found.note.period)))
    if found.line.late is not None:
        _show_causes(screen, found)
    if not found.usage:
        screen.say("No usage stands behind this line.")
    for usage in found.usage:
        show_usage(screen, usage, document, f"{document}:{found.place}")


def _said(found: CreditExplained) -> list[str]:
    """The arithmetic of a line in sentences."""
    line, of = found.line, found.of
    said = [_of_run(each) for each in found.given]
    if of is not None:
        left = of.billed - of.taken
        said.append(f"gives back line {of.line} of {of.invoice}: billed {of.billed:,f}, taken back before "
                    f"{of.taken:,f}, so {left:,f} was left")  # fmt: skip
    asked = line.gross if line.asked is None else line.asked
    said.append(f"asked back {asked:,f}; gross {line.gross:,f} less discount {line.discount:,f} is net {line.net:,f}")
    tax, total = found.note.totals.tax, found.note.totals.total
    said.append(f"tax of the note {tax:,f} by cumulative rounding over all notes of the invoice; total {total:,f}")
    return said


def _of_run(given: GivenBack) -> str:
    rated = given.rated
    if rated.previous is None:
        return f"the run gave back {-rated.amount:,f}"
    before = billed_before(given)
    return (f"owed now {before + rated.amount:,f} for {rated.period.start:%Y-%m-%d} to {rated.period.end:%Y-%m-%d}, "
            f"billed before {before:,f}: the run gave back {-rated.amount:,f}")  # fmt: skip


def _show_causes(screen: Screen, found: CreditExplained) -> None:
    late = found.line.late
    assert late is not None
    screen.table(
        f"why: {late.records:,} records came after the close (policy {late.policy})",
        ("position", "what", "time (UTC)", "subject", "source or customer", "id"),
        [(each.position, each.what, clock_time(each.time), each.subject, each.source, each.id)
         for each in found.causes],
    )  # fmt: skip
    gone = len(late.positions) - len(found.causes)
    if gone:
        screen.say(f"{gone:,} of the positions named are no longer kept here: {', '.join(late.positions)}")
    if late.records > len(late.positions):
        screen.say(f"{len(late.positions):,} of {late.records:,} are named, the first by position")


def _amounts(line: CreditNoteLine) -> dict[str, str]:
    asked = line.gross if line.asked is None else line.asked
    return {"asked": f"{asked:f}", "gross": f"{line.gross:f}", "discount": f"{line.discount:f}", "net": f"{line.net:f}"}


def _of(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {"invoice": place.invoice, "line": place.line, "billed": f"{place.billed:f}",
            "taken_before": f"{place.taken:f}"}  # fmt: skip


def _described(found: CreditExplained) -> dict[str, object]:
    late = found.line.late
    return {
        "credit_note": found.note.number or found.note.id,
        "line": found.place,
        "charge": found.line.charge,
        "reason": found.note.reason,
        **_amounts(found.line),
        "gives_back": _of(found.of),
        "late": None if late is None else {
            "policy": late.policy, "records": late.records, "positions": list(late.positions),
            "causes": [
                {"position": each.position, "what": each.what, "time": each.time.isoformat(), "subject": each.subject,
                 "source": each.source, "id": each.id, "data": each.data}
                for each in found.causes
            ],
        },
        "given_back": [
            {"amount": f"{-given.rated.amount:f}", "rated": given.rated.model_dump(mode="json"), **described(usage)}
            for given, usage in zip(found.given, found.usage, strict=True)
        ],
    }  # fmt: skip
