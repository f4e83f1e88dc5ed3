"""Evidence of a credit note checked without us: from the events to what is owed now, from there to what is taken back.

What the run gave back follows from the events, its rate cards and what runs before had issued; what of it the note
takes back, and the tax of it, from the invoice and the notes before: all of them stand in the signed part. Where the
total went follows from payments, which are no part of it: its parts must add up. Source: rating.md §5, §8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal

from pipeline.closing.issued import added
from pipeline.proof.evidence import (
    Proven,
    behind,
    document_faults,
    event_faults,
    proven_by,
    quantity_faults,
    rated_faults,
    sha256_of,
    usage_faults,
)
from pipeline.proof.replayed_notes import earlier_than, note_again, unsettled, void_again
from pipeline.rating.totals import Line, totals
from schemas.credit_note import CreditNote, CreditNoteLine, CreditTotals
from schemas.evidence import GivenBack, NoteStatement, RawEvent, StatedDocument
from schemas.invoice import Invoice, InvoiceLine
from schemas.issued_line import IssuedLine
from schemas.money import Currency
from schemas.period import Period
from schemas.quantity import ZERO
from schemas.rated_line import StageAmounts

CreditKey = tuple[str, str, Period, bool, tuple[tuple[str, str | None], ...]]
"""What a credit is of: subscription, charge, period, whether a top-up to a minimum, dimensions."""
AMOUNTS = ("gross", "discount", "net")
TOTALS = ("gross", "discount", "net", "tax", "tax_by_rate", "total")
OF_THE_LINE = ("subscription", "taxes", "tax_behavior")


def note_faults(statement: NoteStatement, events: Sequence[RawEvent]) -> Iterator[str]:
    """Everything that does not hold, in words; nothing if the note takes back what its events and documents say."""
    note = CreditNote.model_validate(statement.document)
    invoice = None if statement.corrects is None else Invoice.model_validate(statement.corrects.document)
    earlier = [CreditNote.model_validate(each.document) for each in statement.earlier]
    yield from document_faults(statement, note.basis)
    yield from _chain_faults(statement, note, invoice, earlier)
    yield from event_faults(statement, events, note.customer)
    proven = proven_by(statement, events)
    yield from usage_faults(proven)
    for given in statement.given_back:
        yield from _given_back_faults(given, statement.given_back, statement.issued, proven)
    yield from _asked_faults(note, invoice, statement.given_back)
    for place, line in enumerate(note.lines, 1):
        yield from (f"line {place}: {said}" for said in _line_faults(line, note, invoice))
    if (note.invoice is None) == (invoice is None):
        for place, each in enumerate((*earlier, note)):
            yield from _amount_faults(each, invoice, earlier[:place], "" if each is note else f"{each.number}: ")


def _chain_faults(
    statement: NoteStatement, note: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote]
) -> Iterator[str]:
    """Whether the invoice and the notes before are those that the note says, with the bytes that are stated."""
    others = [*([statement.corrects] if statement.corrects else []), *statement.earlier]
    yield from (f"{each.document['number']}: its SHA-256 is not the one stated" for each in others if _is_altered(each))
    corrected = (note.invoice, note.invoice_number) if note.status == "issued" else (note.invoice, None)
    found = (None, None) if invoice is None else (invoice.id, invoice.number if note.status == "issued" else None)
    if corrected != found:
        yield f"document: corrects {note.invoice_number or note.invoice}, {found[1] or found[0]} is stated"
    if list(earlier) != earlier_than(note, earlier):
        yield "earlier notes: not the issued ones of the same invoice before this one, in order"
    documents: list[Invoice | CreditNote] = [*([invoice] if invoice else []), *earlier]
    for each in documents:
        if (each.customer, each.currency) != (note.customer, note.currency):
            yield f"{each.number}: of {each.customer} in {each.currency}, the note is of another"


def _is_altered(stated: StatedDocument) -> bool:
    return sha256_of(stated.document) != stated.sha256


def credit_key(given: GivenBack) -> CreditKey:
    """What a line that gives back is of."""
    rated = given.rated
    dimensions = tuple(sorted(rated.dimensions.items()))
    return given.subscription, rated.charge, rated.period, rated.kind == "top_up", dimensions


def key_of(line: CreditNoteLine, invoice: Invoice | None) -> CreditKey:
    """The same of a line of a note: as the invoice billed it, or (where none did) as it was rated."""
    original = billed_line(line, invoice)
    rated = original.rated if original is not None else line.rated
    dimensions = () if rated is None else tuple(sorted(rated.dimensions.items()))
    return line.subscription, line.charge, line.period, rated is not None and rated.kind == "top_up", dimensions


def billed_line(line: CreditNoteLine, invoice: Invoice | None) -> InvoiceLine | None:
    """The line of the invoice that a line of a note gives back; None where no invoice billed it."""
    lines = () if invoice is None else invoice.lines
    return next((each for each in lines if each.id == line.invoice_line), None)


def billed_before(given: GivenBack) -> Decimal:
    """What was billed of its part of the charge before the run that gave back."""
    previous = given.rated.previous or StageAmounts()
    return previous.top_up if given.rated.kind == "top_up" else previous.capped


def _given_back_faults(
    given: GivenBack, all_given: Sequence[GivenBack], issued: Sequence[IssuedLine], proven: Proven
) -> Iterator[str]:
    """A line that gives back: its rate card, its quantity from the events, and what it deducts."""
    rated = given.rated
    proof, events = behind(proven, given.subscription, rated, rated.service)
    if rated.amount >= 0:
        yield f"{rated.charge}: {rated.amount:f} gives nothing back"
    if rated.meter is not None and proof is None:
        yield f"{rated.charge}: no usage of {rated.meter} is stated for what is given back"
        return
    yield from rated_faults(rated, proof, events)
    if rated.previous is not None and rated.previous not in (found := list(_before(given, issued))):
        shown = " or ".join(f"{each.total:f}" for each in found) or "nothing"
        yield f"{rated.charge}: deducts {rated.previous.total:f}, what was issued before is {shown}"
    if proof is not None and rated.kind == "usage" and not rated.dimensions:  # by dimension only those that changed
        same = [each.rated for each in all_given if _is_of(each, given)]
        yield from quantity_faults(rated, same, proof, events)


def _is_of(one: GivenBack, other: GivenBack) -> bool:
    """Whether two lines are of one charge in one service span."""
    key, same = ((each.subscription, each.rated.charge, each.number, each.rated.service) for each in (one, other))
    return key == same


def _before(given: GivenBack, issued: Sequence[IssuedLine]) -> Iterator[StageAmounts]:
    """What runs before had issued of the same part: per entry, where several have the same dimensions."""
    rated = given.rated
    of_charge = [each for each in issued if each.key == (given.subscription, rated.charge, given.number, rated.period)]
    if rated.kind == "top_up":
        yield _sum(of_charge)
        return
    parts: dict[int, list[IssuedLine]] = defaultdict(list)
    for each in of_charge:
        if each.kind in ("fee", "usage") and each.dimensions == rated.dimensions:
            parts[each.entry].append(each)
    yield from (_sum(lines) for lines in parts.values())


def _sum(issued: Sequence[IssuedLine]) -> StageAmounts:
    found = StageAmounts()
    for each in issued:
        found = added(found, each.stages)
    return found


def _asked_faults(note: CreditNote, invoice: Invoice | None, given_back: Sequence[GivenBack]) -> Iterator[str]:
    """A note asks back no more than its run gave back; the rest, if any, stands on other notes of the run."""
    if note.books_void:
        return
    given: dict[CreditKey, Decimal] = defaultdict(lambda: ZERO)
    asked: dict[CreditKey, Decimal] = defaultdict(lambda: ZERO)
    for each in given_back:
        given[credit_key(each)] -= each.rated.amount
    for line in note.lines:
        asked[key_of(line, invoice)] += _asked(line)
    for key, amount in asked.items():
        if amount > given[key]:
            yield f"{key[1]}: asks back {amount:f}, the run gave back {given[key]:f}"
    yield from (f"{key[1]}: gives back what is not on the note" for key in given.keys() - asked.keys())


def _asked(line: CreditNoteLine) -> Decimal:
    return line.gross if line.asked is None else line.asked


def _line_faults(line: CreditNoteLine, note: CreditNote, invoice: Invoice | None) -> Iterator[str]:
    """A line against the one that it gives back, and its causes against both vectors."""
    original = billed_line(line, invoice)
    if line.invoice_line is not None and original is None:
        yield "the invoice has no such line"
    if original is not None:
        stated = (line.charge, line.period, *(getattr(line, name) for name in OF_THE_LINE))
        billed = (original.rated.charge, original.rated.period, *(getattr(original, name) for name in OF_THE_LINE))
        if stated != billed:
            yield f"{line.charge}: subscription, charge, period or taxes are not those of the line that it gives back"
    if line.late is not None:
        if line.late.records < len(line.late.positions):
            yield f"{line.charge}: names {len(line.late.positions)} records that came late, of {line.late.records}"
        yield from (
            f"{line.charge}: {position} did not come between the two closes"
            for position in line.late.positions
            if not _between(position, invoice, note)
        )


def _between(position: str, invoice: Invoice | None, note: CreditNote) -> bool:
    """Whether a record lies below the vector of the note's close, and not below that of the invoice's."""
    topic, partition, offset = position.rsplit("/", 2)
    place = int(partition)
    ends = note.basis.vector.get(topic, ())
    begins = () if invoice is None else invoice.basis.vector.get(topic, ())
    begin = begins[place] if place < len(begins) else 0
    return place < len(ends) and begin <= int(offset) < ends[place]


def _amount_faults(
    note: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote], said: str
) -> Iterator[str]:
    """The note computed again from its invoice and the notes before: lines, discount, tax, total."""
    again = _again(note, invoice, earlier)
    if len(again.lines) != len(note.lines):
        yield f"{said}document: {len(note.lines)} lines are stated, {len(again.lines)} follow"
    for place, (stated, found) in enumerate(zip(note.lines, again.lines, strict=False), 1):
        for name in AMOUNTS:
            if getattr(stated, name) != getattr(found, name):
                yield f"{said}line {place}: {name} is {getattr(stated, name):f}, {getattr(found, name):f} follows"
    for name in TOTALS:
        one, other = getattr(note.totals, name), getattr(again.totals, name)
        if one != other:
            yield f"{said}document: {name} is {_shown(one)}, {_shown(other)} follows"
    if unsaid := unsettled(note):
        yield f"{said}document: {unsaid}"


def _shown(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _again(note: CreditNote, invoice: Invoice | None, earlier: Sequence[CreditNote]) -> CreditNote:
    if note.books_void and invoice is not None:
        return void_again(note, invoice, earlier)
    return note_again(_drafted(note), note, invoice, earlier)


def _drafted(note: CreditNote) -> CreditNote:
    """The draft that a note was: what its run asked back, before anything else was known."""
    found = totals(
        [Line(line.charge, _asked(line), line.taxes, line.tax_behavior == "inclusive") for line in note.lines],
        Currency(note.currency, note.minor_units),
    )
    lines = tuple(
        line.model_copy(update={"gross": _asked(line), "discount": ZERO, "net": part.net})
        for line, part in zip(note.lines, found.lines, strict=True)
    )
    asked = CreditTotals(gross=found.subtotal, discount=found.discount_total, net=found.net, tax=found.tax,
                         tax_by_rate=found.tax_by_rate, total=found.total)  # fmt: skip
    return note.model_copy(update={"status": "draft", "lines": lines, "totals": asked})
