"""Keys of documents and lines: derived from what they stand for, so that billing again is billing once.

Source: rating.md §8, "Identity". The store holds a key once; the same key with the same content is a no-op.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from schemas.customer_state import DueCharge
from schemas.identity import canonical_json, derived_id
from schemas.period import Period

Kind = Literal["invoice", "credit_note"]


def document_id(
    customer: str, currency: str, tick: int, kind: Kind = "invoice", *, group: str = "", revision: int = 0
) -> str:
    """The id of a document: customer, currency, billing date (its tick), kind, group and revision.

    `group` is empty for the subscriptions that share a document, and names the one that asks for its own.
    """
    return str(derived_id("invoice", customer, currency, tick, kind, group, revision))


def line_id(
    subscription: str,
    charge: str,
    price_version: str,
    service: Period,
    *,
    group: str = "",
    adjusted: Period | None = None,
    revision: int = 0,
) -> str:
    """The id of a line: what is billed, by which price, for which span and dimension group.

    An adjustment also names the original period that it adjusts.
    """
    span = (service.start.isoformat(), service.end.isoformat())
    original = "" if adjusted is None else f"{adjusted.start.isoformat()}/{adjusted.end.isoformat()}"
    return str(derived_id("line", subscription, charge, price_version, *span, group, original, revision))


def charge_key(charge: DueCharge) -> str:
    """A charge in the key of a line: its rate card, and which charge of it, after the first."""
    return charge.card if not charge.number else canonical_json([charge.card, charge.number]).decode()


def dimension_group(kind: str, dimensions: Mapping[str, str | None], entry: int = 0) -> str:
    """What tells the lines of one charge and span apart: kind, dimension values, and which of equal ones it is.

    Empty for the ordinary single line.
    """
    apart = kind if kind in ("top_up", "unpriced", "waived") else ""
    if not apart and not dimensions and not entry:
        return ""
    return canonical_json([apart, dict(dimensions), entry]).decode()


def number_text(series: str, number: int) -> str:
    """A number as people read it: `INV-000001`."""
    return f"{series}-{number:06d}"
