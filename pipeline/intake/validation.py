"""A record of usage.events becomes an event, a correction or a rejection: exactly one of the three.

The verdict depends on the record alone (value, key, headers, broker time) and on the kind of clock, so a replay judges
as the first time. `schemas.usage_event.UsageEvent` says the same as a model, for people and their tools; a property
test holds both to one verdict. Source: design.md §5, "Verdicts are deterministic".
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from pipeline.intake.numbers import NumberOutOfRange, exact_payload
from schemas.dead_letter import Reason
from schemas.event_time import EARLIEST_MS, LATEST_MS, milliseconds
from schemas.usage_event import CORRECTION_TYPE, DEPTH_MAX, RECORD_MAX

AHEAD_MS = 3600 * 1000
ROUNDED, KEY_DIFFERS, BROKER_TIME = 1, 2, 4
STRUCTURED = b"application/cloudevents"
BLANKS = b" \t\r\n"

Headers = Sequence[tuple[str, bytes | None]]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Envelope(msgspec.Struct, gc=False):
    """A structured CloudEvent, its payload unread."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    subject: Text
    time: str | None = None
    sequence: Annotated[str, msgspec.Meta(max_length=1000)] | Whole | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: str | None = None


class _Replacing(msgspec.Struct, forbid_unknown_fields=True):
    type: Text
    subject: Text
    time: str
    data: msgspec.Raw = msgspec.Raw(b"")


class _Correction(msgspec.Struct, forbid_unknown_fields=True):
    action: Literal["retract", "replace"]
    source: Text
    id: Text
    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    event: _Replacing | None = None


class Event(NamedTuple):
    """An accepted usage event; `ts_ms` is its time in whole milliseconds since 1970, `payload` valid JSON in UTF-8."""

    type: str
    subject: str
    ts_ms: int
    source: str
    id: str
    payload: bytes
    exact: str
    flags: int
    sequence: str


class Correction(NamedTuple):
    """An accepted correction of the event (target_source, target_id); `event` replaces it, None retracts it."""

    target_source: str
    target_id: str
    source: str
    id: str
    reason: str
    event: Event | None


class Rejection(NamedTuple):
    """Why a record is neither."""

    reason: Reason
    detail: str
    source: str = ""


