"""Which usage events settle reservations: those that carry the extension attribute `reservation`.

Records are looked into only where the word stands in one of them, so usage that reserves nothing costs one search per
batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.intake.usage_block import Events, Records, are_structured
from pipeline.intake.validation import binary_attributes
from schemas.reservation import ATTRIBUTE

WORD = f'"{ATTRIBUTE}"'.encode()
LONGEST = 200


class Settlement(NamedTuple):
    """An accepted event that carries the id of a reservation, and where it stands."""

    reservation: str
    subject: str
    ts_ms: int
    partition: int
    offset: int
    appended_at_ms: int


class _Carries(msgspec.Struct):
    reservation: str = ""


_decode = msgspec.json.Decoder(_Carries).decode


def settlements(batch: Records, events: Events) -> Iterator[Settlement]:
    """The settlements among the accepted events of a batch; an id that is no text of up to 200 letters is none."""
    if are_structured(batch.headers) and WORD not in b"\0".join(filter(None, batch.values)):
        return
    named = {
        offset: name
        for offset, value, headers in zip(batch.offsets, batch.values, batch.headers, strict=True)
        if (name := _reservation_of(value, headers))
    }
    if not named:
        return
    for place, (partition, offset) in enumerate(zip(events.partition, events.offset, strict=True)):
        if partition == batch.partition and offset in named:
            yield Settlement(
                named[offset], events.subject[place], events.ts_ms[place], partition, offset,
                events.appended_at_ms[place],
            )  # fmt: skip


def _reservation_of(value: bytes | None, headers: object) -> str:
    found = ""
    if headers:
        found = binary_attributes(headers).get(ATTRIBUTE, b"").decode("utf-8", "replace")  # type: ignore[arg-type]
    if not found and value is not None and WORD in value:
        try:
            found = _decode(value).reservation
        except msgspec.DecodeError:
            return ""
    return found if 0 < len(found) <= LONGEST else ""
