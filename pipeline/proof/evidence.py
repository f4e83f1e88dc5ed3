"""Evidence checked without us: the bytes, the events, quantities from events, amounts from quantities.

Everything here is pure; signing and files are with whoever calls. Quantities are computed by
`pipeline.meters.aggregation`, which shares nothing with the SQL that froze them; amounts by `pipeline.rating.explain`,
from what each line itself holds.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any

from pipeline.meters.aggregation import MeteredEvent, aggregate, read_payload
from pipeline.meters.aggregation.events import counts, reading_of
from pipeline.meters.scaled import quantity
from pipeline.meters.usage_needed import shape_needed
from pipeline.rating.explain import card_of, recompute
from schemas.evidence import (
    DocumentStatement,
    EventsProof,
    Evidence,
    NoteStatement,
    PartitionCount,
    RawEvent,
    Statement,
    UsageProof,
)
from schemas.identity import canonical_json
from schemas.invoice import Basis, Invoice, InvoiceLine, lasting
from schemas.period import Period
from schemas.price import Percentage
from schemas.quantity import ZERO, plain
from schemas.rated_line import RatedLine
from schemas.tick import USAGE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Proven = Sequence[tuple[UsageProof, Sequence[MeteredEvent]]]
"""Each proof with the events that it is about."""


def event_line(event: RawEvent) -> bytes:
    """The canonical JSON of an event (RFC 8785): one line of a companion file."""
    content = {
        "data": event.data, "id": event.id, "offset": event.offset, "partition": event.partition,
        "source": event.source, "subject": event.subject, "time_ms": event.time_ms, "type": event.type,
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def events_proof(events: Sequence[RawEvent], next_offsets: Sequence[int], file: str | None) -> EventsProof:
    """What events, in order of position, must be: their number per partition, and the hashes of their lines."""
    whole = hashlib.sha256()
    parts = []
    for partition, group in groupby(events, key=lambda event: event.partition):
        own = list(group)
        hashed = hashlib.sha256()
        for event in own:
            line = event_line(event) + b"\n"
            hashed.update(line)
            whole.update(line)
        end = next_offsets[partition] if partition < len(next_offsets) else 0
        parts.append(
            PartitionCount(
                partition=partition, events=len(own), first_offset=own[0].offset, last_offset=own[-1].offset,
                next_offset=end, sha256=hashed.hexdigest(),
            )
        )  # fmt: skip
    return EventsProof(count=len(events), sha256=whole.hexdigest(), partitions=tuple(parts), file=file)


def statement_bytes(statement: Statement | NoteStatement) -> bytes:
    """What is signed."""
    return canonical_json(statement.model_dump(mode="json"))


def evidence_bytes(evidence: Evidence) -> bytes:
    """The one byte form of the file."""
    return canonical_json(evidence.model_dump(mode="json"))


def faults(statement: Statement, events: Sequence[RawEvent]) -> Iterator[str]:
    """Everything that does not hold, in words; nothing if the invoice is what its events and prices say."""
    invoice = Invoice.model_validate(statement.document)
    yield from document_faults(statement, invoice.basis)
    yield from _total_faults(invoice)
    yield from event_faults(statement, events, invoice.customer)
    proven = proven_by(statement, events)
    yield from usage_faults(proven)
    for place, line in enumerate(invoice.lines, 1):
        yield from (f"line {place}: {said}" for said in _line_faults(line, invoice, proven))


def document_faults(statement: DocumentStatement, basis: Basis) -> Iterator[str]:
    """Whether the document has the hash that is stated, and rests on the close that is."""
    if sha256_of(statement.document) != statement.document_sha256:
        yield "document: its SHA-256 is not the one stated"
    tick = statement.close["tick"]
    vector = {topic: list(ends) for topic, ends in basis.vector.items()}
    if (basis.close_id, basis.tick, vector) != (statement.close["close_id"], tick["number"], tick["vector"]["ends"]):
        yield "document: it does not rest on the close that is stated"


def sha256_of(document: Mapping[str, Any]) -> str:
    """The hash of what never changes of a final document."""
    return hashlib.sha256(canonical_json(lasting(document))).hexdigest()


def _total_faults(invoice: Invoice) -> Iterator[str]:
    totals = invoice.totals
    deducted = sum((each.total for each in invoice.deductions), ZERO)
    for said, stated, found in (
        ("subtotal", totals.subtotal, sum((line.amount for line in invoice.lines), ZERO)),
        ("tax", totals.tax, sum((group.tax for group in totals.tax_by_rate), ZERO)),
        ("total", totals.total, totals.net + totals.tax),
        ("deducted", totals.deducted, deducted),
        ("excess", totals.excess, max(ZERO, deducted - totals.total)),
        ("amount due", totals.amount_due, totals.total - deducted + totals.excess - totals.credits_applied),
    ):
        if stated != found:
            yield f"document: {said} is {stated:f}, its parts give {found:f}"


def event_faults(statement: DocumentStatement, events: Sequence[RawEvent], customer: str) -> Iterator[str]:
    """Whether the events are those that are stated, in order, below the vector, and of the customer."""
    ends = statement.close["tick"]["vector"]["ends"].get(USAGE, ())
    positions = [(event.partition, event.offset) for event in events]
    if any(later <= earlier for earlier, later in pairwise(positions)):
        yield "events: not in order of position, or one position twice"
        return
    if len({(event.source, event.id) for event in events}) < len(events):
        yield "events: an identity (source, id) is there twice"
    found = events_proof(events, ends, statement.events.file)
    if found != statement.events:
        yield from _differing_counts(statement.events, found)
    for event in events:
        if event.partition >= len(ends) or event.offset >= ends[event.partition]:
            yield f"events: {event.partition}:{event.offset} lies beyond the vector of the close"
    owners = _owners(statement)
    for event in events:
        if (owner := _owner(owners, event)) != customer:
            yield f"events: {event.partition}:{event.offset} belongs to {owner}"


def _differing_counts(stated: EventsProof, found: EventsProof) -> Iterator[str]:
    before, after = ({part.partition: part for part in proof.partitions} for proof in (stated, found))
    for partition in sorted(before.keys() | after.keys()):
        one, other = before.get(partition), after.get(partition)
        if one != other:
            counts = [part.events if part else 0 for part in (one, other)]
            why = "other bytes" if counts[0] == counts[1] else f"{counts[0]:,} stated, {counts[1]:,} found"
            yield f"events: partition {partition}: {why}"
    if before == after:
        yield "events: number or SHA-256 is not the one stated"


def _owners(statement: DocumentStatement) -> Mapping[str, Sequence[tuple[datetime, str]]]:
    found: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for owner in statement.owners:
        found[owner.subject].append((owner.since, owner.customer))
    return {subject: sorted(since) for subject, since in found.items()}


def _owner(owners: Mapping[str, Sequence[tuple[datetime, str]]], event: RawEvent) -> str:
    """Whose an event is: of the last owner by then, else the subject is its own customer."""
    since = owners.get(event.subject, ())
    place = bisect_right(since, _time(event), key=lambda one: one[0])
    return since[place - 1][1] if place else event.subject


def _counted_by(proof: UsageProof, events: Sequence[RawEvent]) -> Sequence[MeteredEvent]:
    """The events of a proof's subjects outside its pauses, in order of arrival."""
    return [
        MeteredEvent(event.type, _time(event), read_payload(event.data))
        for event in sorted(events, key=lambda event: (event.offset, event.partition))
        if event.type in proof.definition.event_types
        and (
            event.subject in proof.subjects if proof.subjects is not None else event.subject not in proof.other_subjects
        )
        and not any(pause.contains(_time(event)) for pause in proof.pauses)
    ]


