"""A meter as ClickHouse SQL: the one definition of which events count, in which group, with which value.

The texts stand on a source of rows `type, subject, ts, k_partition, k_offset, d`, where `d` is the payload with exact
numbers (`if(exact = '', data, exact)`). Sealing, closing and the current view all use them, so they cannot disagree;
`pipeline.meters.aggregation` says the same in Python and property tests hold both to the same answers. Every text is
complete in itself. Names of dimensions and types come from a checked catalogue and are quoted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.meters.scaled import DECIMALS, NUMBER_PATTERN
from pipeline.meters.sql_expression import DECIMAL, below_limit, expression_sql, named, quoted
from schemas.meter import COMPARES_TEXTS, Meter

__all__ = ["MeterSql", "meter_sql", "quoted"]

# Texts that a payload's object, list, negative zero or tiny number may have: only then its kind is looked at.
ODD = r"^[{\[]|^-0$|^-?[0-9.]+e-"


@dataclass(frozen=True, slots=True)
class MeterSql:
    """A meter's parts as SQL expressions over the source of rows.

    `value` is Decimal(38, 12): 0 where `valid` is 0, 1 for a count, 0 for a member of a unique count; `number` is both
    in one, NULL where `valid` is 0, for a text that asks for both. `member` is the text that a unique count compares,
    empty where `valid` is 0; `adds` is 0 where it is removed.
    """

    where: str
    group: str
    valid: str
    value: str
    number: str
    member: str = "''"
    adds: str = "toUInt8(1)"


def meter_sql(meter: Meter, names: Sequence[str] = (), taken_apart: str = "") -> MeterSql:
    """The expressions of a meter. With `names`, fields of several meters, all of them take the payload apart once;
    `taken_apart` is the column that holds them already (`fields_sql`)."""
    fields = _Fields(names or fields_of(meter), taken_apart)
    conditions = [f"type IN ({', '.join(quoted(kind) for kind in meter.event_types)})"]
    conditions += [fields.any_of(dimension, allowed) for dimension, allowed in meter.match.items()]
    conditions += [f"NOT ({fields.all_of(entry)})" for entry in meter.exclude]
    where, group = " AND ".join(conditions), fields.group(meter.group_by)
    if meter.aggregation in COMPARES_TEXTS:
        return _members(meter, fields, where, group)
    if meter.expression is None:
        one = f"toDecimal128(1, {DECIMALS})"
        return MeterSql(where, group, "toUInt8(1)", one, f"toNullable({one})")
    number = expression_sql(meter.expression, fields.number)
    zero = f"toDecimal128(0, {DECIMALS})"
    return MeterSql(where, group, f"toUInt8(isNotNull({number}))", f"ifNull({number}, {zero})", number)


def fields_sql(names: Sequence[str]) -> str:
    """The fields of a payload as one value; of a repeated name the first."""
    listed = ", ".join(f"{_identifier(name)} Nullable(String)" for name in names)
    return f"JSONExtract(d, {quoted(f'Tuple({listed})')})" if names else "tuple(d)"


def fields_of(meter: Meter) -> tuple[str, ...]:
    """The fields of the payload that a meter reads."""
    operation = (meter.operation,) if meter.aggregation in COMPARES_TEXTS else ()
    return tuple(dict.fromkeys((*meter.dimensions, *meter.measures, *operation)))


def _members(meter: Meter, fields: _Fields, where: str, group: str) -> MeterSql:
    member, operation = fields.text(meter.measures[0]), f"ifNull({fields.text(meter.operation)}, 'add')"
    valid = f"toUInt8(isNotNull({member}) AND {operation} IN ('add', 'remove'))"
    return MeterSql(
        where, group, valid, "toDecimal128(0, 12)", f"if({valid}, toNullable(toDecimal128(0, 12)), NULL)",
        member=f"if({valid}, ifNull({member}, ''), '')", adds=f"toUInt8({operation} != 'remove')",
    )  # fmt: skip


class _Fields:
    """The fields of the payload that a meter needs, read in one pass: of a repeated name the first."""

    def __init__(self, names: Sequence[str], taken_apart: str = "") -> None:
        self._names, self._all = names, taken_apart or fields_sql(names)

    def raw(self, name: str) -> str:
        """The text of a field as read: JSON where it is no text."""
        return f"tupleElement({self._all}, {self._names.index(name) + 1})"

    def text(self, name: str) -> str:
        """The text by which a field is compared; NULL if it has none."""
        (first, raw), kind = named(self.raw(name)), f"JSONType(d, {quoted(name)})"
        return (
            f"if(ifNull(match({first}, {quoted(ODD)}), 0), multiIf({kind} IN ('Object', 'Array'), NULL, "
            f"{kind} = 'Double', toString(toDecimal128OrNull({raw}, {DECIMALS})), {raw}), {raw})"
        )

    def number(self, name: str) -> str:
        """The value of a field: Decimal(38, 12) below 10^15, rounded half away from zero; NULL if it has none."""
        first, raw = named(self.raw(name))
        text = f"if(ifNull(match({first}, {quoted(f'^({NUMBER_PATTERN})$')}), 0), {raw}, '')"
        rounded = f"round(toDecimal128OrNull({text}, {DECIMALS + 1}), {DECIMALS})"
        return below_limit(f"accurateCastOrNull({rounded}, '{DECIMAL}')")

    def any_of(self, dimension: str, allowed: Sequence[str | None]) -> str:
        """Whether a dimension has one of the values; None is "absent"."""
        listed = ", ".join(quoted(value) for value in allowed if value is not None)
        choices = [f"ifNull({self.text(dimension)} IN ({listed}), 0)"] if listed else []
        choices += [f"isNull({self.text(dimension)})"] if None in allowed else []
        return f"({' OR '.join(choices)})"

    def all_of(self, entry: Mapping[str, Sequence[str | None]]) -> str:
        """Whether every dimension of an entry has one of its values."""
        return " AND ".join(self.any_of(dimension, allowed) for dimension, allowed in entry.items())

    def group(self, dimensions: Sequence[str]) -> str:
        """The values of dimensions as a JSON array; null where one is absent."""
        return f"toJSONString([{', '.join(self.text(name) for name in dimensions)}])" if dimensions else "'[]'"


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
