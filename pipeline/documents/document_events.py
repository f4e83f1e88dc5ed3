"""What is announced of a document: CloudEvents whose ids follow from the document and its transition."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.documents.books import Change, Document
from schemas.command import BillAgain, BilledPart, RestoreCredit, SettleTopUp
from schemas.credit_note import CreditNote, CreditNoteEvent, GrantShare
from schemas.identity import canonical_members, canonical_object, derived_id
from schemas.invoice import STANDING, Invoice, InvoiceEvent

ACTOR = "tally"
ONCE = ("finalized", "issued", "voided", "rejected")
"""Transitions that a document has once; others are told apart by the revision."""


@dataclass(frozen=True, slots=True)
class Written:
    """A document as it is published and stored, and the hash of its billed content; made once per change."""

    text: bytes
    sha256: str


def written(document: Document) -> Written:
    """The canonical JSON of a document; the hash is that of `document.sha256()`."""
    members = canonical_members(document.model_dump(mode="json"))
    billed = canonical_object(members, without=STANDING)
    return Written(canonical_object(members), hashlib.sha256(billed).hexdigest())


def rewritten(document: Document, before: Written) -> Written:
    """The same of a document of which only how it stands has changed since: the rest is taken as it was written."""
    standing = canonical_members(document.model_dump(mode="json", include=set(STANDING)))
    return Written(canonical_object(members_of(before.text) | standing), before.sha256)


def members_of(text: bytes) -> dict[str, bytes]:
    """The members of a document as they are written, by name."""
    return {name: bytes(value) for name, value in _MEMBERS.decode(text).items()}


def head_of(text: bytes) -> Invoice:
    """An invoice without its lines, in a fraction of the time: enough for who changes only how it stands.

    Whoever reads its `lines` all the same gets an AttributeError, not an invoice with none.
    """
    head = Invoice.model_validate_json(canonical_object(members_of(text) | {"lines": b"[]"}))
    del head.__dict__["lines"]
    return head


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def event_texts(change: Change, made: Written) -> tuple[bytes, ...]:
    """The events of a change as they are published, each with the document that was written once."""
    return tuple(
        canonical_object({**canonical_members(event.model_dump(mode="json", exclude={"data"})), "data": made.text})
        for event in events_of(change)
    )


def events_of(change: Change) -> tuple[InvoiceEvent | CreditNoteEvent, ...]:
    """The events of a change, in order: each with the whole document as it stands after all of them."""
    return tuple(_event(change, transition) for transition in change.transitions)


Follows = RestoreCredit | BillAgain | SettleTopUp


def commands_of(change: Change) -> tuple[Follows, ...]:
    """What a change means for the state of its customer, as commands that are the same however often they are sent."""
    document = change.document
    credits: tuple[Follows, ...] = (*(_restore(document, share) for share in change.returned), *change.commands)
    if isinstance(document, CreditNote) or change.transitions != ("rejected",):
        return credits
    return (
        *credits,
        BillAgain(
            request_id=str(derived_id("bill again", document.id)), actor=ACTOR, reason=f"draft {document.id} rejected",
            customer=document.customer, document_id=document.id, tick=document.basis.tick, parts=_parts(document),
        ),
    )  # fmt: skip


def _restore(document: Document, share: GrantShare) -> RestoreCredit:
    return RestoreCredit(
        request_id=str(derived_id("restored credit", document.id, share.grant)), actor=ACTOR,
        reason=f"given back by {document.number or 'a rejected draft'}", customer=document.customer,
        document_id=document.id, grant=share.grant, amount=share.amount,
    )  # fmt: skip


def _parts(draft: Invoice) -> tuple[BilledPart, ...]:
    found = {
        (line.subscription, line.rated.charge, line.charge_number, line.rated.period): None
        for line in draft.lines
        if line.rated.kind not in ("one_off", "credits")
    }
    return tuple(BilledPart(subscription=s, card=c, number=n, period=p) for s, c, n, p in found)


def _event(change: Change, transition: str) -> InvoiceEvent | CreditNoteEvent:
    document = change.document
    told: dict[str, Any] = {"subject": document.customer, "time": change.at, "data": document}
    if isinstance(document, CreditNote):
        return CreditNoteEvent(id=str(derived_id("credit note event", document.id, transition)), **told)
    parts = (document.id, transition) if transition in ONCE else (document.id, transition, document.revision)
    kind = f"tally.invoice.{transition}.v1"
    return InvoiceEvent.model_validate({"id": str(derived_id("invoice event", *parts)), "type": kind, **told})