def proven_by(statement: DocumentStatement, events: Sequence[RawEvent]) -> Proven:
    """Each proof of a statement with the events that it is about."""
    return [(proof, _counted_by(proof, events)) for proof in statement.usage]


def usage_faults(proven: Proven) -> Iterator[str]:
    """Where the events do not give what the close froze."""
    for proof, events in proven:
        yield from _frozen_faults(proof, events)


def _frozen_faults(proof: UsageProof, events: Sequence[MeteredEvent]) -> Iterator[str]:
    rows = aggregate(proof.definition, events, proof.service, time_zone=proof.time_zone, full_period=proof.period)
    found = {row.group: (row.events, row.invalid, row.value) for row in rows if row.events or row.value}
    stated = {row.group: (row.events, row.invalid, row.value) for row in proof.groups if row.events or row.value}
    for group in sorted(found.keys() | stated.keys(), key=str):
        one, other = stated.get(group), found.get(group)
        if one != other:
            yield f"usage: {proof.meter} {list(group)}: frozen {_shown(one)}, the events give {_shown(other)}"


def _shown(values: tuple[int, int, Decimal] | None) -> str:
    return "nothing" if values is None else f"{values[0]:,} events, {values[1]:,} unusable, {plain(values[2])}"


def _line_faults(line: InvoiceLine, invoice: Invoice, proven: Proven) -> Iterator[str]:
    """A line computed again from its quantity and its own rate card; and its quantity from the events."""
    rated, span = line.rated, line.span or line.rated.service
    proof, events = behind(proven, line.subscription, rated, span)
    if rated.meter is not None and rated.kind == "usage" and proof is None:
        yield f"no usage of {rated.meter} is stated for it"
        return
    yield from rated_faults(rated, proof, events)
    if line.amount != rated.amount:
        yield f"{rated.charge}: bills {line.amount:f}, rated {rated.amount:f}"
    if proof is not None and rated.kind == "usage":
        of_charge = (rated.charge, line.charge_number)
        same = [
            each.rated for each in invoice.lines
            if (each.rated.charge, each.charge_number) == of_charge
            and _stands_behind(proof, each.subscription, each.rated, each.span or each.rated.service)
        ]  # fmt: skip
        # Of a correction only the lines that changed are here.
        if line.adjusts is None or not any(each.dimensions for each in same):
            yield from quantity_faults(rated, same, proof, events)


