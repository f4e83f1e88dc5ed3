"""Numbers in a payload, at their literal decimal value. Source: design.md §5.

A JSON number with up to 15 digits survives being read through a double as its shortest text, so most payloads are left
as they are. The rest is rewritten with its numbers as plain decimal strings; 12 decimals are kept, rounded half away
from zero.
"""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from typing import Any

import msgspec

# Something with fifteen digits in a row (or a point among them), or an exponent: look closely.
SUSPICIOUS = re.compile(rb"[0-9.]{15}|[0-9][eE]")
DECIMAL_TEXT = re.compile(r"^-?[0-9]{1,15}\.[0-9]{13,}$")

LIMIT = Decimal(10) ** 15
SCALE = Decimal("1e-12")
_WIDE = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP, Emax=999_999, Emin=-999_999)
_decoder = msgspec.json.Decoder(float_hook=Decimal)


class NumberOutOfRange(ValueError):
    """A JSON number whose absolute value is 10^15 or more."""


def exact_payload(payload: bytes) -> tuple[str, bool]:
    """The payload with exact numbers as strings, and whether one was rounded; ("", False) if none needs it.

    Raises NumberOutOfRange. The payload must be valid JSON.
    """
    if SUSPICIOUS.search(payload) is None:
        return "", False
    rounded: list[bool] = []
    content = _exact(_decoder.decode(payload), rounded)
    return msgspec.json.encode(content).decode(), bool(rounded)


def _exact(value: Any, rounded: list[bool]) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, Decimal)):
        return _plain(Decimal(value), rounded)
    if isinstance(value, str):
        return _plain(Decimal(value), rounded) if DECIMAL_TEXT.match(value) else value
    if isinstance(value, dict):
        return {key: _exact(part, rounded) for key, part in value.items()}
    return [_exact(part, rounded) for part in value]


def _plain(number: Decimal, rounded: list[bool]) -> str:
    if abs(number) >= LIMIT:
        raise NumberOutOfRange(f"{number:.6g} is 10^15 or more")
    fitted = number.quantize(SCALE, context=_WIDE)
    if fitted != number:
        rounded.append(True)
    text = format(fitted, "f").rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
