"""Usage of many customers at once, as of what is stored: the figures behind entitlements and alerts.

What adds up over panes (`count`, `sum`) is read from sealed totals and, for panes that are open, from raw events: one
statement for all customers. Everything else is read from raw events as a close reads it, customer by customer.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template

from agents.store.connection import Connection, query_text
from agents.store.metered_usage import Question, UsageReader
from agents.store.open_panes import OpenPanes, spans
from agents.topics import USAGE_EVENTS
from pipeline.limits.entitlements import Asked
from pipeline.meters.meter_sql import meter_sql, quoted
from pipeline.meters.sealing import PANE_S
from pipeline.meters.usage_sql import decimal_sql, to_ms
from pipeline.meters.vectors import padded
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import MeterEntry
from schemas.tick import ATTRIBUTIONS, Tick, Vector

PANE_MS = PANE_S * 1000
FAR_MS = 4_102_444_800_000
TOGETHER = 2_000
"""Customers in one statement."""
SUBJECTS = (
    "subject IN (SELECT subject FROM attributions WHERE customer IN {customers:Array(String)} "
    "UNION ALL SELECT arrayJoin({customers:Array(String)}))"
)
"""The subjects that some customers ever had, and the customers themselves; in one line, as fragments are."""
CUTS = (
    "(SELECT subject, intDiv(toUnixTimestamp(effective_from), 300) FROM attributions "
    "WHERE toUnixTimestamp64Milli(effective_from) >= {since} AND toUnixTimestamp64Milli(effective_from) % 300000 != 0)"
)
"""Panes in which a subject changed hands: both customers have a part of them."""
IN_PANE = f"(subject, intDiv(toUnixTimestamp(pane), {PANE_S}))"


@dataclass(frozen=True, slots=True)
class Read:
    """What was asked for, as of a vector of usage.events: everything below it is counted."""

    vector: tuple[int, ...]
    usage: Mapping[Asked, tuple[Usage, ...]]


class BalanceStore:
    """Reads of usage as of now. One thread at a time."""

    def __init__(self, connection: Connection, *, partitions: int) -> None:
        self._db = connection
        self._raw = UsageReader(connection)
        self._panes = OpenPanes(connection, partitions)
        self._corrected_to: list[int] = []

    @property
    def vector(self) -> tuple[int, ...]:
        """Below it everything is stored, as of the last read."""
        return self._panes.vector

    def read(self, asked: Iterable[Asked], tick: Tick, *, everybody: bool = False) -> Read:
        """The usage of everything that is asked for. `everybody`: most customers are asked about, so that it is no
        use to look for their subjects first."""
        wanted = tuple(dict.fromkeys(asked))
        entries = {(one.entry.name, one.entry.version): one.entry for one in wanted}
        self._panes.refresh(tuple(entries.values()), self._corrected())
        found: dict[Asked, list[Usage]] = {one: [] for one in wanted}
        plain = [one for one in wanted if one.is_plain]
        for start in range(0, len(plain), TOGETHER):
            self._read_plain(plain[start : start + TOGETHER], found, everybody=everybody)
        for one in wanted:
            if not one.is_plain:
                found[one] += self._read_raw(one, tick)
        return Read(self._panes.vector, {one: tuple(rows) for one, rows in found.items()})

    def attributions_end(self) -> int:
        """How far billing.attributions is stored."""
        rows = self._db.tuples("SELECT if(count() = 0, 0, max(k_offset) + 1) FROM attributions")
        return int(rows[0][0])

    def _corrected(self) -> tuple[int, ...]:
        """Panes that corrections changed since the last time: their totals are old until they are sealed again."""
        before, now = self._corrected_to, list(self._panes.vector)
        self._corrected_to = now
        if not before or before == now:
            return ()
        rows = self._db.tuples(query_text("corrected_panes"), {"before": padded(before, len(now)), "usage": now})
        return tuple(row[0] for row in rows)

    def _read_plain(self, asked: Sequence[Asked], found: dict[Asked, list[Usage]], *, everybody: bool) -> None:
        branches = list(_branches(asked))
        texts = [self._branch(number, branch, everybody=everybody) for number, branch in enumerate(branches)]
        if not texts:
            return
        values = {
            "customers": sorted({one.customer for one in asked}), "usage": list(self._panes.vector),
            "attributions": self.attributions_end(), "starts": _moment(0), "ends": _moment(FAR_MS),
        }  # fmt: skip
        for number, customer, group, events, invalid, value in self._db.tuples("\nUNION ALL\n".join(texts), values):
            row = Usage(tuple(json.loads(group)), value, events, invalid)
            found[branches[number][customer]].append(row)

    def _branch(self, number: int, asked: Mapping[str, Asked], *, everybody: bool) -> str:
        entry = next(iter(asked.values())).entry
        open_panes = self._open(entry, asked.values())
        since = min(to_ms(one.frame.span.start) for one in asked.values())
        until = max(to_ms(one.frame.span.end) for one in asked.values())
        events = meter_sql(entry.meter)
        subjects = "1" if everybody else SUBJECTS
        within = [f"(ts >= {_at(max(a, since))} AND ts < {_at(b)})" for a, b in spans(open_panes) if b > since]
        cuts = CUTS.format(since=since) if self._has_cuts(since) else ""
        if cuts:
            within.append(f"(ts >= {_at(since)} AND (subject, intDiv(toUnixTimestamp(ts), {PANE_S})) IN {cuts})")
        rows = Template(query_text("usage_rows")).substitute(
            spans="toInt64(0) AS from_ms, toInt64(0) AS to_ms", group=events.group, valid=events.valid,
            value_of_event=events.value, member_of_event=events.member, adds=events.adds, where=events.where,
            counted_events=Template(query_text("counted_events")).substitute(
                types=", ".join(quoted(kind) for kind in entry.meter.event_types),
                subjects=f"{subjects} AND ({' OR '.join(within) or '0'})",
            ),
            attributions_as_of=query_text("attributions_as_of"),
        )  # fmt: skip
        names = ", ".join(quoted(name) for name in asked)
        starts, ends = (
            ", ".join(str(to_ms(getattr(one.frame.span, side))) for one in asked.values()) for side in ("start", "end")
        )
        return Template(query_text("balances")).substitute(
            ask=number, meter=quoted(entry.name), version=quoted(entry.version), since=since, until=until,
            open=", ".join(map(str, sorted(open_panes))) or "-1",
            subjects=f"{subjects}{f' AND {IN_PANE} NOT IN {cuts}' if cuts else ''}",
            total=decimal_sql("sum(units)"), attributions_as_of=query_text("attributions_as_of"), usage_rows=rows,
            **{"from": f"transform(customer, [{names}], [{starts}], {FAR_MS})",
               "to": f"transform(customer, [{names}], [{ends}], 0)"},
        )  # fmt: skip

    def _open(self, entry: MeterEntry, asked: Iterable[Asked]) -> frozenset[int]:
        """Panes that are read from raw for everybody: what is open, and those that a span cuts."""
        ends = {to_ms(moment) for one in asked for moment in (one.frame.span.start, one.frame.span.end)}
        return self._panes.of(entry) | {ms // PANE_MS for ms in ends if ms % PANE_MS}

    def _has_cuts(self, since: int) -> bool:
        return bool(self._db.tuples(f"SELECT 1 FROM {CUTS.format(since=since)} LIMIT 1"))

    def _read_raw(self, one: Asked, tick: Tick) -> list[Usage]:
        """As a close would freeze it, as of what is stored."""
        ends = {**tick.vector.ends, USAGE_EVENTS: self._panes.vector, ATTRIBUTIONS: (self.attributions_end(),)}
        now = tick.model_copy(update={"vector": Vector(ends=ends)})
        meter = one.entry.meter if one.shape.by_group else one.entry.meter.model_copy(update={"group_by": ()})
        question = Question(now, 0, meter, one.frame, version=one.entry.version, customers=(one.customer,))
        read = self._raw.run_transactions if one.shape.transactions else self._raw.run_usage
        return [
            Usage(row.group, row.value, row.events, row.invalid, row.window, one.shape.name) for row in read(question)
        ]


def _branches(asked: Sequence[Asked]) -> Iterable[dict[str, Asked]]:
    """Per meter version, so many as a customer has spans of it: in one branch each customer has one."""
    found: dict[tuple[str, str], list[dict[str, Asked]]] = defaultdict(list)
    for one in asked:
        branches = found[one.entry.name, one.entry.version]
        place = next((branch for branch in branches if one.customer not in branch), None)
        if place is None:
            branches.append(place := {})
        place[one.customer] = one
    for branches in found.values():
        yield from branches


def _at(ms: int) -> str:
    return f"fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')"


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
