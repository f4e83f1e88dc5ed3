"""Lengths of time as catalogue files write them."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import WithJsonSchema

_SPAN = re.compile(r"(-?\d+) ?(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
WRITTEN_SPAN = WithJsonSchema({"type": "string", "pattern": r"^([0-9]+ ?(s|min|h|d)|P.+)$"}, mode="validation")


def span(value: object) -> object:
    """ "6 h", "90 min", "2 d" or "30 s" as a length of time; anything else is pydantic's to read (ISO 8601, "PT6H")."""
    matched = _SPAN.fullmatch(value) if isinstance(value, str) else None
    return timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else value
