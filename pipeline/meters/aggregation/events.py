"""One event as a meter sees it: does it count, in which group, with which value.

**Texts.** Dimensions and the members of a unique count are compared as text: a text is itself (also the empty one), a
boolean is `true` or `false`, a number its plain decimal without trailing zeros (1 and 1.0 are `1`, the text "1.0" is
not). Null, a missing field, a list and an object have no text: they are absent. Source: rating.md §9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipeline.intake.numbers import exact_payload
from pipeline.meters.expression import value_of
from pipeline.meters.scaled import fitted, value_of_number, value_of_text
from schemas.meter import COMPARES_TEXTS, Meter
from schemas.quantity import plain

Group = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class MeteredEvent:
    """A counted event: its type, its time and its payload with numbers as int or Decimal."""

    type: str
    time: datetime
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter reads from an event: a value in units of 10^-12, or a member that is added or removed."""

    time: datetime
    value: int | None = None
    member: str | None = None
    adds: bool = True

    @property
    def valid(self) -> bool:
        """Whether the meter can use it; an invalid one counts as an event all the same."""
        return self.value is not None or self.member is not None


def read_payload(payload: str) -> Mapping[str, object]:
    """A stored payload as the meters read it: exact numbers, of a repeated name the first.

    Raises ValueError for what is no JSON object.
    """
    exact, _ = exact_payload(payload.encode())
    content = json.loads(exact or payload, parse_float=Decimal, object_pairs_hook=_first_of_each)
    if not isinstance(content, dict):
        raise ValueError("payload: must be an object")
    return content


def counts(meter: Meter, event: MeteredEvent) -> bool:
    """Whether the meter counts the event: its type, every dimension of `match`, and no entry of `exclude`."""
    if event.type not in meter.event_types or not _matches(meter.match, event):
        return False
    return not any(_matches(entry, event) for entry in meter.exclude)


def group_of(meter: Meter, event: MeteredEvent) -> Group:
    """Its values of the meter's dimensions, None where one is absent."""
    return tuple(text_of(event.payload.get(dimension)) for dimension in meter.group_by)


def reading_of(meter: Meter, event: MeteredEvent) -> Reading:
    """What the meter reads from an event that it counts. Raises ValueError for a binary float."""
    if meter.expression is None:
        return Reading(event.time, value=1)
    if meter.aggregation in COMPARES_TEXTS:
        return _membership(meter, event)
    return Reading(event.time, value_of(meter.expression, lambda name: number_of(event.payload.get(name))))


def text_of(value: object) -> str | None:
    """The text by which a value is compared; None if it has none. Raises ValueError for a binary float."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        return plain(fitted(number)) if number.is_finite() else None
    _refuse_float(value)
    return value if isinstance(value, str) else None


def number_of(value: object) -> int | None:
    """The value that a field has for arithmetic; None if it has none. Raises ValueError for a binary float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return value_of_number(Decimal(value))
    _refuse_float(value)
    return value_of_text(value) if isinstance(value, str) else None


def _membership(meter: Meter, event: MeteredEvent) -> Reading:
    operation = text_of(event.payload.get(meter.operation))
    known = operation in (None, "add", "remove")
    member = text_of(event.payload.get(meter.measures[0])) if known else None
    return Reading(event.time, member=member, adds=operation != "remove")


def _matches(wanted: Mapping[str, Sequence[str | None]], event: MeteredEvent) -> bool:
    return all(text_of(event.payload.get(dimension)) in values for dimension, values in wanted.items())


def _refuse_float(value: object) -> None:
    if isinstance(value, float):
        raise ValueError(f"payload: {value!r} is a binary float; numbers are read at their literal decimal value")


def _first_of_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found
