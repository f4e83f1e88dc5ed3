"""What whole days of several meters add up to, as ClickHouse SQL: one reading of the events for all of them.

Each event is read, hashed and taken apart once, however many meters count it. The source of rows is that of
`pipeline.meters.meter_sql`; what the numbers mean is said in 0024_days.sql.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from pipeline.meters.meter_sql import MeterSql, fields_of, meter_sql, quoted
from pipeline.meters.sql_expression import DECIMAL
from schemas.catalogue_entry import MeterEntry

WIDE = "Decimal(76, 12)"
PLACE = "(at, k_offset, k_partition)"


def together(entries: Iterable[MeterEntry]) -> list[list[MeterEntry]]:
    """Meters that are computed in one reading: those of the same groups."""
    found: dict[tuple[str, ...], list[MeterEntry]] = {}
    for entry in entries:
        found.setdefault(entry.meter.group_by, []).append(entry)
    return list(found.values())


def catalogue_hash(entries: Iterable[MeterEntry]) -> int:
    """Which meter versions these are, in 64 bits."""
    listed = "".join(f"{entry.name}\0{entry.version}\0" for entry in sorted(entries, key=lambda entry: entry.key))
    return int.from_bytes(hashlib.blake2b(listed.encode(), digest_size=8).digest(), "big")


def types_of(entries: Sequence[MeterEntry]) -> str:
    """The event types that some of the meters count, quoted."""
    return ", ".join(quoted(kind) for kind in sorted({kind for entry in entries for kind in entry.meter.event_types}))


def columns_sql(entries: Sequence[MeterEntry]) -> tuple[str, str]:
    """The groups, and per meter whether an event counts, whether it is valid, and its value, of each event."""
    names = tuple(dict.fromkeys(name for entry in entries for name in fields_of(entry.meter)))
    parts = [meter_sql(entry.meter, names) for entry in entries]
    columns = [_columns(number, part) for number, part in enumerate(parts)]
    return parts[0].group, ", ".join(columns)


def _columns(number: int, part: MeterSql) -> str:
    return (
        f"toUInt8({part.where}) AS counts_{number}, toUInt8(counts_{number} AND {part.valid}) AS valid_{number}, "
        f"{part.value} AS value_{number}"
    )


def rows_sql(entries: Sequence[MeterEntry]) -> str:
    """An array with a row per meter: name, version and the columns of `day_totals` from `events` on."""
    return f"[{', '.join(_row(number, entry) for number, entry in enumerate(entries))}]"


def _row(number: int, entry: MeterEntry) -> str:
    counts, valid, value = f"counts_{number}", f"valid_{number}", f"value_{number}"
    return (
        f"tuple({quoted(entry.name)}, {quoted(entry.version)}, countIf({counts}), countIf({counts} AND NOT {valid}), "
        f"reinterpret(sumIf(toInt256(reinterpretAsInt128({value})), {valid}), '{WIDE}'), "
        f"CAST(minIf({value}, {valid}), '{DECIMAL}'), CAST(maxIf({value}, {valid}), '{DECIMAL}'), "
        f"CAST(argMaxIf({value}, {PLACE}, {valid}), '{DECIMAL}'), maxIf({PLACE}, {valid}), minIf({PLACE}, {counts}), "
        f"sumWithOverflowIf(content, {counts}))"
    )