class _Refused(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


decode = msgspec.json.Decoder(Envelope).decode
"""An envelope; raises where the record is none. UTF-8, depth, time and payload are not looked at."""
_decode_correction = msgspec.json.Decoder(_Correction).decode
_decode_any = msgspec.json.Decoder().decode


def validate(
    value: bytes | None, key: bytes | None, headers: Headers, broker_ms: int, *, wall_clock: bool
) -> Event | Correction | Rejection:
    """The verdict on one record. Never raises for what a record may hold."""
    source = ""
    try:
        if value is not None and len(value) > RECORD_MAX:
            raise _Refused(Reason.TOO_LARGE, f"{len(value)} bytes")
        attributes = binary_attributes(headers) if headers else {}
        envelope, payload = _binary(value, attributes) if attributes else _structured(value)
        source = envelope.source
        return _judge(envelope, payload, key, broker_ms, wall_clock)
    except _Refused as refused:
        return Rejection(refused.reason, _printable(refused.detail)[:500], source)


def binary_attributes(headers: Headers) -> Mapping[str, bytes]:
    """The attributes of a record in binary mode, by name; empty if the record is structured.

    Binary mode is what names its specversion in a header and does not say that the event is the value. Of a repeated
    header the first counts, and one without a value is none.
    """
    found: dict[str, bytes] = {}
    for name, content in headers:
        if content is None:
            continue
        if name.startswith("ce_"):
            found.setdefault(name[3:], content)
        elif name.lower() == "content-type" and content.startswith(STRUCTURED):
            return {}
    return found if "specversion" in found else {}


def too_deep(text: bytes, depth_max: int) -> bool:
    """Whether JSON nests deeper; of what is no JSON, anything may be said."""
    if text.count(b"{") + text.count(b"[") <= depth_max:
        return False
    depth = 0
    for bracket in _TEXTS.sub(b"", text).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"{[" else -1
        if depth > depth_max:
            return True
    return False


_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")


def _judge(
    envelope: Envelope, payload: bytes, key: bytes | None, broker_ms: int, wall_clock: bool
) -> Event | Correction:
    flags = 0 if key == envelope.subject.encode() else KEY_DIFFERS
    if envelope.time is None:
        flags |= BROKER_TIME
    ts_ms = _event_time(envelope.time, broker_ms, wall_clock)
    text, exact, rounded = _payload(payload)
    if envelope.type == CORRECTION_TYPE:
        return _correction(envelope, text, flags & KEY_DIFFERS, broker_ms, wall_clock)
    sequence = "" if envelope.sequence is None else str(envelope.sequence)
    return Event(
        envelope.type, envelope.subject, ts_ms, envelope.source, envelope.id, text, exact,
        flags | ROUNDED if rounded else flags, sequence,
    )  # fmt: skip


def _event_time(text: str | None, broker_ms: int, wall_clock: bool) -> int:
    try:
        ts_ms = broker_ms if text is None else milliseconds(text)
    except ValueError as error:
        raise _Refused(Reason.INVALID_TIME, f"time: {str(text)[:100]!r} {error}") from None
    if not EARLIEST_MS <= ts_ms < LATEST_MS:
        raise _Refused(Reason.TIME_OUT_OF_RANGE, f"time: {text or ts_ms} is not between 2000 and 2100")
    if wall_clock and ts_ms > broker_ms + AHEAD_MS:
        raise _Refused(Reason.TIME_AHEAD, f"time: {text} is more than an hour ahead of the broker")
    return ts_ms


def _payload(payload: bytes) -> tuple[bytes, str, bool]:
    """The payload, its exact form if it needs one, and whether a number was rounded."""
    if not payload or payload == b"null":
        return b"{}", "", False
    if payload[:1] != b"{":
        raise _Refused(Reason.INVALID_PAYLOAD, "data: must be an object")
    try:
        return payload, *exact_payload(payload)
    except NumberOutOfRange as error:
        raise _Refused(Reason.NUMBER_OUT_OF_RANGE, f"data: {error}") from None


def _structured(value: bytes | None) -> tuple[Envelope, bytes]:
    if not value:
        raise _Refused(Reason.EMPTY_RECORD, "the record has no value")
    _check_text(value, DEPTH_MAX + 1, "")
    try:
        envelope = decode(value)
    except msgspec.ValidationError as error:
        raise _attribute_fault(str(error)) from None
    except msgspec.DecodeError as error:
        raise _Refused(Reason.INVALID_JSON, str(error)) from None
    if envelope.data_base64 is not None:
        return envelope, _decoded(envelope)
    return envelope, bytes(envelope.data)


def _check_text(text: bytes, depth_max: int, what: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise _Refused(Reason.INVALID_UTF8, f"{what}{error}") from None
    if too_deep(text, depth_max):
        raise _Refused(Reason.TOO_DEEP, f"{what}nests deeper than {depth_max}")


def _decoded(envelope: Envelope) -> bytes:
    if bytes(envelope.data) not in (b"", b"null"):
        raise _Refused(Reason.INVALID_PAYLOAD, "data_base64: stands alone, without data")
    try:
        payload = base64.b64decode(envelope.data_base64 or "", validate=True)
    except ValueError as error:
        raise _Refused(Reason.INVALID_PAYLOAD, f"data_base64: {error}") from None
    return _alone(payload)


def _alone(payload: bytes) -> bytes:
    """A payload that came without an envelope around it."""
    payload = payload.strip(BLANKS)
    if payload:
        _check_text(payload, DEPTH_MAX, "data: ")
        try:
            _decode_any(payload)
        except msgspec.DecodeError as error:
            raise _Refused(Reason.INVALID_JSON, f"data: {error}") from None
    return payload


def _binary(value: bytes | None, headers: Mapping[str, bytes]) -> tuple[Envelope, bytes]:
    """Binary mode: attributes in `ce_` headers, the payload as the value."""
    try:
        attributes = {name: content.decode() for name, content in headers.items() if name in _IN_HEADERS}
    except UnicodeDecodeError as error:
        raise _Refused(Reason.INVALID_UTF8, f"headers: {error}") from None
    try:
        envelope = msgspec.convert(attributes, Envelope)
    except msgspec.ValidationError as error:
        raise _attribute_fault(str(error)) from None
    return envelope, _alone(value or b"")


_IN_HEADERS = frozenset({"specversion", "id", "source", "type", "subject", "time", "sequence"})


def _attribute_fault(message: str) -> _Refused:
    if "required field `specversion`" in message or message.endswith("`$.specversion`"):
        return _Refused(Reason.NOT_AN_EVENT, f"specversion: {message}")
    if "missing required field" in message:
        return _Refused(Reason.MISSING_ATTRIBUTE, message)
    if message.endswith("`$.time`"):
        return _Refused(Reason.INVALID_TIME, message)
    if "`$" not in message:
        return _Refused(Reason.NOT_AN_EVENT, message)
    return _Refused(Reason.INVALID_ATTRIBUTE, message)


def _correction(envelope: Envelope, payload: bytes, flags: int, broker_ms: int, wall_clock: bool) -> Correction:
    try:
        content = _decode_correction(payload)
        json.loads(payload, object_pairs_hook=_names_once)
    except (msgspec.DecodeError, ValueError) as error:
        raise _Refused(Reason.INVALID_CORRECTION, str(error)) from None
    if (content.action == "replace") != (content.event is not None):
        raise _Refused(Reason.INVALID_CORRECTION, "event: a replacement needs one, a retraction has none")
    event = None
    if (new := content.event) is not None:
        ts_ms = _event_time(new.time, broker_ms, wall_clock)
        text, exact, rounded = _payload(bytes(new.data))
        mine = flags | ROUNDED if rounded else flags
        event = Event(new.type, new.subject, ts_ms, content.source, content.id, text, exact, mine, "")
    return Correction(content.source, content.id, envelope.source, envelope.id, content.reason, event)


def _names_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeats a name: which of them is meant?")
    return found


def _printable(detail: str) -> str:
    """A detail that can be stored, whatever it quotes."""
    return detail.encode("utf-8", "replace").decode()