def behind(
    proven: Proven, subscription: str, rated: RatedLine, span: Period
) -> tuple[UsageProof | None, Sequence[MeteredEvent]]:
    """The proof of what a line counts in a span, with its events."""
    found = (each for each in proven if _stands_behind(each[0], subscription, rated, span))
    return next(found, (None, ()))


def _stands_behind(proof: UsageProof, subscription: str, rated: RatedLine, span: Period) -> bool:
    counted = (proof.subscription, proof.meter, proof.meter_version, proof.service)
    return counted == (subscription, rated.meter, rated.meter_version, span)


def rated_faults(rated: RatedLine, proof: UsageProof | None, events: Sequence[MeteredEvent]) -> Iterator[str]:
    """Whether a line is what its own rate card gives for its quantity, or for each transaction."""
    transactions = None if proof is None or not isinstance(rated.price, Percentage) else _amounts(proof, events)
    again = recompute(rated, transactions)
    if again != rated:
        yield f"{rated.charge}: its rate card gives {again.amount:f} for this quantity, not {rated.amount:f}"


def quantity_faults(
    rated: RatedLine, of_charge: Sequence[RatedLine], proof: UsageProof, events: Sequence[MeteredEvent]
) -> Iterator[str]:
    """All lines of a charge together bill what its meter gives, in the windows in which the price counts.

    Of a price of transactions every one is looked at already, where the line is computed again.
    """
    if isinstance(rated.price, Percentage):
        return
    same = [each for each in of_charge if each.kind in ("usage", "unpriced")]
    found = _by_window(proof, rated, events)
    if any(each.usage for each in same) and None not in found:
        billed = _summed((row.window, row.quantity) for each in same for row in each.usage)
        for window in sorted(found.keys() | billed.keys(), key=str):
            if billed.get(window, ZERO) != found.get(window, ZERO):
                stated = f"counts {billed.get(window, ZERO):f} in {window}"
                yield f"{rated.charge}: {stated}, the events give {found.get(window)}"
        return
    quantity_billed, used = sum((each.quantity for each in same), ZERO), sum(found.values(), ZERO)
    if quantity_billed != used:
        yield f"{rated.charge}: bills {plain(quantity_billed)}, its events give {plain(used)}"


def _by_window(proof: UsageProof, rated: RatedLine, events: Sequence[MeteredEvent]) -> dict[Period | None, Decimal]:
    """What a line's meter gives, cut as its price asks: per window, or (None) for the whole span."""
    meter, conditions = proof.definition, rated.conditions
    shape = shape_needed(card_of(rated), meter)
    asked = meter if shape.by_group else meter.model_copy(update={"group_by": ()})
    anchor = (conditions.anchor if conditions else None) or proof.period.start
    rows = aggregate(
        asked, events, proof.service, time_zone=proof.time_zone, window=shape.window or None,
        anchor=anchor if shape.window == "month" else None, full_period=proof.period,
    )  # fmt: skip
    return _summed((row.window, row.value) for row in rows)


def _summed(parts: Iterable[tuple[Period | None, Decimal]]) -> dict[Period | None, Decimal]:
    found: dict[Period | None, Decimal] = {}
    for window, value in parts:
        found[window] = found.get(window, ZERO) + value
    return found


def _amounts(proof: UsageProof, events: Iterable[MeteredEvent]) -> list[Decimal]:
    """The value of each event of a span, in order of time and arrival: what a percentage is taken of."""
    own = [event for event in events if counts(proof.definition, event) and proof.service.contains(event.time)]
    readings = [reading_of(proof.definition, event) for event in sorted(own, key=lambda event: event.time)]
    return [quantity(reading.value) for reading in readings if reading.value is not None]


def _time(event: RawEvent) -> datetime:
    return EPOCH + timedelta(milliseconds=event.time_ms)
