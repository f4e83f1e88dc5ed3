"""A record of usage.events becomes an event, a correction or a rejection: exactly one of the three.

The verdict depends on the record alone (value, key, headers, broker time) and on the kind of clock, so a replay judges
as the first time. Source: design.md §5, "Verdicts are deterministic".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec

from pipeline.numbers import NumberOutOfRange, exact_payload
from schemas.dead_letter import Reason
from schemas.usage_event import CORRECTION_TYPE

RECORD_MAX = 1024 * 1024
DEPTH_MAX = 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1000
LATEST_MS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000
AHEAD_MS = 3600 * 1000
MILLISECOND = timedelta(milliseconds=1)

ROUNDED, KEY_DIFFERS, BROKER_TIME = 1, 2, 4

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Envelope(msgspec.Struct, gc=False):
    """A structured CloudEvent, its payload unread."""

    specversion: Annotated[str, msgspec.Meta(pattern=r"^1\.0$")]
    id: Text
    source: Text
    type: Text
    subject: Text
    time: Time | None = None
    sequence: str | int | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: str | None = None


class _Replacing(msgspec.Struct, forbid_unknown_fields=True):
    type: Text
    subject: Text
    time: Time
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Correction(msgspec.Struct, forbid_unknown_fields=True):
    action: Annotated[str, msgspec.Meta(pattern="^(retract|replace)$")]
    source: Text
    id: Text
    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    event: _Replacing | None = None


class Event(NamedTuple):
    """An accepted usage event; `ts_ms` is its time in whole milliseconds since 1970."""

    type: str
    subject: str
    ts_ms: int
    source: str
    id: str
    payload: str
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


_decode = msgspec.json.Decoder(Envelope).decode
_decode_correction = msgspec.json.Decoder(_Correction).decode
_decode_any = msgspec.json.Decoder().decode
_read_time = msgspec.json.Decoder(Time).decode


def validate(
    value: bytes | None,
    key: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    broker_ms: int,
    *,
    wall_clock: bool,
) -> Event | Correction | Rejection:
    """The verdict on one record. Never raises for what a record may hold."""
    source = ""
    try:
        if value is not None and len(value) > RECORD_MAX:
            raise _Refused(Reason.TOO_LARGE, f"{len(value)} bytes")
        if headers and any(name.startswith("ce_") for name, _ in headers):
            envelope, payload = _binary(value, headers)
        else:
            envelope, payload = _structured(value)
        source = envelope.source
        return _judge(envelope, payload, key, broker_ms, wall_clock)
    except _Refused as refused:
        return Rejection(refused.reason, refused.detail[:500], source)


def _judge(
    envelope: Envelope, payload: bytes, key: bytes | None, broker_ms: int, wall_clock: bool
) -> Event | Correction:
    flags = 0
    if envelope.time is None:
        ts_ms, flags = broker_ms, BROKER_TIME
    else:
        ts_ms = _milliseconds(envelope.time, broker_ms, wall_clock)
    if key is None or key != envelope.subject.encode():
        flags |= KEY_DIFFERS
    text, exact, rounded = _payload(payload)
    sequence = "" if envelope.sequence is None else str(envelope.sequence)
    if envelope.type == CORRECTION_TYPE:
        return _correction(envelope, payload, flags, broker_ms, wall_clock)
    return Event(
        envelope.type, envelope.subject, ts_ms, envelope.source, envelope.id, text, exact,
        flags | ROUNDED if rounded else flags, sequence,
    )  # fmt: skip


def _milliseconds(time: datetime, broker_ms: int, wall_clock: bool) -> int:
    ts_ms = (time - EPOCH) // MILLISECOND
    if not EARLIEST_MS <= ts_ms < LATEST_MS:
        raise _Refused(Reason.TIME_OUT_OF_RANGE, f"time: {time.isoformat()} is not between 2000 and 2100")
    if wall_clock and ts_ms > broker_ms + AHEAD_MS:
        raise _Refused(Reason.TIME_AHEAD, f"time: {time.isoformat()} is more than an hour ahead of the broker")
    return ts_ms


def _payload(payload: bytes) -> tuple[str, str, bool]:
    """The payload as text, its exact form if it needs one, and whether a number was rounded."""
    if not payload or payload == b"null":
        return "{}", "", False
    if payload[:1] != b"{":
        raise _Refused(Reason.INVALID_PAYLOAD, "data: must be an object")
    # Counting brackets bounds the depth; only what could be too deep is measured.
    if payload.count(b"{") + payload.count(b"[") > DEPTH_MAX and _depth(payload) > DEPTH_MAX:
        raise _Refused(Reason.TOO_DEEP, f"data: nests deeper than {DEPTH_MAX}")
    try:
        exact, rounded = exact_payload(payload)
        return payload.decode(), exact, rounded
    except NumberOutOfRange as error:
        raise _Refused(Reason.NUMBER_OUT_OF_RANGE, f"data: {error}") from None
    except UnicodeDecodeError as error:
        raise _Refused(Reason.INVALID_UTF8, f"data: {error}") from None


def _depth(payload: bytes) -> int:
    depth = deepest = 0
    inside = escaped = False
    for byte in payload:
        if inside:
            inside = escaped or byte != 0x22
            escaped = not escaped and byte == 0x5C
        elif byte == 0x22:
            inside = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _structured(value: bytes | None) -> tuple[Envelope, bytes]:
    if not value:
        raise _Refused(Reason.EMPTY_RECORD, "the record has no value")
    if not value.isascii():
        _check_utf8(value)
    try:
        envelope = _decode(value)
    except RecursionError:
        raise _Refused(Reason.TOO_DEEP, f"nests deeper than {DEPTH_MAX}") from None
    except msgspec.ValidationError as error:
        raise _attribute_fault(str(error)) from None
    except msgspec.DecodeError as error:
        raise _Refused(Reason.INVALID_JSON, str(error)) from None
    if envelope.data_base64 is not None:
        return envelope, _decoded(envelope.data_base64)
    return envelope, bytes(envelope.data)


def _check_utf8(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise _Refused(Reason.INVALID_UTF8, str(error)) from None


def _decoded(text: str) -> bytes:
    try:
        payload = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _Refused(Reason.INVALID_PAYLOAD, f"data_base64: {error}") from None
    _check_json(payload)
    return payload


def _check_json(payload: bytes) -> None:
    _check_utf8(payload)
    try:
        _decode_any(payload)
    except RecursionError:
        raise _Refused(Reason.TOO_DEEP, f"data: nests deeper than {DEPTH_MAX}") from None
    except msgspec.DecodeError as error:
        raise _Refused(Reason.INVALID_JSON, f"data: {error}") from None


def _binary(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> tuple[Envelope, bytes]:
    """Binary mode: attributes in `ce_` headers, the payload as the value."""
    attributes: dict[str, str] = {}
    for name, content in headers:
        if name.startswith("ce_"):
            try:
                attributes.setdefault(name[3:], content.decode())
            except UnicodeDecodeError as error:
                raise _Refused(Reason.INVALID_UTF8, f"header {name}: {error}") from None
    attributes.pop("data", None)
    attributes.pop("data_base64", None)
    try:
        envelope = msgspec.convert(attributes, Envelope)
    except msgspec.ValidationError as error:
        raise _attribute_fault(str(error)) from None
    payload = value or b""
    if payload:
        _check_json(payload)
    return envelope, payload.strip(b" \t\r\n")


def _attribute_fault(message: str) -> _Refused:
    if "required field `specversion`" in message or "$.specversion" in message:
        return _Refused(Reason.NOT_AN_EVENT, f"specversion: {message}")
    if "missing required field" in message:
        return _Refused(Reason.MISSING_ATTRIBUTE, message)
    if "$.time" in message:
        return _Refused(Reason.INVALID_TIME, message)
    if "$" not in message and "got" in message:
        return _Refused(Reason.NOT_AN_EVENT, message)
    return _Refused(Reason.INVALID_ATTRIBUTE, message)


def _correction(envelope: Envelope, payload: bytes, flags: int, broker_ms: int, wall_clock: bool) -> Correction:
    try:
        content = _decode_correction(payload)
    except msgspec.ValidationError as error:
        raise _Refused(Reason.INVALID_CORRECTION, str(error)) from None
    if (content.action == "replace") != (content.event is not None):
        raise _Refused(Reason.INVALID_CORRECTION, "event: a replacement needs one, a retraction has none")
    event = None
    if content.event is not None:
        ts_ms = _milliseconds(content.event.time, broker_ms, wall_clock)
        text, exact, rounded = _payload(bytes(content.event.data))
        mine = flags | ROUNDED if rounded else flags
        event = Event(
            content.event.type, content.event.subject, ts_ms, content.source, content.id, text, exact, mine, ""
        )
    return Correction(content.source, content.id, envelope.source, envelope.id, content.reason, event)
