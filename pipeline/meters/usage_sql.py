"""What a meter makes of the events of each customer and group, as ClickHouse SQL.

It is `pipeline.meters.aggregation` in the store.

All aggregations are computed from raw events as of a vector, at any boundary and in any zone; nothing is approximated.
Sealed panes keep what can be added up (events, sum); `count` and `sum` may be read from them, `min`, `max`, `avg`,
`latest`, `unique_count`, `weighted_sum`, `percentile` and the prorated ones may not. Results are Int256 in units of
10^-12, made Decimal(38, 12) by a cast that raises from 10^26.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from pipeline.calendar.proration import days
from pipeline.calendar.windows import windows_of
from pipeline.meters.scaled import LIMIT, UNIT, scaled
from pipeline.meters.sql_expression import DECIMAL, quoted
from schemas.meter import COMPARES_TEXTS, Meter
from schemas.period import Period
from schemas.price import Window
from schemas.quantity import ZERO

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MINUTE = 60_000
_DAY = timedelta(days=1)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No event is earlier: where carried state begins."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A served span, the calendar that it is seen in, and the windows that are asked for (or none)."""

    span: Period
    time_zone: str = "UTC"
    full_period: Period | None = None
    window: Window | None = None
    anchor: datetime | None = None
    gaps: tuple[Period, ...] = ()
    """Pauses in the span: what is used in them belongs to nobody."""
    subjects: tuple[str, ...] | None = None
    """Whose events count; None for all but `other_subjects`."""
    other_subjects: tuple[str, ...] = ()

    def whole_days(self) -> tuple[date, ...]:
        """The UTC days that lie in the span and outside its pauses, all of each."""
        return tuple(day for day in whole_days(self.span) if not any(_overlap(day, gap) for gap in self.gaps))

    def labelled(self) -> tuple[tuple[Period | None, Period], ...]:
        """Each window, and the part of it that is served; the whole span without windows."""
        if self.window is None:
            return ((None, self.span),)
        found = windows_of(self.window, self.span, self.time_zone, anchor=self.anchor)
        return tuple((window, window.intersection(self.span)) for window in found)


def whole_days(span: Period) -> Iterator[date]:
    """The UTC days that lie in a span, all of each."""
    first, last = (moment.astimezone(UTC) for moment in (span.start, span.end))
    day = first.date() if first.time() == time.min else first.date() + _DAY
    while day < last.date():
        yield day
        day += _DAY


def _overlap(day: date, gap: Period) -> bool:
    starts = datetime.combine(day, time.min, UTC)
    return gap.start < starts + _DAY and gap.end > starts


@dataclass(frozen=True, slots=True)
class UsageSql:
    """The parts of `run_usage.sql` and `run_members.sql` that depend on the meter and the frame.

    `spans` gives each row `from_ms` and `to_ms`; `member` is the value per member of a unique count.
    """

    reads_from: datetime
    spans: str
    value: str
    member: str = ""
    is_whole: bool = True
    """Whether there is one row per customer and group: no windows."""
    chosen: str = "1"
    """Which of the events below the vector are looked at."""


def usage_sql(meter: Meter, frame: Frame) -> UsageSql:
    """The parts for a meter and a frame. Raises ValueError for an unknown zone or window."""
    reads_from = EARLIEST if meter.carry_over else frame.span.start
    full = max(1, days(frame.full_period or frame.span, frame.time_zone))
    where = _Span(frame.time_zone, full)
    columns = _columns(frame, carried=meter.carry_over)
    if meter.aggregation in COMPARES_TEXTS:
        prorated = meter.aggregation == "prorated_unique_count"
        value = _quotient(f"sum(served) * {UNIT}", str(full)) if prorated else f"toInt256(sum(served)) * {UNIT}"
        member = where.days_there() if prorated else _LAST_ADDS
        return UsageSql(reads_from, columns, decimal_sql(value), member, frame.window is None, _chosen(frame))
    return UsageSql(reads_from, columns, _value(meter, where), is_whole=frame.window is None, chosen=_chosen(frame))


FROM_DAYS = ("count", "sum", "min", "max", "avg", "latest")
"""Aggregations whose value for a span follows from the totals of its days."""


