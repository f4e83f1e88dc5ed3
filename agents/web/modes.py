"""The three modes of CloudEvents over HTTP; each becomes structured events, as usage.events holds them.

Source: CloudEvents HTTP protocol binding 1.0.2, sections 3.1 to 3.3. Binary mode percent-encodes header values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated
from urllib.parse import unquote

import msgspec

from agents.web.problems import Problem, refused
from pipeline.intake.admission import Refusal
from schemas.dead_letter import Reason
from schemas.usage_event import DEPTH_MAX

EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
EVENTS_MAX = 10_000
"""Events in one request."""
NOT_IN_HEADERS = {"data", "data_base64", "datacontenttype"}

_decode_batch = msgspec.json.Decoder(Annotated[list[msgspec.Raw], msgspec.Meta(max_length=EVENTS_MAX)]).decode
_decode_any = msgspec.json.Decoder().decode


def events_of(headers: Mapping[str, str], body: bytes) -> Sequence[bytes]:
    """The events of a request, in its order. Raises Problem where it holds none in any mode."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == BATCH:
        return _batch(body)
    if kind == EVENT:
        return [body]
    if "ce-specversion" in headers and not kind.startswith("application/cloudevents"):
        return [_from_binary(headers.items(), body)]
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type",
        f"content-type {kind[:100]!r}: send {EVENT}, or {BATCH}, or a payload with ce- headers",
    )  # fmt: skip


def _batch(body: bytes) -> Sequence[bytes]:
    try:
        return [bytes(event) for event in _decode_batch(body)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "unreadable", f"the body is no JSON array of at most {EVENTS_MAX:,} events: {error}"
        ) from None


def _from_binary(headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """A binary event in the structured form: the same attributes, the same payload byte for byte."""
    attributes: dict[str, str] = {}
    for name, value in headers:
        if name == "content-type":
            attributes["datacontenttype"] = value
        elif name.startswith("ce-") and name[3:] not in NOT_IN_HEADERS:
            attributes.setdefault(name[3:], _text(name, value))
    payload = body.strip(b" \t\r\n")
    if not payload:
        return msgspec.json.encode(attributes)
    # A payload is looked at before an envelope is put around it: what is no JSON could end the envelope.
    _check_json(payload)
    return msgspec.json.encode({**attributes, "data": msgspec.Raw(payload)})


def _text(name: str, value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    try:
        return unquote(value[1:-1] if quoted else value, errors="strict")
    except UnicodeDecodeError as error:
        raise _refused(Reason.INVALID_UTF8, f"{name}: {error}") from None


def _check_json(payload: bytes) -> None:
    try:
        payload.decode()
        _decode_any(payload)
    except UnicodeDecodeError as error:
        raise _refused(Reason.INVALID_UTF8, f"data: {error}") from None
    except RecursionError:
        raise _refused(Reason.TOO_DEEP, f"data: nests deeper than {DEPTH_MAX}") from None
    except msgspec.DecodeError as error:
        raise _refused(Reason.INVALID_JSON, f"data: {error}") from None


def _refused(reason: Reason, detail: str) -> Problem:
    return refused(0, [Refusal(0, reason.value, detail)], dry_run=False)
