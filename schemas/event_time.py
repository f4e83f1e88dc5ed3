"""Event time on the wire: RFC 3339 with a zone, understood as whole milliseconds since 1970, floored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

EARLIEST_MS = 946_684_800_000
"""2000-01-01, the first millisecond that an event may have."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01, the first millisecond that it may not."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_TEXT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):", re.ASCII)
_SECOND_TEXT = re.compile(r"([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))", re.ASCII)
_MILLISECOND_TEXT = re.compile(r"[0-9]{2}\.[0-9]{3}", re.ASCII)
_KEPT_AT_MOST = 200_000

# Events come close together in time: both halves of a time are met again and again. Kept results are the same results.
_minutes: dict[str, int] = {}
_seconds: dict[str, int] = {}


def milliseconds(text: str) -> int:
    """Whole milliseconds since 1970, rounded down. Raises ValueError with what is wrong.

    A space or a small t or z are allowed, and a zone without colon, as many producers write it. No leap seconds.
    """
    try:
        return _minutes[text[:17]] + _seconds[text[17:]]
    except KeyError:
        return _learned(text[:17], _floored(text[17:]))


def all_milliseconds(texts: Iterable[str]) -> list[int]:
    """`milliseconds` of many texts. Raises as it does, or TypeError for what is no text."""
    minutes, seconds = _minutes, _seconds
    texts = list(texts)
    try:
        return [minutes[text[:17]] + seconds[text[17:]] for text in texts]
    except KeyError:  # one is new; what was learned may also be forgotten on the way
        return [milliseconds(text) for text in texts]


def moment(milliseconds_since_1970: int) -> datetime:
    """The instant, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds_since_1970)


def _floored(tail: str) -> str:
    """Seconds and zone without the digits beyond milliseconds, so that finer times share what was learned."""
    rest = tail[6:].lstrip("0123456789")
    return tail[:6] + rest if len(tail) > 7 and _MILLISECOND_TEXT.fullmatch(tail, 0, 6) else tail


def _learned(head: str, tail: str) -> int:
    minute, second = _minutes.get(head), _seconds.get(tail)
    if minute is None or second is None:
        minute, second = _minute(head), _second(tail)
        if len(_minutes) > _KEPT_AT_MOST or len(_seconds) > _KEPT_AT_MOST:
            _minutes.clear()
            _seconds.clear()
        _minutes[head], _seconds[tail] = minute, second
    return minute + second


def _minute(head: str) -> int:
    found = _MINUTE_TEXT.fullmatch(head)
    if found is None:
        raise ValueError("is not a time such as 2026-11-03T10:15:30.123Z")
    year, month, day, hour, minute = map(int, found.groups())
    return (datetime(year, month, day, hour, minute, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def _second(tail: str) -> int:
    found = _SECOND_TEXT.fullmatch(tail)
    if found is None:
        raise ValueError("is not a time with seconds and a zone such as 2026-11-03T10:15:30.123Z")
    second, fraction, sign, hours, minutes = found.groups()
    if int(second) > 59 or int(hours or 0) > 23 or int(minutes or 0) > 59:
        raise ValueError("has a second or a zone that does not exist")
    zone_ms = (int(hours or 0) * 60 + int(minutes or 0)) * 60_000
    # A zone west of Greenwich is behind: its local time is an earlier reading of a later moment.
    return int(second) * 1000 + int((fraction or "")[:3].ljust(3, "0")) + (zone_ms if sign == "-" else -zone_ms)