def from_days_sql(meter: Meter) -> str:
    """The value over rows of days and of raw events, of columns n, n_invalid, total, least, greatest, last_value."""
    some = "n > n_invalid"
    if meter.aggregation == "count":
        return "toDecimal128(sum(n), 12)"
    if meter.aggregation == "avg":
        return decimal_sql(_quotient("sum(total)", "greatest(toInt64(sum(n)) - toInt64(sum(n_invalid)), 1)"))
    return {
        "sum": decimal_sql("sum(total)"), "min": f"minIf(least, {some})", "max": f"maxIf(greatest, {some})",
        "latest": f"argMaxIf(last_value, last_use, {some})",
    }[meter.aggregation]  # fmt: skip


def outside_sql(days: Sequence[date]) -> str:
    """Events on other days than these: ranges of time, which the order of the events can skip."""
    found = set(days)
    ends = [_moment(day) for day in sorted(found) if day - _DAY not in found]
    starts = [_moment(day + _DAY) for day in sorted(found) if day + _DAY not in found]
    between = [f"(ts >= {start} AND ts < {end})" for start, end in zip(starts, ends[1:], strict=False)]
    return f"({' OR '.join([f'ts < {ends[0]}', *between, f'ts >= {starts[-1]}'])})"


def _moment(day: date) -> str:
    return f"fromUnixTimestamp64Milli(toInt64({to_ms(datetime.combine(day, time.min, UTC))}), 'UTC')"


def subjects_sql(frame: Frame) -> str:
    """The subscription's subjects."""
    return _chosen(replace(frame, gaps=()))


def _chosen(frame: Frame) -> str:
    """The events of the subscription's subjects, outside its pauses."""
    conditions = [
        f"NOT (toUnixTimestamp64Milli(ts) >= {to_ms(gap.start)} AND toUnixTimestamp64Milli(ts) < {to_ms(gap.end)})"
        for gap in frame.gaps
    ]
    if frame.subjects is not None:
        conditions.append(
            f"subject IN ({', '.join(quoted(name) for name in frame.subjects)})" if frame.subjects else "0"
        )
    elif frame.other_subjects:
        conditions.append(f"subject NOT IN ({', '.join(quoted(name) for name in frame.other_subjects)})")
    return " AND ".join(conditions) or "1"


def decimal_sql(value: str) -> str:
    """An Int256 in units of 10^-12 as Decimal(38, 12); raises in the server from 10^26 instead of wrapping."""
    refusal = "'a quantity is 10^26 or more'"
    return f"reinterpret(toInt128(({value} AS exact) + throwIf(abs(exact) >= {_whole(LIMIT)}, {refusal})), '{DECIMAL}')"


def sum_sql(value: str, condition: str = "1") -> str:
    """The exact sum of Decimal(38, 12): Int256 in units of 10^-12. A sum of Decimal128 itself would wrap silently."""
    return f"sumIf(toInt256(reinterpretAsInt128({value})), {condition})"


_LAST_ADDS = "argMax(adds, (at, k_offset, k_partition))"


@dataclass(frozen=True, slots=True)
class _Span:
    """Local days of a span `from_ms`–`to_ms`, and of the full period."""

    time_zone: str
    full: int

    def day(self, ms: str) -> str:
        """The number of the local day of a moment."""
        return f"toInt32(toDate32(fromUnixTimestamp64Milli({ms}, {quoted(self.time_zone)})))"

    def days_there(self) -> str:
        """Local days on which a member was there: addition and removal count, every day once."""
        log = "arraySort(groupArray((at, k_offset, k_partition, adds))) AS log"
        opening = f"arrayFilter(x -> x.1 < from_ms, ({log}))"
        there = f"if(tupleElement(({opening} AS earlier)[-1], 4), [({self.day('from_ms')}, toUInt8(1))], [])"
        inside = f"arrayMap(x -> ({self.day('x.1')}, x.4), arrayFilter(x -> x.1 >= from_ms, log))"
        changes = f"(arrayConcat({there}, {inside}) AS changes)"
        until = f"arraySlice(arrayPushBack(arrayMap(x -> x.1, {changes}), {self.day('to_ms')}), 2)"
        served = f"arrayMap((x, until) -> if(x.2, range(x.1, until + 1), []), changes, {until})"
        return f"length(arrayFilter(x -> x < {self.day('to_ms')}, arrayDistinct(arrayFlatten({served}))))"


