"""Ids of what we make: UUIDv5 of what it stands for, so that doing it twice is doing it once.

Source: design.md §7, rating.md §8 (keys are derived, never random).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from uuid import UUID, uuid5

import rfc8785

NAMESPACE = UUID("6a1f0c8e-8f53-5d0e-9b1c-2d4f7a3b9c10")


def derived_id(kind: str, *parts: str | int) -> UUID:
    """The id of the `kind` that `parts` name; field by field, never joined by a character that a field may hold."""
    return uuid5(NAMESPACE, _ENCODER.encode([kind, *parts]))


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_SORTED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def canonical_json(content: object, *, is_plain: bool = False) -> bytes:
    """The one byte form of a JSON document (RFC 8785): keys sorted, no spaces. Decimals must be strings already.

    Documents of texts and whole numbers, which ours are, have the same bytes from the encoder of the standard library,
    in a fifth of the time; a property test holds both to it. `is_plain` says that it is known to be one of those.
    """
    if is_plain or _is_plain(content):
        text = _SORTED.encode(content)
        if text.isascii() or max(text) < _SURROGATES:  # below them, code points sort as UTF-16 does
            return text.encode()
    return rfc8785.dumps(content)  # type: ignore[arg-type]


def _is_plain(content: object) -> bool:
    """Whether a document holds only texts, whole numbers that a double can hold, booleans and null."""
    if isinstance(content, dict):
        if not {*map(type, content)} <= _TEXT:
            return False
        content = content.values()
    elif not isinstance(content, list | tuple):
        return type(content) in _PLAIN or (type(content) is int and -_LARGEST <= content <= _LARGEST)
    # Most of what a document holds are texts: what is left to look at is little.
    return {*map(type, content)} <= _PLAIN or all(_is_plain(one) for one in content if type(one) not in _PLAIN)


_TEXT = {str}
_PLAIN = {str, bool, type(None)}
_SURROGATES = "\ud800"
_LARGEST = 2**53 - 1


def content_hash(content: object) -> str:
    """SHA-256, in hex, of the canonical JSON of a document."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def canonical_members(content: Mapping[str, object]) -> dict[str, bytes]:
    """The canonical JSON of each member of a dumped model, whose names are ASCII, for `canonical_object`."""
    return {name: canonical_json(value, is_plain=True) for name, value in content.items()}


def canonical_object(members: Mapping[str, bytes], without: Collection[str] = ()) -> bytes:
    """The canonical JSON of an object from that of its members: what is written once serves in several documents."""
    names = sorted(name for name in members if name not in without)
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), members[name]) for name in names) + b"}"


def content_version(content: object) -> str:
    """The version of a catalogue object: the first twelve hex digits of its content's hash."""
    return content_hash(content)[:12]
