"""Evidence gathered from the stores, written to files, read back and checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.cli.explaining import Counted, billed_by, close_of, line_key
from agents.cli.note_grounds import Grounds, grounds_of
from agents.cli.reading import Reading
from agents.store.line_usage import LineKey, LineUsage
from agents.store.looks import StoredInvoice, StoredNote
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.proof.evidence import event_line, events_proof, evidence_bytes, faults, statement_bytes
from pipeline.proof.note_evidence import note_faults
from schemas.catalogue_entry import Catalogue
from schemas.credit_note import CreditNote
from schemas.customer_state import PeriodClosed
from schemas.evidence import (
    EMBEDDED_AT_MOST,
    EventsProof,
    Evidence,
    FrozenUsage,
    NoteStatement,
    Owner,
    RawEvent,
    StatedDocument,
    Statement,
    UsageProof,
)
from schemas.invoice import Basis, Invoice
from schemas.period import Period
from schemas.tick import Vector

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage behind the lines of a document: frozen, and every event of it."""

    proofs: tuple[UsageProof, ...] = ()
    owners: tuple[Owner, ...] = ()
    events: tuple[RawEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that evidence of an invoice needs, but for its signature."""

    stored: StoredInvoice
    close: Mapping[str, Any]
    usage: tuple[UsageProof, ...]
    owners: tuple[Owner, ...]
    events: tuple[RawEvent, ...]

    def statement(self, companion: str | None) -> Statement:
        """What is signed."""
        return Statement(
            engine=self.stored.invoice.engine,
            document=json.loads(self.stored.document),
            document_sha256=self.stored.sha256,
            close=self.close,
            usage=self.usage,
            owners=self.owners,
            events=_proof_of(self.events, self.stored.invoice.basis, companion),
        )


@dataclass(frozen=True, slots=True)
class GatheredNote:
    """All that evidence of a credit note needs, but for its signature."""

    grounds: Grounds
    usage: Usage

    @property
    def events(self) -> tuple[RawEvent, ...]:
        """Every event that its run counted of the charges that gave back."""
        return self.usage.events

    def statement(self, companion: str | None) -> NoteStatement:
        """What is signed."""
        grounds, note = self.grounds, self.grounds.stored.note
        return NoteStatement(
            engine=note.engine,
            document=json.loads(grounds.stored.document),
            document_sha256=grounds.stored.sha256,
            close=json.loads(grounds.closed.model_dump_json()),
            usage=self.usage.proofs,
            owners=self.usage.owners,
            events=_proof_of(self.events, note.basis, companion),
            corrects=None if grounds.corrects is None else _stated(grounds.corrects),
            earlier=tuple(_stated(each) for each in grounds.earlier),
            given_back=grounds.given_back,
            issued=grounds.issued,
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of evidence found wrong; and what it is about."""

    faults: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


async def gathered(readers: Reading, stored: StoredInvoice) -> Gathered:
    """Everything that stands behind an invoice. Raises NotFound where raw usage is no longer kept."""
    invoice = stored.invoice
    catalogue = await readers.catalogue.as_of(Vector(ends=invoice.basis.vector).end(CATALOGUE, 0))
    closed = await asyncio.to_thread(close_of, readers, invoice.basis)
    lines = [billed_by(invoice, line) for line in invoice.lines if line.rated.meter is not None]
    name = invoice.number or invoice.id
    usage = await asyncio.to_thread(_usage_behind, readers, name, lines, closed, catalogue)
    return Gathered(stored, json.loads(closed.model_dump_json()), usage.proofs, usage.owners, usage.events)


async def gathered_note(readers: Reading, stored: StoredNote) -> GatheredNote:
    """Everything that stands behind a credit note. Raises NotFound where raw usage is no longer kept."""
    grounds = await grounds_of(readers, stored)
    name = stored.note.number or stored.note.id
    catalogue, closed = grounds.catalogue, grounds.closed
    usage = await asyncio.to_thread(_usage_behind, readers, name, grounds.counted, closed, catalogue)
    return GatheredNote(grounds, usage)


def _usage_behind(
    readers: Reading, name: str, lines: Sequence[Counted], closed: PeriodClosed, catalogue: Catalogue
) -> Usage:
    from agents.cli.failures import NotFound

    if not lines:
        return Usage()
    usage, vector = LineUsage(readers.connection), lines[0].vector
    once = {(line.subscription, line.rated.meter, line.rated.meter_version, line.span): line for line in lines}
    keys = [(line.subscription, line_key(line, closed, catalogue)) for line in once.values()]
    proofs = tuple(_proof(usage, closed.close_id, subscription, key) for subscription, key in keys)
    events = _events(usage, lines[0].customer, [key for _, key in keys], vector)
    if any(row.events for proof in proofs for row in proof.groups) and not events:
        raise NotFound(f"the raw usage of {name} is no longer kept: its quantities are frozen")
    owners = usage.owners(sorted({event.subject for event in events}), vector)
    listed = tuple(
        Owner(subject=subject, since=since, customer=customer)
        for subject, moves in sorted(owners.items())
        for since, customer in moves
    )
    return Usage(proofs, listed, events)


def _stated(stored: StoredInvoice | StoredNote) -> StatedDocument:
    return StatedDocument(document=json.loads(stored.document), sha256=stored.sha256)


def _proof_of(events: Sequence[RawEvent], basis: Basis, companion: str | None) -> EventsProof:
    return events_proof(events, basis.vector.get(USAGE_EVENTS, ()), companion)


def _proof(usage: LineUsage, close_id: str, subscription: str, key: LineKey) -> UsageProof:
    frame = key.frame
    return UsageProof(
        subscription=subscription,
        meter=key.meter.name,
        meter_version=key.meter.version,
        definition=key.meter.meter,
        service=frame.span,
        period=frame.full_period or frame.span,
        time_zone=frame.time_zone,
        pauses=frame.gaps,
        subjects=frame.subjects,
        other_subjects=frame.other_subjects,
        groups=tuple(_frozen(row) for row in usage.frozen(close_id, subscription, key)),
    )


def _frozen(row: Mapping[str, Any]) -> FrozenUsage:
    return FrozenUsage(
        group=tuple(json.loads(row["grp"])), events=row["events"], invalid=row["invalid"], value=row["value"]
    )


def _events(usage: LineUsage, customer: str, keys: Sequence[LineKey], vector: Vector) -> tuple[RawEvent, ...]:
    """The events behind all lines, each once, by position: those of the types of the meters, in their spans."""
    found: dict[tuple[int, int], RawEvent] = {}
    spans: dict[tuple[Period, bool], set[str]] = {}
    for key in keys:
        meter = key.meter.meter
        spans.setdefault((key.span, meter.carry_over), set()).update(meter.event_types)
    for (span, carried), types in spans.items():
        for event in usage.all_events(customer, sorted(types), span, vector, carried=carried):
            found[event.partition, event.offset] = event
    return tuple(found[position] for position in sorted(found))


def written(found: Gathered | GatheredNote, key: Ed25519PrivateKey, file: Path) -> tuple[Path, ...]:
    """Signs and writes the evidence, and its companion where there are many events; the files."""
    from agents.signing import sign

    companion = file.with_name(f"{file.name}.events.jsonl") if len(found.events) > EMBEDDED_AT_MOST else None
    statement = found.statement(companion.name if companion else None)
    signature = sign(key, statement_bytes(statement))
    whole = Evidence(statement=statement, events=() if companion else found.events, signature=signature)
    if companion is not None:
        with companion.open("wb") as out:
            out.writelines(event_line(event) + b"\n" for event in found.events)
    file.write_bytes(evidence_bytes(whole))
    return (file,) if companion is None else (file, companion)


def verified(file: Path, public_key: str) -> Verified:
    """Reads evidence and checks all of it; every fault in words. Raises FileNotFoundError."""
    from pydantic import ValidationError

    from agents.signing import signed_by

    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    content = file.read_bytes()
    try:
        evidence = Evidence.model_validate_json(content)
        if evidence_bytes(evidence) != content:
            return Verified((f"{file.name}: not the canonical bytes that were written",))
        statement = evidence.statement
        if not signed_by(evidence.signature, statement_bytes(statement), public_key):
            return Verified(("the signature is not by this key over these bytes",))
        events = _companion(file, statement.events.file) if statement.events.file else evidence.events
        if isinstance(statement, NoteStatement):
            return Verified(tuple(note_faults(statement, events)), _facts(statement) | _corrected(statement))
        return Verified(tuple(faults(statement, events)), _facts(statement))
    except (ValidationError, ValueError) as fault:
        return Verified((f"{file.name}: no evidence of this version: {_first_line(fault)}",))


def _companion(evidence: Path, name: str) -> tuple[RawEvent, ...]:
    if Path(name).name != name:
        raise ValueError(f"companion {name}: must lie beside the evidence")
    file = evidence.with_name(name)
    if not file.exists():
        raise FileNotFoundError(f"{file}: the events of {evidence.name} are in this companion file, which is not there")
    content = file.read_bytes()
    events = tuple(RawEvent(**json.loads(line)) for line in content.split(b"\n") if line)
    if b"".join(event_line(event) + b"\n" for event in events) != content:
        raise ValueError(f"{name}: not the canonical lines that were written")
    return events


def _first_line(fault: Exception) -> str:
    return str(fault).replace("\n", " ")[:300]


def _facts(statement: Statement | NoteStatement) -> dict[str, Any]:
    model = CreditNote if isinstance(statement, NoteStatement) else Invoice
    shown: Invoice | CreditNote = model.model_validate(statement.document)
    return {
        "document": shown.number or shown.id,
        "customer": shown.customer,
        "total": f"{shown.totals.total:f}",
        "currency": shown.currency,
        "events": statement.events.count,
        "partitions": [
            [part.partition, part.events, part.first_offset, part.last_offset, part.next_offset]
            for part in statement.events.partitions
        ],
    }


def _corrected(statement: NoteStatement) -> dict[str, Any]:
    """Which invoice a note corrects, by its number and its hash, after which other notes."""
    corrects = statement.corrects
    return {
        "corrects": None if corrects is None else corrects.document["number"],
        "corrects_sha256": None if corrects is None else corrects.sha256,
        "after": [each.document["number"] for each in statement.earlier],
    }
