"""A correction of a usage event as a record: it names an identity, and retracts or replaces its event.

Source: schemas/USAGE_EVENTS.md, "Corrections".
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from schemas.usage_event import CORRECTION_TYPE

OUR_SOURCE = "/tally/correct"


def retraction(*, source: str, id: str, reason: str, request_id: str, subject: str) -> bytes:
    """The event does not count. `request_id` is the correction's own identity: sent twice, it is one correction."""
    return _record(request_id, subject, {"action": "retract", "source": source, "id": id, "reason": reason})


def replacement(*, source: str, id: str, reason: str, request_id: str, event: bytes) -> bytes:
    """Another event counts in its place; `event` is a JSON object of type, subject, time and data, kept to the digit.

    Raises ValueError if it is none, or has no subject.
    """
    try:
        subject = msgspec.json.decode(event, type=_Subject).subject
    except msgspec.DecodeError as error:
        raise ValueError(f"the new event: {error}") from None
    said: dict[str, object] = {
        "action": "replace",
        "source": source,
        "id": id,
        "reason": reason,
        "event": msgspec.Raw(event),
    }
    return _record(request_id, subject, said)


def replaced_content(type: str, subject: str, ts: datetime, data: str) -> bytes:
    """What counts now as the event of a replacement, to be changed."""
    time = ts.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = {"type": type, "subject": subject, "time": time, "data": msgspec.Raw(data.encode())}
    return msgspec.json.encode(content)


class _Subject(msgspec.Struct):
    subject: str


def _record(request_id: str, subject: str, data: dict[str, object]) -> bytes:
    return msgspec.json.encode({
        "specversion": "1.0", "id": request_id, "source": OUR_SOURCE, "type": CORRECTION_TYPE, "subject": subject,
        "datacontenttype": "application/json", "data": data,
    })  # fmt: skip
