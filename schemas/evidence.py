"""Evidence of a document: the document, what its close froze, and every raw event behind it, in one signed file.

Whoever has the file and the public key can compute the quantities from the events and the amounts from the quantities,
without us and without a network. Of a credit note the invoice that it corrects, the notes before it and what earlier
runs issued are signed too. Source: design.md §1, rating.md §8, RFC 8785 (canonical JSON), RFC 8032 (Ed25519).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from schemas.faults import Strict
from schemas.issued_line import IssuedLine
from schemas.meter import Meter
from schemas.period import Instant, Period
from schemas.quantity import Quantity
from schemas.rated_line import RatedLine

EMBEDDED_AT_MOST = 100_000
"""Above so many, the events stand in a companion file, one canonical JSON object a line."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """A counted event at its position in usage.events; `data` is the payload as received."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    type: str
    subject: str
    time_ms: int
    source: str
    id: str
    partition: int
    offset: int
    data: str


class FrozenUsage(Strict):
    """What a close froze of one group: the input of rating."""

    group: tuple[str | None, ...]
    events: int
    invalid: int
    value: Quantity


class UsageProof(Strict):
    """One meter in one served span: its definition and the groups that its events must add up to."""

    subscription: str
    meter: str
    meter_version: str
    definition: Meter
    service: Period
    period: Period
    """The full grid period, by which prorated aggregations divide."""
    time_zone: str
    pauses: tuple[Period, ...] = ()
    subjects: tuple[str, ...] | None = None
    """Whose events count; None for all of the customer's but `other_subjects`."""
    other_subjects: tuple[str, ...] = ()
    groups: tuple[FrozenUsage, ...]


class PartitionCount(Strict):
    """The events of the file that come from one partition of usage.events; `sha256` of their lines."""

    partition: int
    events: int
    first_offset: int
    last_offset: int
    next_offset: int
    """The vector of the close: everything below was looked at."""
    sha256: str


class EventsProof(Strict):
    """What the events of the file must be: how many per partition, and which bytes."""

    count: int
    sha256: str
    partitions: tuple[PartitionCount, ...]
    file: str | None = None
    """The name of the companion file; None if the events are in the evidence itself."""


class Owner(Strict):
    """A subject belongs to a customer from a time on."""

    subject: str
    since: Instant
    customer: str


class StatedDocument(Strict):
    """Another document that evidence rests on, as it was stored."""

    document: Mapping[str, Any]
    sha256: str


class GivenBack(Strict):
    """A line of a run that gives back: what its charge comes to now, less what was issued before."""

    subscription: str
    number: int
    """Which charge of the rate card."""
    entry: int
    """Which of the lines with equal dimensions."""
    span: Period
    """The span that is given back."""
    rated: RatedLine


class DocumentStatement(Strict):
    """What is signed of every document."""

    engine: str
    document: Mapping[str, Any]
    document_sha256: str
    close: Mapping[str, Any]
    """The record of billing.periods: tick, vector, periods, fingerprint."""
    usage: tuple[UsageProof, ...]
    owners: tuple[Owner, ...]
    events: EventsProof


class Statement(DocumentStatement):
    """What is signed of an invoice."""

    format: Literal["tally.evidence.v1"] = "tally.evidence.v1"


class NoteStatement(DocumentStatement):
    """What is signed of a credit note: its close is the one of the run that gave back; of a void that of the invoice.

    The invoice that it corrects has evidence of its own: here it says what was billed, and what can be taken back.
    """

    format: Literal["tally.evidence.v2"] = "tally.evidence.v2"
    corrects: StatedDocument | None
    """None where no invoice billed what is given back: goodwill."""
    earlier: tuple[StatedDocument, ...] = ()
    """The issued notes of the same invoice before this one, in order: discount and tax are rounded over all of them."""
    given_back: tuple[GivenBack, ...] = ()
    """The lines of the run that gave back of the charges on the note; none of a void."""
    issued: tuple[IssuedLine, ...] = ()
    """What runs before had issued of the same charges and periods: what `given_back` deducts."""


class Signature(Strict):
    """Ed25519 over the canonical JSON of the statement; `key` is the public key. All in lower-case hex."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    key: str
    value: str


class Evidence(Strict):
    """The whole file."""

    statement: Annotated[Statement | NoteStatement, Field(discriminator="format")]
    events: tuple[RawEvent, ...] = ()
    signature: Signature
