"""Usage of a meter as of a vector, from raw events: every aggregation, any boundary, any zone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from string import Template

from agents.store.connection import Connection, query_text
from pipeline.meter_sql import meter_sql, quoted
from pipeline.scaled import quantity, scaled
from pipeline.usage_sql import Frame, UsageSql, to_ms, usage_sql
from schemas.meter import COMPARES_TEXTS, Meter
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, USAGE, Tick

Group = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage of one customer, meter and group in one served span (or one window of it), as of a vector."""

    customer: str
    group: Group
    events: int
    invalid: int
    value: Decimal
    fingerprint: int
    window: Period | None = None

    @property
    def order(self) -> tuple[object, ...]:
        """Rows ascend by customer, window and group; an absent value comes last."""
        start = None if self.window is None else self.window.start
        return (self.customer, start is not None, start, tuple((value is None, value or "") for value in self.group))


class UsageReader:
    """Reads usage of the customers whose runs at a tick bill a span."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def run_usage(self, tick: Tick, revision: int, meter: Meter, frame: Frame) -> tuple[UsageRow, ...]:
        """Usage of a meter in a frame, for each customer whose run at the tick bills its span; ascending.

        A customer, group or window without events (or carried state) has no row. Raises StoreRefused where a quantity
        is 10^26 or more.
        """
        parts = usage_sql(meter, frame)
        windows = {to_ms(part.start): label for label, part in frame.labelled()}
        found = self._db.tuples(usage_text(meter, parts), {
            "tick": tick.number, "revision": revision, "span_starts": frame.span.start, "ends": frame.span.end,
            "starts": parts.reads_from, "usage": list(tick.vector.of(USAGE)),
            "attributions": tick.vector.end(ATTRIBUTIONS, 0),
        })  # fmt: skip
        rows = [
            UsageRow(customer, tuple(json.loads(group)), events, invalid, value, fingerprint, windows[start])
            for customer, group, start, events, invalid, value, fingerprint in found
        ]
        rows += self._initial_levels(tick, revision, meter, frame, rows)
        return tuple(sorted(rows, key=lambda row: row.order))

    def _initial_levels(
        self, tick: Tick, revision: int, meter: Meter, frame: Frame, rows: list[UsageRow]
    ) -> list[UsageRow]:
        """A level that starts above or below 0 is there without events, too."""
        if not meter.initial_value or meter.group_by or frame.window is not None:
            return []
        seen = {row.customer for row in rows}
        due = self._db.tuples(query_text("customers_of_span"), {
            "tick": tick.number, "revision": revision, "span_starts": frame.span.start, "ends": frame.span.end,
        })  # fmt: skip
        level = quantity(scaled(meter.initial_value))
        return [UsageRow(customer, (), 0, 0, level, 0) for (customer,) in due if customer not in seen]


def usage_text(meter: Meter, parts: UsageSql) -> str:
    """The query of a meter, its values still to be bound."""
    events = meter_sql(meter)
    types = ", ".join(quoted(kind) for kind in meter.event_types)
    rows = Template(query_text("usage_rows")).substitute(
        spans=parts.spans, group=events.group, valid=events.valid, value_of_event=events.value,
        member_of_event=events.member, adds=events.adds, where=events.where,
        counted_events=Template(query_text("counted_events")).substitute(types=types, subjects="1"),
        attributions_as_of=query_text("attributions_as_of"),
    )  # fmt: skip
    name = "run_members" if meter.aggregation in COMPARES_TEXTS else "run_usage"
    return Template(query_text(name)).substitute(usage_rows=rows, value=parts.value, member=parts.member)
