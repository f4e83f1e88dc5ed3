"""Lists that are bound to a query, in parts that ClickHouse takes: a bound value may have 128 KiB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Named = TypeVar("Named")

BOUND_MAX = 100 * 1024
"""Bytes of one bound list; of http_max_field_value_size, with room for brackets."""


def in_parts(named: Iterable[Named], text: Callable[[Named], str] = str) -> Iterator[list[Named]]:
    """What is asked about, in its order, in lists whose texts fit into one bound value; none for nothing."""
    part: list[Named] = []
    size = 0
    for one in named:
        length = bound_bytes(text(one))
        if part and size + length > BOUND_MAX:
            yield part
            part, size = [], 0
        part.append(one)
        size += length
    if part:
        yield part


def bound_bytes(text: str) -> int:
    """What a text takes in a list: escaped, in quotes, followed by a comma."""
    return len(text.encode()) + text.count("\\") + text.count("'") + len("'',")
