"""The status of the line itself: clock, lag, freshness, dead letters, and what the next close waits for.

Everything is read once, then judged: a section is a function of what was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agents.cli.health import Section
from agents.cli.reading import Reading, reading
from agents.clock import moment, wall_time
from agents.epochs import faults
from agents.settings import Settings
from agents.topics import ATTRIBUTIONS, COMMANDS, FINALISATIONS, PERIODS, TICKS, USAGE_EVENTS
from pipeline.closing.runs import bill
from pipeline.meters.sealing import PANE_S, ended_panes
from schemas.customer_state import BillingRun, CustomerState
from schemas.tick import Tick

LOGS = (USAGE_EVENTS, TICKS, ATTRIBUTIONS, COMMANDS, PERIODS, FINALISATIONS)
"""Every log that a ledger follows."""
STUCK_AFTER = timedelta(minutes=1)
"""A record that waits longer than this, or a wall clock that stands still for so long, is a fault."""
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a log is stored."""

    topic: str
    ends: tuple[int, ...]
    covered: tuple[int, ...]
    gaps: tuple[int, ...]
    """Partitions in whose ledger a range is missing."""
    oldest: datetime | None
    """Broker time of the oldest record that is not stored; None if there is none."""
    stopped: Mapping[int, str] = field(default_factory=dict)
    """Partitions whose log is not the one that was stored, and what is missing."""

    @property
    def behind(self) -> dict[int, int]:
        """Partition -> offsets that are not stored yet, where there are any."""
        lags = {p: end - done for p, (end, done) in enumerate(zip(self.ends, self.covered, strict=True))}
        return {partition: lag for partition, lag in lags.items() if lag > 0}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the running line found."""

    at: datetime
    tick: Tick | None
    folded: Mapping[int, int]
    partitions: int
    lags: tuple[Lag, ...]
    stored_to: datetime | None
    sealed_to: datetime | None
    dead: int
    last_dead: datetime | None
    reasons: tuple[tuple[str, int], ...]
    runs: tuple[BillingRun, ...]
    waiting_for: str
    due: tuple[CustomerState, datetime, int] | None
    parked: tuple[tuple[str, int, str, str], ...]


def line_sections(settings: Settings) -> Iterator[Section]:
    """The sections of the line, from one look."""
    seen = asyncio.run(_look(settings))
    limit = max(STUCK_AFTER, timedelta(seconds=3 * settings.tick_every_s))
    yield clock_section(seen, limit)
    yield lag_section(seen)
    yield freshness_section(seen)
    yield dead_letter_section(seen)
    yield billing_section(seen)


async def _look(settings: Settings) -> Seen:
    async with reading(settings) as readers:
        gaps = readers.reconciliation.ledger_gaps()
        lags = [await _lag(readers, topic, gaps) for topic in LOGS]
        tick, looks = readers.billing.last_tick(), readers.looks
        dead, last_dead, reasons = looks.dead_letters()
        partitions = await readers.logs.partitions(COMMANDS)
        runs = readers.billing.open_runs(range(partitions))
        return Seen(
            at=wall_time(),
            tick=tick,
            folded=readers.billing.clocks(),
            partitions=partitions,
            lags=tuple(lags),
            stored_to=looks.stored_to(),
            sealed_to=await _sealed_to(readers, tick, lags[0].covered),
            dead=dead,
            last_dead=last_dead,
            reasons=reasons,
            runs=runs,
            waiting_for=readers.billing.missing(runs[0].tick) if runs else "",
            due=looks.next_due(),
            parked=looks.parked(),
        )


async def _lag(readers: Reading, topic: str, gaps: Mapping[tuple[str, int], int]) -> Lag:
    # The end is read first: what is stored meanwhile makes the lag too great, never negative.
    ends = await readers.logs.end_offsets(topic)
    coverage = readers.billing.coverage(topic)
    covered = tuple(coverage.get(partition, 0) for partition in range(len(ends)))
    stopped = await faults(readers.logs, readers.ledger) if topic == USAGE_EVENTS else {}
    oldest: list[int] = []
    for partition, (end, done) in enumerate(zip(ends, covered, strict=True)):
        if end > done and partition not in stopped:
            # A record is looked for, not read in full: offsets of transaction markers hold none.
            oldest += [record.timestamp_ms for record in await readers.logs.read(topic, partition, done, done + 1)]
    missing = tuple(partition for partition in range(len(ends)) if (topic, partition) in gaps)
    return Lag(topic, ends, covered, missing, moment(min(oldest)) if oldest else None, stopped)


async def _sealed_to(readers: Reading, tick: Tick | None, covered: tuple[int, ...]) -> datetime | None:
    """Up to when every pane is sealed: the start of the first that is not, else the last boundary before the tick."""
    if tick is None:
        return None
    end = int(tick.time.timestamp()) // PANE_S
    for entry in (await readers.catalogue.newest()).meters.values():
        beyond = readers.totals.touched_panes(entry)
        open_panes = ended_panes(tuple(pane for pane, is_sealed in beyond.items() if not is_sealed), tick.time)
        end = min(end, *open_panes[:1]) if open_panes else end
    return datetime.fromtimestamp(end * PANE_S, UTC)


def clock_section(seen: Seen, limit: timedelta) -> Section:
    """Billing time: which clock, its last tick, and who has followed it."""
    tick = seen.tick
    columns = ("clock", ">tick", "billing time", "followed by")
    if tick is None:
        return Section("clock", False, columns, (), "tally up --workers, then tally tick --start test (or wall)")
    following = sum(seen.folded.get(partition, 0) >= tick.number for partition in range(seen.partitions))
    late = tick.clock == "wall" and seen.at - tick.time > limit
    row = (tick.clock, tick.number, _said(tick.time), f"{following} of {seen.partitions} partitions of {COMMANDS}")
    return Section("clock", not late, columns, (row,), "tally up --workers" if late else "")


def lag_section(seen: Seen) -> Section:
    """Per log: how far it is stored, and how long the oldest record that is not has waited."""
    stopped = [lag for lag in seen.lags if lag.stopped]
    stuck = [lag for lag in seen.lags if lag.gaps or lag.stopped or (lag.oldest and seen.at - lag.oldest > STUCK_AFTER)]
    columns = ("log", ">partitions", ">end", ">stored", ">lag", ">oldest waits", "behind")
    rows = tuple(_lag_row(lag, seen.at) for lag in seen.lags)
    help = "tally topics adopt --dry-run" if stopped else "tally up --workers"
    return Section("lag", not stuck, columns, rows, help if stuck else "")


def _lag_row(lag: Lag, at: datetime) -> tuple[object, ...]:
    behind = [f"{partition}: {count:,}" for partition, count in lag.behind.items()]
    behind += [f"{partition}: a range is missing" for partition in lag.gaps]
    behind += [f"stopped, see tally topics adopt: {fault}" for fault in lag.stopped.values()]
    waits = "" if lag.oldest is None else f"{max(0, (at - lag.oldest).total_seconds()):,.0f} s"
    total = sum(lag.behind.values())
    return (lag.topic, len(lag.ends), f"{sum(lag.ends):,}", f"{sum(lag.covered):,}", f"{total:,}", waits,
            ", ".join(behind))  # fmt: skip


def freshness_section(seen: Seen) -> Section:
    """How new what readers see is."""
    row = (_said(seen.stored_to), _said(seen.sealed_to), _said(seen.tick.time if seen.tick else None))
    return Section("freshness", True, ("usage stored to (broker time)", "sealed to", "billing time"), (row,))


def dead_letter_section(seen: Seen) -> Section:
    """What was refused: no fault of the deployment, but somebody's usage."""
    if not seen.dead:
        return Section("no dead letters", True, (), ())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in seen.reasons[:SHOWN])
    more = f" and {len(seen.reasons) - SHOWN} more reasons" if len(seen.reasons) > SHOWN else ""
    row = (f"{seen.dead:,}", _said(seen.last_dead), reasons + more)
    return Section("dead letters", True, (">records", "last", "reasons"), (row,))


