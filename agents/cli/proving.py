"""Evidence gathered from the stores, written to files, read back and checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.cli.explaining import close_of, line_key
from agents.cli.reading import Reading
from agents.store.line_usage import LineKey, LineUsage
from agents.store.looks import StoredInvoice
from agents.topics import CATALOGUE, USAGE_EVENTS
from pipeline.proof.evidence import event_line, events_proof, evidence_bytes, faults, statement_bytes
from schemas.catalogue_entry import Catalogue
from schemas.customer_state import PeriodClosed
from schemas.evidence import (
    EMBEDDED_AT_MOST,
    Evidence,
    FrozenUsage,
    Owner,
    RawEvent,
    Statement,
    UsageProof,
)
from schemas.invoice import Invoice
from schemas.period import Period
from schemas.tick import Vector

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that evidence needs, but for its name and signature."""

    stored: StoredInvoice
    close: Mapping[str, Any]
    usage: tuple[UsageProof, ...]
    owners: tuple[Owner, ...]
    events: tuple[RawEvent, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of evidence found wrong; and what it is about."""

    faults: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


async def gathered(readers: Reading, stored: StoredInvoice) -> Gathered:
    """Everything that stands behind a document. Raises NotFound where raw usage is no longer kept."""
    invoice = stored.invoice
    vector = Vector(ends=invoice.basis.vector)
    catalogue = await readers.catalogue.as_of(vector.end(CATALOGUE, 0))
    return await asyncio.to_thread(_gathered, readers, stored, catalogue, vector)


def _gathered(readers: Reading, stored: StoredInvoice, catalogue: Catalogue, vector: Vector) -> Gathered:
    from agents.cli.failures import NotFound

    invoice, usage = stored.invoice, LineUsage(readers.connection)
    closed = close_of(readers, invoice)
    keys = _keys(invoice, closed, catalogue)
    proofs = tuple(_proof(usage, invoice.basis.close_id, subscription, key) for subscription, key in keys)
    events = _events(usage, invoice.customer, [key for _, key in keys], vector)
    frozen = sum(row.events for proof in proofs for row in proof.groups)
    if frozen and not events:
        raise NotFound(f"the raw usage of {invoice.number or invoice.id} is no longer kept: its quantities are frozen")
    owners = usage.owners(sorted({event.subject for event in events}), vector)
    listed = tuple(
        Owner(subject=subject, since=since, customer=customer)
        for subject, moves in sorted(owners.items())
        for since, customer in moves
    )
    return Gathered(stored, json.loads(closed.model_dump_json()), proofs, listed, events)


def _keys(invoice: Invoice, closed: PeriodClosed, catalogue: Catalogue) -> list[tuple[str, LineKey]]:
    """(subscription, what is counted) of the lines with usage, each once."""
    found = {
        (line.subscription, line.rated.meter, line.rated.meter_version, line.rated.service): line
        for line in invoice.lines
        if line.rated.meter is not None
    }
    return [(line.subscription, line_key(invoice, line, closed, catalogue)) for line in found.values()]


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


def written(found: Gathered, key: Ed25519PrivateKey, file: Path) -> tuple[Path, ...]:
    """Signs and writes the evidence, and its companion where there are many events; the files."""
    from agents.signing import sign

    companion = file.with_name(f"{file.name}.events.jsonl") if len(found.events) > EMBEDDED_AT_MOST else None
    ends = found.stored.invoice.basis.vector.get(USAGE_EVENTS, ())
    statement = Statement(
        engine=found.stored.invoice.engine,
        document=json.loads(found.stored.document),
        document_sha256=found.stored.sha256,
        close=found.close,
        usage=found.usage,
        owners=found.owners,
        events=events_proof(found.events, ends, companion.name if companion else None),
    )
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


def _facts(statement: Statement) -> dict[str, Any]:
    invoice = Invoice.model_validate(statement.document)
    return {
        "document": invoice.number or invoice.id,
        "customer": invoice.customer,
        "total": f"{invoice.totals.total:f}",
        "currency": invoice.currency,
        "events": statement.events.count,
        "partitions": [
            [part.partition, part.events, part.first_offset, part.last_offset, part.next_offset]
            for part in statement.events.partitions
        ],
    }
