"""Usage as producers send it, built from the few things that a test is about."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from agents.publisher import Record
from pipeline.documents.books import Books, SeriesEnd
from schemas.document_log import Finalisation
from schemas.invoice import Invoice
from schemas.usage_event import CORRECTION_TYPE

_numbers = itertools.count(1)


def moment(text: str) -> datetime:
    """`2026-10-31 23:59:59.999` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def attributes(subject: str, time: str, data: object, **others: object) -> dict[str, Any]:
    """The attributes of a CloudEvent; its id is unique unless given."""
    return {
        "specversion": "1.0",
        "id": f"event-{next(_numbers)}",
        "source": "/test",
        "type": "call",
        "subject": subject,
        "time": f"{moment(time).isoformat()}",
        "datacontenttype": "application/json",
        "data": data,
        **others,
    }


def event(subject: str, time: str, data: object = None, **others: object) -> Record:
    """A record of usage.events: its key is the subject, its value a structured CloudEvent."""
    value = json.dumps(attributes(subject, time, {} if data is None else data, **others), separators=(",", ":"))
    return subject.encode(), value.encode()


def retraction(source: str, id: str, subject: str = "corrections") -> Record:
    """A correction that takes an event back."""
    data = {"action": "retract", "source": source, "id": id, "reason": "a test"}
    return event(subject, "2026-10-15 00:00", data, type=CORRECTION_TYPE)


def replacement(source: str, id: str, by: Record, subject: str = "corrections") -> Record:
    """A correction that puts another event in the place of one."""
    full = json.loads(by[1])
    kept = {name: full[name] for name in ("type", "subject", "time", "data")}
    data = {"action": "replace", "source": source, "id": id, "reason": "a test", "event": kept}
    return event(subject, "2026-10-15 00:00", data, type=CORRECTION_TYPE)


def events(subject: str, time: str, count: int, data: object = None) -> Iterator[Record]:
    """So many events that differ in their identity only."""
    return (event(subject, time, data) for _ in range(count))


def finalized(draft: Invoice, number: int = 1) -> Invoice:
    """A draft as its place in billing.finalisations makes it final: the document after `number` - 1 others."""
    books = Books(documents={draft.id: draft}, series={draft.terms.series: SeriesEnd(number - 1)})
    record = Finalisation(document_id=draft.id, series=draft.terms.series, customer=draft.customer, tick=1)
    final = books.enter(number - 1, record).changes[-1].document
    assert isinstance(final, Invoice)
    return final
