"""Usage of a meter as of a vector, from raw events: every aggregation, any boundary, any zone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from string import Template
from typing import Any

from agents.store.connection import Connection, Work, query_text
from pipeline.meters.meter_sql import meter_sql, quoted
from pipeline.meters.scaled import quantity, scaled
from pipeline.meters.usage_sql import (
    FROM_DAYS,
    Frame,
    UsageSql,
    from_days_sql,
    outside_sql,
    subjects_sql,
    to_ms,
    usage_sql,
)
from schemas.meter import COMPARES_TEXTS, GROUPS_MAX, OVERFLOW_GROUP, TRANSACTIONS_MAX, Meter
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
    days: Mapping[date, int] = field(default_factory=dict)
    """Days of the meter version that are sealed as the vector sees them -> tick of the seal; raw events otherwise."""

    @property
    def values(self) -> dict[str, object]:
        """What the server binds."""
        span = self.frame.span
        return {
            "tick": self.tick.number, "revision": self.revision, "span_starts": span.start, "ends": span.end,
            "starts": usage_sql(self.meter, self.frame).reads_from, "usage": list(self.tick.vector.of(USAGE)),
            "attributions": self.tick.vector.end(ATTRIBUTIONS, 0), "zone": self.zone,
            "customers": list(self.customers), "meter": self.meter.id, "version": self.version,
        }  # fmt: skip

    def sealed(self) -> dict[date, int]:
        """The whole days of the frame that need not be read from raw, with the ticks of their seals."""
        meter = self.meter
        if not self.days or meter.aggregation not in FROM_DAYS or meter.carry_over or self.frame.window is not None:
            return {}
        return {day: self.days[day] for day in self.frame.whole_days() if day in self.days}


class UsageReader:
    """Reads usage of the customers whose runs at a tick bill a span."""

    def __init__(
        self, connection: Connection, *, groups_max: int = GROUPS_MAX, transactions_max: int = TRANSACTIONS_MAX
    ) -> None:
        self._db = connection
        self._groups_max, self._transactions_max = groups_max, transactions_max

    def run_usage(self, asked: Question) -> tuple[UsageRow, ...]:
        """Usage of a meter in a frame, for each customer whose run at the tick bills its span; ascending.

        A customer, group or window without events (or carried state) has no row. Of more groups than the limit the
        first keep their names, and all others are one. Raises StoreRefused where a quantity is 10^26 or more.
        """
        text = UsageText(asked.meter, usage_sql(asked.meter, asked.frame), self._groups_max)
        if days := asked.sealed():
            rows = self._from_days(asked, text, days)
            if not self._is_crowded(rows):
                return tuple(sorted((*rows, *self._initial_levels(asked, rows)), key=lambda row: row.order))
        if asked.meter.group_by and asked.frame.window is not None and self._ask(asked, text.crowded()):
            rows = self._rows(asked, text.usage(bounded=True))
        else:
            rows = self._rows(asked, text.usage())
            if asked.meter.group_by and asked.frame.window is None and self._is_crowded(rows):
                rows = self._rows(asked, text.usage(bounded=True))
        return tuple(sorted((*rows, *self._initial_levels(asked, rows)), key=lambda row: row.order))

    def run_transactions(self, asked: Question) -> tuple[UsageRow, ...]:
        """Every event that the meter can use, a row each, in order of (event time, arrival).

        Of more than the limit the others are one row of their number and no value: its usage has no price.
        """
        text = UsageText(asked.meter, usage_sql(asked.meter, asked.frame), transactions_max=self._transactions_max)
        return tuple(self._rows(asked, text.transactions()))

    def _from_days(self, asked: Question, text: UsageText, days: Mapping[date, int]) -> list[UsageRow]:
        """Usage from sealed days, and from the events of all others."""
        bound = {"days": list(days), "sealed": list(days.values())}
        subjects = subjects_sql(asked.frame)
        split = self._db.tuples(
            text.split_days(subjects), asked.values | bound, work=Work("close", ((asked.meter.id, asked.version),))
        )
        bound |= {"split_subjects": [row[0] for row in split], "split_days": [row[1] for row in split]}
        return self._rows(asked, text.from_days(asked.frame, tuple(days), subjects, is_split=bool(split)), bound)

    def _rows(self, asked: Question, text: str, bound: Mapping[str, object] | None = None) -> list[UsageRow]:
        windows = {to_ms(part.start): label for label, part in asked.frame.labelled()}
        return [
            UsageRow(customer, tuple(json.loads(group)), events, invalid, value, fingerprint, windows[start], first)
            for customer, group, start, events, invalid, value, fingerprint, first in self._ask(asked, text, bound)
        ]

    def _ask(self, asked: Question, text: str, bound: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        return self._db.tuples(
            text, asked.values | dict(bound or {}), work=Work("close", ((asked.meter.id, asked.version),))
        )

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


SPLIT = (
    "(subject, toString(toDate(ts))) IN (SELECT pair.1, pair.2 FROM "
    "(SELECT arrayJoin(arrayZip({split_subjects:Array(String)}, {split_days:Array(String)})) AS pair))"
)


def _day_rows(subjects: str) -> str:
    return Template(query_text("day_rows")).substitute(subjects=subjects)


def _is_of_days(frame: Frame) -> bool:
    """Whether whole days are all that there is of a span."""
    return len(frame.whole_days()) * timedelta(days=1) == frame.span.end - frame.span.start


@dataclass(frozen=True, slots=True)
class UsageText:
    """The queries of a meter in a frame, their values still to be bound."""

    meter: Meter
    parts: UsageSql
    groups_max: int = GROUPS_MAX
    transactions_max: int = TRANSACTIONS_MAX

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

    def split_days(self, subjects: str) -> str:
        """Subjects and sealed days that more than one customer owns."""
        return Template(query_text("split_days")).substitute(
            day_rows=_day_rows(subjects), attributions_as_of=query_text("attributions_as_of")
        )

    def from_days(self, frame: Frame, days: Sequence[date], subjects: str, *, is_split: bool) -> str:
        """Usage per customer and group, from sealed days and from the events of the others."""
        rest = outside_sql(days) if set(days) != set(frame.whole_days()) or not _is_of_days(frame) else "0"
        if is_split:
            rest = f"({rest} OR {SPLIT})"
        raw = replace(self, parts=replace(self.parts, chosen=f"{self.parts.chosen} AND {rest}"))
        limit = f"ORDER BY customer, first, grp LIMIT {self.groups_max + 1} BY customer" if self.meter.group_by else ""
        return Template(query_text("run_usage_from_days")).substitute(
            due=query_text("due_customers"), raw_rows=raw._rows(), day_rows=_day_rows(subjects),
            day_group="d.grp" if self.meter.group_by else "'[]'", from_ms=to_ms(frame.span.start),
            value=from_days_sql(self.meter), attributions_as_of=query_text("attributions_as_of"), bound=limit,
        )  # fmt: skip

    def transactions(self) -> str:
        """Every event with its value."""
        text = Template(query_text("run_transactions"))
        return text.substitute(due=query_text("due_customers"), usage_rows=self._rows(), limit=self.transactions_max)

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
