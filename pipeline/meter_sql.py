"""A meter as ClickHouse SQL: the one definition of which events count, in which group, with which value.

The texts stand on a source of rows `type, subject, ts, k_partition, k_offset, d`, where `d` is the payload with exact
numbers (`if(exact = '', data, exact)`). Sealing, closing and the current view all use them, so they cannot disagree;
`aggregation` says the same in Python. Names of dimensions and types come from a checked catalogue and are quoted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.meter import Meter

# What a value may look like as text. JSON numbers reach us in their shortest form, so an exponent is possible.
NUMBER = r"^-?[0-9]{1,40}([.][0-9]{1,40})?([eE][+-]?[0-9]{1,3})?$"
LIMIT = "1000000000000000"


@dataclass(frozen=True, slots=True)
class MeterSql:
    """A meter's parts as SQL expressions over the source of rows."""

    where: str
    group: str
    valid: str
    value: str


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def meter_sql(meter: Meter) -> MeterSql:
    """The expressions of a meter. `value` is Decimal(38, 12); 1 for a count, 0 where `valid` is 0."""
    conditions = [f"type IN ({', '.join(quoted(kind) for kind in meter.event_types)})"]
    conditions += [_any_of(dimension, allowed) for dimension, allowed in meter.match.items()]
    conditions += [f"NOT ({_all_of(entry)})" for entry in meter.exclude]
    if meter.value is None:
        valid, value = "toUInt8(1)", "toDecimal128(1, 12)"
    else:
        number = f"toDecimal128OrNull({_number_text(meter.value)}, 12)"
        valid = f"toUInt8(ifNull(abs({number}) < {LIMIT}, 0))"
        value = f"if({valid}, assumeNotNull({number}), toDecimal128(0, 12))"
    return MeterSql(where=" AND ".join(conditions), group=_group(meter.group_by), valid=valid, value=value)


def _text(dimension: str) -> str:
    return f"JSONExtractString(d, {quoted(dimension)})"


def _absent(dimension: str) -> str:
    return f"(JSONType(d, {quoted(dimension)}) = 'Null' OR NOT JSONHas(d, {quoted(dimension)}))"


def _number_text(measure: str) -> str:
    return f"if(match({_text(measure)}, {quoted(NUMBER)}), {_text(measure)}, '')"


def _any_of(dimension: str, allowed: Sequence[str | None]) -> str:
    choices = []
    values = [value for value in allowed if value is not None]
    if values:
        listed = ", ".join(quoted(value) for value in values)
        choices.append(f"(NOT {_absent(dimension)} AND {_text(dimension)} IN ({listed}))")
    if None in allowed:
        choices.append(_absent(dimension))
    return f"({' OR '.join(choices)})"


def _all_of(entry: Mapping[str, Sequence[str | None]]) -> str:
    return " AND ".join(_any_of(dimension, allowed) for dimension, allowed in entry.items())


def _group(dimensions: Sequence[str]) -> str:
    if not dimensions:
        return "'[]'"
    values = ", ".join(f"if({_absent(dimension)}, NULL, {_text(dimension)})" for dimension in dimensions)
    return f"toJSONString([{values}])"
