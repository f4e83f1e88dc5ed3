"""A record of usage.events, read a second time by other code: what it must have become, for `tally reconcile --deep`.

Written from the contract for producers (schemas/USAGE_EVENTS.md) on the standard library alone. It shares nothing with
`pipeline.intake.validation`, its parsers and its models, so that a mistake in them is found and not repeated; it is
slow.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

MEBIBYTE = 1_048_576
CORRECTS = "tally.usage.correction.v1"
NEEDED = ("id", "source", "type", "subject")
AN_HOUR_MS = 3_600_000
YEAR_2000_MS, YEAR_2100_MS = 946_684_800_000, 4_102_444_800_000
DEEPEST = 32
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII)
WIDE = Context(prec=60, rounding=ROUND_HALF_UP, Emax=999_999, Emin=-999_999)
UNIT = Decimal("0.000000000001")
AMOUNT = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


class Reading(NamedTuple):
    """What a record is: its outcome, and of an event or correction what must be stored.

    Of a correction, `source` and `id` name its target, and `type` is empty where it retracts. `data` has numbers as
    they count and of a repeated name the first.
    """

    outcome: Literal["event", "correction", "dead letter"]
    type: str = ""
    subject: str = ""
    ts_ms: int = 0
    source: str = ""
    id: str = ""
    data: Any = None


DEAD = Reading("dead letter")


class Unacceptable(ValueError):
    """The record breaks the contract."""


class Pairs(list[tuple[str, Any]]):
    """An object as it is written, repeated names and all."""


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def read(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    broker_ms: int,
    *,
    wall_clock: bool,
) -> Reading:
    """What a record must have become. Never raises."""
    try:
        if value is not None and len(value) > MEBIBYTE:
            raise Unacceptable
        attributes = _attributes(headers)
        if attributes is None:
            return _event(_structured(value or b""), broker_ms, wall_clock)
        return _event(Pairs([*attributes, ("data", _loose(value or b""))]), broker_ms, wall_clock)
    except (ValueError, RecursionError, OverflowError, InvalidOperation):
        return DEAD


def counted(text: str) -> Any:
    """A stored payload as it counts, to be compared with what was read."""
    return _as_counted(_parsed(text))


def amounts(value: Any) -> Any:
    """A payload with every amount as a number of 12 decimals, also where it is a text: the exact form has texts."""
    if isinstance(value, dict):
        return {name: amounts(part) for name, part in value.items()}
    if isinstance(value, list):
        return [amounts(part) for part in value]
    if isinstance(value, str) and len(value) <= 90 and AMOUNT.fullmatch(value):
        number = Decimal(value)
        if not number or number.adjusted() < -13:
            return Decimal(0)
        rounded = number.quantize(UNIT, context=WIDE) if number.adjusted() < 15 else Decimal(10**15)
        return rounded if abs(rounded) < 10**15 else value
    return value


def needs_no_exact_form(value: Any) -> bool:
    """Whether a payload may be read as it is: every number is itself after a double, no text has further decimals."""
    if isinstance(value, dict):
        return all(map(needs_no_exact_form, value.values()))
    if isinstance(value, list):
        return all(map(needs_no_exact_form, value))
    if isinstance(value, Decimal):
        return Decimal(repr(float(value))) == value
    return not isinstance(value, str) or (amount := amounts(value)) == value or Decimal(value) == amount


def _attributes(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, str]] | None:
    """The attributes of binary mode, of a repeated one the first; None in structured mode."""
    binary: dict[str, bytes] = {}
    for name, content in headers:
        if content is not None and name.lower() == "content-type" and content.startswith(b"application/cloudevents"):
            return None
        if content is not None and name[:3] == "ce_" and name[3:] not in binary:
            binary[name[3:]] = content
    if "specversion" not in binary:
        return None
    looked_at = (*NEEDED, "specversion", "time", "sequence")
    return [(name, content.decode("utf-8")) for name, content in binary.items() if name in looked_at]


def _structured(value: bytes) -> Pairs:
    if not value:
        raise Unacceptable
    found = _parsed(value.decode("utf-8"))
    if not isinstance(found, Pairs) or _depth(found) > DEEPEST + 1:
        raise Unacceptable
    return found


def _loose(payload: bytes) -> Any:
    """A payload that stands alone: in binary mode, or in base64."""
    payload = payload.strip(b" \t\r\n")
    return _parsed(payload.decode("utf-8")) if payload else None


def _parsed(text: str) -> Any:
    found = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_number, object_pairs_hook=Pairs)
    _texts_in_utf8(found)
    return found


def _no_number(literal: str) -> None:
    raise Unacceptable(literal)


def _texts_in_utf8(value: Any) -> None:
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, Pairs):
        for name, part in value:
            name.encode("utf-8")
            _texts_in_utf8(part)
    elif isinstance(value, list):
        for part in value:
            _texts_in_utf8(part)


def _depth(value: Any) -> int:
    if isinstance(value, Pairs):
        return 1 + max((_depth(part) for _, part in value), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _event(record: Pairs, broker_ms: int, wall_clock: bool) -> Reading:
    for name, content in record:
        _attribute(name, content)
    found = dict(record)
    if found.get("specversion") != "1.0" or any(name not in found for name in NEEDED):
        raise Unacceptable
    ts_ms = _time(found.get("time"), broker_ms, wall_clock)
    data = found.get("data")
    if found.get("data_base64") is not None:
        if data is not None:
            raise Unacceptable
        data = _loose(base64.b64decode(found["data_base64"], validate=True))
    data = Pairs() if data is None else data
    if not isinstance(data, Pairs) or _depth(data) > DEEPEST:
        raise Unacceptable
    as_counted = _as_counted(data)
    if found["type"] == CORRECTS:
        return _correction(data, broker_ms, wall_clock)
    return Reading("event", found["type"], found["subject"], ts_ms, found["source"], found["id"], as_counted)


def _attribute(name: str, content: Any) -> None:
    """Each attribute has its type, also one that a later one of its name replaces."""
    if name in NEEDED:
        good = type(content) is str and 1 <= len(content) <= 1000
    elif name == "specversion":
        good = type(content) is str and content == "1.0"
    elif name in ("time", "data_base64"):
        good = content is None or type(content) is str
    elif name == "sequence":
        whole = isinstance(content, Number) and re.fullmatch(r"-?0|[1-9]\d{0,18}", content, re.ASCII)
        good = content is None or (type(content) is str and len(content) <= 1000) or (
            bool(whole) and int(content) < 2**63)  # fmt: skip
    else:
        good = True
    if not good:
        raise Unacceptable


def _time(text: str | None, broker_ms: int, wall_clock: bool) -> int:
    ts_ms = broker_ms if text is None else _milliseconds(text)
    if not YEAR_2000_MS <= ts_ms < YEAR_2100_MS or (wall_clock and ts_ms > broker_ms + AN_HOUR_MS):
        raise Unacceptable
    return ts_ms


def _milliseconds(text: str) -> int:
    found = TIME.fullmatch(text)
    if found is None:
        raise Unacceptable
    *whole, fraction, sign, hours, minutes = found.groups()
    if int(hours or 0) > 23 or int(minutes or 0) > 59:
        raise Unacceptable
    ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    year, month, day, hour, minute, second = map(int, whole)
    local = datetime(year, month, day, hour, minute, second) - datetime(1970, 1, 1)  # noqa: DTZ001
    at = local - ahead if sign == "+" else local + ahead
    return (at.days * 86_400 + at.seconds) * 1000 + int(((fraction or "") + "000")[:3])


def _correction(data: Pairs, broker_ms: int, wall_clock: bool) -> Reading:
    said = _members(data, {"action", "source", "id"}, {"reason", "event"})
    event = said.get("event")
    if not (
        _is_text(said["source"]) and _is_text(said["id"]) and (said["action"], event is None) in
        (("retract", True), ("replace", False))
    ):  # fmt: skip
        raise Unacceptable
    reason = said.get("reason", "")
    if type(reason) is not str or len(reason) > 2000:
        raise Unacceptable
    if event is None:
        return Reading("correction", source=said["source"], id=said["id"])
    new = _members(event, {"type", "subject", "time"}, {"data"})
    if not (_is_text(new["type"]) and _is_text(new["subject"]) and type(new["time"]) is str):
        raise Unacceptable
    payload = Pairs() if new.get("data") is None else new["data"]
    if not isinstance(payload, Pairs):
        raise Unacceptable
    ts_ms = _time(new["time"], broker_ms, wall_clock)
    return Reading("correction", new["type"], new["subject"], ts_ms, said["source"], said["id"], _as_counted(payload))


def _members(value: Any, needed: set[str], allowed: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, Pairs) or _repeats(value):
        raise Unacceptable
    found = dict(value)
    if not needed <= found.keys() <= needed | allowed:
        raise Unacceptable
    return found


def _repeats(value: Any) -> bool:
    if isinstance(value, Pairs):
        return len({name for name, _ in value}) < len(value) or any(_repeats(part) for _, part in value)
    return isinstance(value, list) and any(map(_repeats, value))


def _is_text(value: Any) -> bool:
    return type(value) is str and 1 <= len(value) <= 1000


def _as_counted(value: Any) -> Any:
    """Numbers with 12 decimals, of a repeated name the first; every number must be in range, also one that a repetition
    hides."""
    if isinstance(value, Pairs):
        found: dict[str, Any] = {}
        for name, part in value:
            judged = _as_counted(part)
            found.setdefault(name, judged)
        return found
    if isinstance(value, list):
        return [_as_counted(part) for part in value]
    if not isinstance(value, Number):
        return value
    number = Decimal(value)
    if number and number.adjusted() < -13:
        return Decimal(0)
    if number and number.adjusted() > 14:
        raise Unacceptable
    rounded = number.quantize(UNIT, context=WIDE)
    if abs(rounded) >= 10**15:
        raise Unacceptable
    return rounded