def billing_section(seen: Seen) -> Section:
    """What is closing, what waits for what, what is due next, and what was set aside."""
    waits = seen.waiting_for or "the period closer"
    rows = [
        *(("parked", who, f"tick {tick}", f"{why}: {detail}") for who, tick, why, detail in seen.parked[:SHOWN]),
        *(("closing", run.customer, _span(run), waits) for run in seen.runs[:SHOWN]),
    ]
    if len(seen.runs) > SHOWN:
        rows.append(("closing", f"{len(seen.runs) - SHOWN:,} more", "", ""))
    if seen.due is not None:
        rows.append(_due_row(seen.due, seen.tick))
    columns = ("close", "customer", "period", "waits for")
    return Section("billing", not seen.parked, columns, tuple(rows), "tally reconcile" if seen.parked else "")


def _due_row(due: tuple[CustomerState, datetime, int], tick: Tick | None) -> tuple[str, str, str, str]:
    state, at, count = due
    run = bill(state, tick.model_copy(update={"time": at}))[1] if tick is not None else None
    more = f" (and {count - 1:,} more)" if count > 1 else ""
    waits = "the fold of the last tick" if tick is not None and at <= tick.time else f"a tick at or after {_said(at)}"
    return ("next", f"{state.customer}{more}", _span(run) if run is not None else "", waits)


def _span(run: BillingRun) -> str:
    if not run.periods:
        return "lines of their own"
    start = min(due.service.start for due in run.periods)
    end = max(due.service.end for due in run.periods)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def _said(at: datetime | None) -> str:
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
