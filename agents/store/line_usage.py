"""The events behind a line, as of the vector of its close: by day, in pages, and all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from string import Template
from typing import Any

from agents.store.connection import Connection, query_text
from agents.store.looks import SUBJECTS
from agents.store.metered_usage import Group
from pipeline.meters.meter_sql import meter_sql, quoted
from pipeline.meters.usage_sql import EARLIEST, Frame, to_ms, usage_sql
from schemas.catalogue_entry import MeterEntry
from schemas.evidence import RawEvent
from schemas.period import Period
from schemas.tick import ATTRIBUTIONS, USAGE, Vector

SUMMED_BY_DAY = ("count", "sum", "min", "max")
"""Aggregations of which a day's value says something; of the others a day has its number of events only."""


@dataclass(frozen=True, slots=True)
class LineKey:
    """What a line counts: one customer's usage of a meter version in a frame, as of a vector."""

    customer: str
    meter: MeterEntry
    frame: Frame
    vector: Vector

    @property
    def span(self) -> Period:
        """The served span."""
        return self.frame.span


@dataclass(frozen=True, slots=True)
class LineDay:
    """A day of a line: its events, those without a usable value, and what they come to (None if that says nothing)."""

    start: datetime
    events: int
    invalid: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class LineEvent:
    """A raw event of a line with its position, its group and the value that the meter reads (None if unusable)."""

    type: str
    subject: str
    time: datetime
    source: str
    id: str
    partition: int
    offset: int
    data: str
    group: Group
    value: Decimal | None

    @property
    def place(self) -> Place:
        """Where it stands in the order of a line's events."""
        return Place(to_ms(self.time), self.offset, self.partition)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the order of time, then arrival."""

    ms: int
    offset: int
    partition: int

    def text(self) -> str:
        """`TIME_MS-OFFSET-PARTITION`, as a cursor."""
        return f"{self.ms}-{self.offset}-{self.partition}"

    @classmethod
    def read(cls, text: str) -> Place:
        """The place of a cursor. Raises ValueError for anything else."""
        try:
            ms, offset, partition = (int(part) for part in text.split("-"))
        except ValueError:
            raise ValueError(f"{text!r} is no place in a line's events; take one from `next`") from None
        return cls(ms, offset, partition)


BEGINNING = Place(-1, -1, -1)


class LineUsage:
    """What `tally explain` and `tally evidence` ask of raw events."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def days(self, key: LineKey, days: Sequence[Period]) -> tuple[LineDay, ...]:
        """Each of some successive days on which the line has events."""
        said = key.meter.meter.aggregation in SUMMED_BY_DAY
        value = usage_sql(key.meter.meter, key.frame).value if said else "toDecimal128(0, 12)"
        sql = self._text("line_days", key, value=value)
        bounds = {"starts": days[0].start, "ends": days[-1].end, "days": [to_ms(day.start) for day in days]}
        by_start = {to_ms(day.start): day.start for day in days}
        return tuple(
            LineDay(by_start[start], events, invalid, total if said else None)
            for start, events, invalid, total in self._db.tuples(sql, self._bound(key, **bounds))
        )

    def events(self, key: LineKey, span: Period, after: Place, at_most: int) -> tuple[LineEvent, ...]:
        """Events of a part of the line's span, after a place, in order of time and arrival."""
        sql = self._text("line_events", key)
        rows = self._db.tuples(sql, self._bound(
            key, starts=span.start, ends=span.end, after_ms=after.ms, after_offset=after.offset,
            after_partition=after.partition, at_most=at_most,
        ))  # fmt: skip
        return tuple(_event(row) for row in rows)

    def all_events(
        self, customer: str, types: Sequence[str], span: Period, vector: Vector, *, carried: bool
    ) -> tuple[RawEvent, ...]:
        """Every counted event of a customer, of some types, in a span (and before it, if `carried`), by position."""
        sql = Template(query_text("raw_events")).substitute(
            counted_events=_counted(types), attributions_as_of=query_text("attributions_as_of")
        )
        rows = self._db.tuples(sql, {
            "customer": customer, "starts": EARLIEST if carried else span.start, "ends": span.end,
            "usage": list(vector.of(USAGE)), "attributions": vector.end(ATTRIBUTIONS, 0),
        })  # fmt: skip
        return tuple(RawEvent(*row) for row in rows)

    def owners(self, subjects: Sequence[str], vector: Vector) -> dict[str, list[tuple[datetime, str]]]:
        """Whose each subject is from when on, as of a vector; those of nobody are left out."""
        sql = (
            f"SELECT subject, effective_from, customer FROM ({query_text('attributions_as_of')}) "
            "WHERE subject IN {subjects:Array(String)} ORDER BY subject, effective_from"
        )
        found: dict[str, list[tuple[datetime, str]]] = {}
        rows = self._db.tuples(sql, {"subjects": list(subjects), "attributions": vector.end(ATTRIBUTIONS, 0)})
        for subject, since, customer in rows:
            found.setdefault(subject, []).append((since, customer))
        return found

    def frozen(self, close_id: str, subscription: str, key: LineKey) -> list[Mapping[str, Any]]:
        """The rows that the close froze of a line's usage, by group, in order of first usage."""
        rows = self._db.rows(
            "SELECT * FROM period_usage FINAL WHERE close_id = {close:UUID} AND subscription = {subscription:String} "
            "AND meter = {meter:String} AND meter_version = {version:String} "
            "AND period_start = {start:DateTime64(3, 'UTC')} AND period_end = {end:DateTime64(3, 'UTC')} "
            "AND shape IN ('', 'groups') ORDER BY first_at, k_offset, k_partition, grp",
            {"close": close_id, "subscription": subscription, "meter": key.meter.name, "version": key.meter.version,
             "start": key.span.start, "end": key.span.end},
        )  # fmt: skip
        return list(rows)

    def _text(self, name: str, key: LineKey, **parts: str) -> str:
        events, chosen = meter_sql(key.meter.meter), usage_sql(key.meter.meter, key.frame).chosen
        rows = Template(query_text("line_rows")).substitute(
            group=events.group, valid=events.valid, value=events.value, where=events.where,
            counted_events=_counted(key.meter.meter.event_types, chosen),
            attributions_as_of=query_text("attributions_as_of"),
        )  # fmt: skip
        return Template(query_text(name)).substitute(line_rows=rows, **parts)

    def _bound(self, key: LineKey, **others: object) -> dict[str, object]:
        return {
            "customer": key.customer, "usage": list(key.vector.of(USAGE)),
            "attributions": key.vector.end(ATTRIBUTIONS, 0), **others,
        }  # fmt: skip


def _event(row: tuple[Any, ...]) -> LineEvent:
    *raw, group, valid, value = row
    return LineEvent(*raw, tuple(json.loads(group)), value if valid else None)  # type: ignore[call-arg]


def _counted(types: Sequence[str], chosen: str = "1") -> str:
    """The counted events of some types and of the subjects that may be the customer's; `chosen` narrows them."""
    listed = ", ".join(quoted(kind) for kind in types)
    return Template(query_text("counted_events")).substitute(types=listed, subjects=f"({SUBJECTS}) AND ({chosen})")
