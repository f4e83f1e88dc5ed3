"""A refused record is mended: attributes and measures changed, everything else kept to the digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from schemas.quantity import read_json

# Numbers that nobody touched must stay what they were: read as decimals, written as numbers.
Headers = Sequence[tuple[str, bytes | None]]
_encode = msgspec.json.Encoder(decimal_format="number").encode


def mended(value: bytes, broker_time: datetime, changes: Mapping[str, Any]) -> bytes:
    """A structured event with fields changed: `data.tokens` reaches into the payload, None removes a field.

    An event without a time of its own keeps the broker's: sent again it would get a later one. Raises ValueError for a
    record that is no JSON object: that one needs a whole new value.
    """
    try:
        content = read_json(value)
    except ValueError as error:
        raise ValueError(f"the record is not JSON ({error}): give a whole new value") from None
    if not isinstance(content, dict):
        raise ValueError("the record is no JSON object: give a whole new value")
    content.setdefault("time", time_text(broker_time))
    for path, changed in changes.items():
        _change(content, path.split("."), changed)
    return _encode(content)


def mended_binary(
    value: bytes, headers: Headers, broker_time: datetime, changes: Mapping[str, Any]
) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """An event in binary mode with fields changed: `data.tokens` in its payload, any other in its `ce_` header.

    Its time stays as in structured mode. Raises ValueError where the payload is to be changed and is no JSON object.
    """
    found = {name: content for name, content in reversed(headers) if content is not None}
    found.setdefault("ce_time", time_text(broker_time).encode())
    inside = {path: changed for path, changed in changes.items() if path.split(".")[0] == "data"}
    for name, changed in changes.items():
        if name in inside:
            continue
        found.pop(f"ce_{name}", None)
        if changed is not None:
            found[f"ce_{name}"] = str(changed).encode()
    if inside:
        try:
            content = {"data": read_json(value) if value and "data" not in inside else {}}
        except ValueError as error:
            raise ValueError(f"the payload is not JSON ({error}): give a whole new value") from None
        for path, changed in inside.items():
            _change(content, path.split("."), changed)
        value = _encode(content["data"]) if "data" in content else b""
    return value, tuple(found.items())


def field_value(text: str) -> object:
    """What a person typed for a field: JSON where it is JSON, else the text itself; empty removes the field."""
    if not text:
        return None
    try:
        value = read_json(text)
    except ValueError:
        return text
    return text if isinstance(value, Decimal) and not value.is_finite() else value


def time_text(moment: datetime) -> str:
    """A moment as producers write it, in whole milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _change(content: dict[str, Any], path: Sequence[str], changed: object) -> None:
    for name in path[:-1]:
        below = content.setdefault(name, {})
        if not isinstance(below, dict):
            raise ValueError(f"{name}: is not an object, so nothing in it can be changed")
        content = below
    if changed is None:
        content.pop(path[-1], None)
    else:
        content[path[-1]] = changed