def _value(meter: Meter, span: _Span) -> str:
    total = sum_sql("value", "valid")
    if meter.aggregation == "count":
        return "toDecimal128(countIf(inside), 12)"
    if meter.aggregation == "sum":
        return decimal_sql(total)
    if meter.aggregation in ("min", "max"):
        return f"{meter.aggregation}If(value, valid)"
    if meter.aggregation == "latest":
        return "argMaxIf(value, (at, k_offset, k_partition), valid)"
    if meter.aggregation == "avg":
        return decimal_sql(_quotient(total, "greatest(countIf(valid), 1)"))
    return decimal_sql(_weighted(meter, span) if meter.aggregation != "percentile" else _percentile(meter))


def _weighted(meter: Meter, span: _Span) -> str:
    """Values weighted by elapsed milliseconds or by local days; carried ones by the whole span."""
    if meter.aggregation == "prorated_sum":
        last = span.day("to_ms")
        weight = f"{last} - if(inside, {span.day('at')}, {span.day('from_ms')})"
        return _quotient(f"sumIf({_INTEGER} * ({weight}), valid)", str(span.full))
    initial = _whole(scaled(meter.initial_value or ZERO))
    changes = f"sumIf({_INTEGER} * (to_ms - if(inside, at, from_ms)), valid)"
    return _quotient(f"{initial} * (to_ms - from_ms) + {changes}", "greatest(to_ms - from_ms, 1)")


def _percentile(meter: Meter) -> str:
    """Rank p ÷ 100 × (n − 1) of the sorted values, linear between neighbours; 0 without values."""
    hundred = _whole(100 * UNIT)
    values = f"(arraySort(groupArrayIf({_INTEGER}, valid)) AS sorted)"
    rank = f"({_whole(scaled(meter.p or ZERO))} * toInt64(greatest(length({values}), 1) - 1) AS rank)"
    below = f"(sorted[toInt64(intDiv({rank}, {hundred})) + 1] AS below)"
    above = f"sorted[least(toInt64(intDiv(rank, {hundred})) + 2, toInt64(length(sorted)))]"
    return _quotient(f"{below} * {hundred} + (rank % {hundred}) * ({above} - below)", hundred)


_INTEGER = "toInt256(reinterpretAsInt128(value))"


def _quotient(numerator: str, denominator: str) -> str:
    """numerator ÷ denominator, rounded half away from zero; the denominator is positive."""
    top, below = f"({numerator} AS numerator)", f"(toInt256({denominator}) AS denominator)"
    return f"toInt256(intDiv(2 * abs({top}) + abs({below}), 2 * abs(denominator))) * sign(numerator)"


def _columns(frame: Frame, *, carried: bool) -> str:
    """Which span an event is in; a carried one is in every span that ends after it."""
    start, end = to_ms(frame.span.start), to_ms(frame.span.end)
    if frame.window is None:
        return f"toInt64({start}) AS from_ms, toInt64({end}) AS to_ms"
    if carried:
        part = f"arrayJoin(arrayFilter(x -> at < x.2, {_listed(frame, start, end)})) AS part"
        return f"{part}, toInt64(part.1) AS from_ms, toInt64(part.2) AS to_ms"
    if frame.window == "minute":
        begun = f"intDiv(at, {_MINUTE}) * {_MINUTE}"
        # Cast: of an Int64 and a small number `greatest` makes an UInt64, and an `if` of both kinds is no number.
        return f"toInt64(greatest({begun}, {start})) AS from_ms, toInt64(least({begun} + {_MINUTE}, {end})) AS to_ms"
    starts, ends = ([to_ms(getattr(part, side)) for _, part in frame.labelled()] for side in ("start", "end"))
    return f"toInt64(roundDown(at, {starts})) AS from_ms, toInt64(transform(from_ms, {starts}, {ends}, 0)) AS to_ms"


def _listed(frame: Frame, start: int, end: int) -> str:
    """The spans as an array. Minutes are the same in every zone of our times, and too many to write down."""
    if frame.window == "minute":
        begun = f"range(toInt64({start // _MINUTE}), toInt64({(end - 1) // _MINUTE + 1}))"
        return f"arrayMap(x -> (greatest(x * {_MINUTE}, {start}), least((x + 1) * {_MINUTE}, {end})), {begun})"
    return f"[{', '.join(f'({to_ms(part.start)}, {to_ms(part.end)})' for _, part in frame.labelled())}]"


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def _whole(number: int) -> str:
    return f"toInt256('{number}')"
