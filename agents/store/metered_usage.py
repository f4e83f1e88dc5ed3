"""Usage of a meter as of a vector, from raw events: every aggregation, any boundary, any zone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from string import Template
from typing import Any

from agents.store.connection import Connection, Work, query_text
from pipeline.meter_sql import meter_sql, quoted
from pipeline.scaled import quantity, scaled
from pipeline.usage_sql import Frame, UsageSql, to_ms, usage_sql
from schemas.meter import COMPARES_TEXTS, GROUPS_MAX, OVERFLOW_GROUP, Meter
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, USAGE, Tick

Group = tuple[str | None, ...]
NOWHERE = (0, 0, 0)


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
    first: tuple[int, int, int] = NOWHERE
    """Milliseconds, offset and partition of its first event."""

    @property
    def order(self) -> tuple[object, ...]:
        """Rows ascend by customer, window and group; an absent value comes last, transactions are in order."""
        start = None if self.window is None else self.window.start
        group = tuple((value is None, value or "") for value in self.group)
        return (self.customer, start is not None, start, group, self.first)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a meter for the runs of a tick."""

    tick: Tick
    revision: int
    meter: Meter
    frame: Frame
    zone: str = ""
    """Only runs that know this zone are answered for; empty: all."""
    version: str = ""
    """Of the meter: the cost of the question is put down to it."""
    customers: tuple[str, ...] = ()
    """Whom to ask about, whatever is due; empty: those whose runs at the tick bill the span."""

    @property
    def values(self) -> dict[str, object]:
        """What the server binds."""
        span = self.frame.span
        return {
            "tick": self.tick.number, "revision": self.revision, "span_starts": span.start, "ends": span.end,
            "starts": usage_sql(self.meter, self.frame).reads_from, "usage": list(self.tick.vector.of(USAGE)),
            "attributions": self.tick.vector.end(ATTRIBUTIONS, 0), "zone": self.zone,
            "customers": list(self.customers),
        }  # fmt: skip


class UsageReader:
    """Reads usage of the customers whose runs at a tick bill a span."""

    def __init__(self, connection: Connection, *, groups_max: int = GROUPS_MAX) -> None:
        self._db = connection
        self._groups_max = groups_max

    def run_usage(self, asked: Question) -> tuple[UsageRow, ...]:
        """Usage of a meter in a frame, for each customer whose run at the tick bills its span; ascending.

        A customer, group or window without events (or carried state) has no row. Of more groups than the limit the
        first keep their names, and all others are one. Raises StoreRefused where a quantity is 10^26 or more.
        """
        text = UsageText(asked.meter, usage_sql(asked.meter, asked.frame), self._groups_max)
        if asked.meter.group_by and asked.frame.window is not None and self._ask(asked, text.crowded()):
            rows = self._rows(asked, text.usage(bounded=True))
        else:
            rows = self._rows(asked, text.usage())
            if asked.meter.group_by and asked.frame.window is None and self._is_crowded(rows):
                rows = self._rows(asked, text.usage(bounded=True))
        return tuple(sorted((*rows, *self._initial_levels(asked, rows)), key=lambda row: row.order))

    def run_transactions(self, asked: Question) -> tuple[UsageRow, ...]:
        """Every event that the meter can use, a row each, in order of (event time, arrival)."""
        return tuple(self._rows(asked, UsageText(asked.meter, usage_sql(asked.meter, asked.frame)).transactions()))

    def _rows(self, asked: Question, text: str) -> list[UsageRow]:
        windows = {to_ms(part.start): label for label, part in asked.frame.labelled()}
        return [
            UsageRow(customer, tuple(json.loads(group)), events, invalid, value, fingerprint, windows[start], first)
            for customer, group, start, events, invalid, value, fingerprint, first in self._ask(asked, text)
        ]

    def _ask(self, asked: Question, text: str) -> list[tuple[Any, ...]]:
        return self._db.tuples(text, asked.values, work=Work("close", asked.meter.id, asked.version))

    def _is_crowded(self, rows: Iterable[UsageRow]) -> bool:
        groups = Counter(row.customer for row in rows)
        return max(groups.values(), default=0) > self._groups_max

    def _initial_levels(self, asked: Question, rows: Iterable[UsageRow]) -> list[UsageRow]:
        """A level that starts above or below 0 is there without events, too."""
        meter = asked.meter
        if not meter.initial_value or meter.group_by or asked.frame.window is not None:
            return []
        seen = {row.customer for row in rows}
        due = self._ask(asked, f"WITH {query_text('due_customers')} AS due SELECT arrayJoin(arraySort(due))")
        level = quantity(scaled(meter.initial_value))
        return [UsageRow(customer, (), 0, 0, level, 0) for (customer,) in due if customer not in seen]


@dataclass(frozen=True, slots=True)
class UsageText:
    """The queries of a meter in a frame, their values still to be bound."""

    meter: Meter
    parts: UsageSql
    groups_max: int = GROUPS_MAX

    def usage(self, *, bounded: bool = False) -> str:
        """Usage per customer, group and window; `bounded` makes the groups beyond the limit one."""
        rows = self._rows()
        if bounded:
            name = "[" + ",".join([f'"{OVERFLOW_GROUP}"'] * len(self.meter.group_by)) + "]"
            rows = Template(query_text("kept_groups")).substitute(
                usage_rows=rows, limit=self.groups_max, overflow=quoted(name)
            )
        whole = bool(self.meter.group_by) and not bounded and self.parts.is_whole
        bound = f"ORDER BY customer, first, grp LIMIT {self.groups_max + 1} BY customer" if whole else ""
        name = "run_members" if self.meter.aggregation in COMPARES_TEXTS else "run_usage"
        return Template(query_text(name)).substitute(
            due=query_text("due_customers"), usage_rows=rows, value=self.parts.value, member=self.parts.member,
            bound=bound,
        )  # fmt: skip

    def transactions(self) -> str:
        """Every event with its value."""
        text = Template(query_text("run_transactions"))
        return text.substitute(due=query_text("due_customers"), usage_rows=self._rows())

    def crowded(self) -> str:
        """Whether some customer has more groups than the limit."""
        return Template(query_text("crowded_customers")).substitute(
            due=query_text("due_customers"), usage_rows=self._rows(), limit=self.groups_max
        )

    def _rows(self) -> str:
        events = meter_sql(self.meter)
        types = ", ".join(quoted(kind) for kind in self.meter.event_types)
        rows = Template(query_text("usage_rows")).substitute(
            spans=self.parts.spans, group=events.group, valid=events.valid, value_of_event=events.value,
            member_of_event=events.member, adds=events.adds, where=events.where,
            counted_events=Template(query_text("counted_events")).substitute(
                types=types, subjects=self.parts.chosen
            ),
            attributions_as_of=query_text("attributions_as_of"),
        )  # fmt: skip
        return f"({rows})"
