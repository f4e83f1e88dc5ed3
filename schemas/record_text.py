"""JSON as a record holds it: UTF-8, of a bounded depth, numbers as they are written, repeated names kept apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Literally:
    """A number as it is written; its value is looked at only where a number is meant."""

    text: str


class Repeated(str):
    """Stands for a later value of a name that an object repeats; `of` is the name."""

    __slots__ = ("of",)
    of: str

    def __new__(cls, name: str, index: int) -> Repeated:
        found = super().__new__(cls, f"{name}\0{index}")
        found.of = name
        return found


def read_json(text: bytes, depth_max: int) -> Any:
    """The content of a JSON text; of a repeated name the first is the value. Raises ValueError."""
    try:
        content = json.loads(
            text.decode(), parse_float=Literally, parse_int=_whole, parse_constant=_refuse, object_pairs_hook=_members
        )
    except RecursionError:
        raise ValueError("nests too deep") from None
    _check(content, depth_max)
    return content


def _whole(text: str) -> int | Literally:
    return int(text) if len(text) <= 20 else Literally(text)


def _refuse(literal: str) -> None:
    raise ValueError(f"{literal} is no JSON number")


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for index, (name, value) in enumerate(pairs):
        members[Repeated(name, index) if name in members else name] = value
    return members


def _check(value: object, depth_max: int) -> None:
    """That containers nest no deeper, and that every text can be written as UTF-8. Raises ValueError."""
    if isinstance(value, str):
        value.encode()  # what a lone surrogate raises is a ValueError
    if isinstance(value, dict | list):
        if depth_max == 0:
            raise ValueError("nests too deep")
        for part in value.values() if isinstance(value, dict) else value:
            _check(part, depth_max - 1)
    if isinstance(value, dict):
        for name in value:
            name.encode()
