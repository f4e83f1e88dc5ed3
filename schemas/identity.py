"""Ids of what we make: UUIDv5 of what it stands for, so that doing it twice is doing it once.

Source: design.md §7, rating.md §8 (keys are derived, never random).
"""

from __future__ import annotations

import hashlib
import json
from uuid import UUID, uuid5

import rfc8785

NAMESPACE = UUID("6a1f0c8e-8f53-5d0e-9b1c-2d4f7a3b9c10")


def derived_id(kind: str, *parts: str | int) -> UUID:
    """The id of the `kind` that `parts` name; field by field, never joined by a character that a field may hold."""
    return uuid5(NAMESPACE, json.dumps([kind, *parts], ensure_ascii=False, separators=(",", ":")))


def canonical_json(content: object) -> bytes:
    """The one byte form of a JSON document (RFC 8785): keys sorted, no spaces. Decimals must be strings already."""
    return rfc8785.dumps(content)  # type: ignore[arg-type]


def content_hash(content: object) -> str:
    """SHA-256, in hex, of the canonical JSON of a document."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def content_version(content: object) -> str:
    """The version of a catalogue object: the first twelve hex digits of its content's hash."""
    return content_hash(content)[:12]
