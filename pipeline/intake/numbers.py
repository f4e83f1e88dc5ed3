"""Numbers in a payload, at their literal decimal value. Source: design.md §5.

A JSON number with up to 14 digits survives being read through a double as its shortest text, so most payloads are left
as they are. Elsewhere the numbers that would not are rewritten as plain decimal strings, and nothing else is; 12
decimals are kept, rounded half away from zero.
"""

from __future__ import annotations

import re
from decimal import Decimal

from schemas.usage_number import NumberOutOfRange, fitted

# Every digit and point becomes 0, an exponent's letter e, all else a blank: then a plain search finds what to look at.
_SHAPE = bytes(0x30 if byte in b"0123456789." else 0x65 if byte in b"eE" else 0x20 for byte in range(256))
_LONG = b"0" * 15
_EXPONENT = b"0e"

# A text or a number of a valid JSON document; of the texts, those that a meter would read as a number with decimals.
_TOKEN = re.compile(
    r'"(?P<amount>-?[0-9]{1,40}(?:\.[0-9]{13,40}|(?:\.[0-9]{1,40})?[eE][+-]?[0-9]{1,3}))"(?!\s*:)'
    r'|"[^"\\]*(?:\\.[^"\\]*)*"'
    r"|(?P<number>-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?)",
    re.DOTALL | re.ASCII,
)
_SHORT = 14

__all__ = ["NumberOutOfRange", "exact_payload", "is_suspicious"]


def is_suspicious(payloads: bytes) -> bool:
    """Whether a number in these payloads might need a closer look: fifteen digits in a row, points included, or
    an exponent."""
    shape = payloads.translate(_SHAPE)
    return _LONG in shape or _EXPONENT in shape


def exact_payload(payload: bytes) -> tuple[str, bool]:
    """The payload with exact numbers as strings, and whether one was rounded; ("", False) if none needs it.

    Raises NumberOutOfRange. The payload must be valid JSON.
    """
    if not is_suspicious(payload):
        return "", False
    rewriting = _Rewriting()
    text = _TOKEN.sub(rewriting.token, payload.decode())
    return (text if rewriting.changed else ""), rewriting.rounded


class _Rewriting:
    """What became of the numbers of one payload."""

    __slots__ = ("changed", "rounded")

    def __init__(self) -> None:
        self.changed = self.rounded = False

    def token(self, found: re.Match[str]) -> str:
        number, amount = found["number"], found["amount"]
        if number is not None and (len(number) > _SHORT or "e" in number or "E" in number):
            value, rounded = fitted(number)
        elif amount is not None:
            try:
                value, rounded = fitted(amount)
            except NumberOutOfRange:
                return found[0]  # a text is out of range for a meter at most
            if not rounded:
                return found[0]
        else:
            return found[0]
        self.changed = True
        self.rounded = self.rounded or rounded
        return f'"{_plain(value)}"'


def _plain(number: Decimal) -> str:
    text = format(number, "f").rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
