"""When the line counts as healthy, and what the status says about what is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agents.cli.status_line import (
    STUCK_AFTER,
    Lag,
    Seen,
    billing_section,
    clock_section,
    dead_letter_section,
    lag_section,
)
from schemas.customer_state import BillingRun, CustomerState, DuePeriod
from schemas.period import Period
from schemas.plan import Interval
from schemas.subscription import Charge, Subscription
from schemas.tick import Tick, Vector

NOW = datetime(2026, 11, 1, 6, 0, 30, tzinfo=UTC)
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
TICK = Tick(number=7, time=datetime(2026, 11, 1, 6, tzinfo=UTC), clock="wall", vector=Vector())
QUIET = Lag("usage.events", (5, 9), (5, 9), (), None)
LIMIT = timedelta(minutes=3)
SEEN = Seen(
    at=NOW, tick=TICK, folded={0: 7, 1: 6}, partitions=2, lags=(QUIET,), stored_to=NOW, sealed_to=NOW, dead=0,
    last_dead=None, reasons=(), runs=(), waiting_for="", due=None, parked=(),
)  # fmt: skip
DUE = DuePeriod(
    subscription="s", plan="p", plan_version="1", currency="EUR", time_zone="UTC", period=OCTOBER, service=OCTOBER
)
RUN = BillingRun(customer="acme", tick=TICK, periods=(DUE,))


def state(starts_at: datetime) -> CustomerState:
    month = Interval(unit="month")
    charge = Charge(
        card="fee", plan="p", plan_version="1", interval=month, anchor=OCTOBER.start, grace=timedelta(hours=6),
        starts_at=starts_at, billed_through=starts_at,
    )  # fmt: skip
    held = Subscription(
        id="s", plan="p", plan_version="1", currency="EUR", time_zone="UTC", interval=month, anchor=OCTOBER.start,
        starts_at=starts_at, charges=(charge,),
    )  # fmt: skip
    return CustomerState(customer="acme", subscriptions=(held,))


@pytest.mark.parametrize(("late", "healthy"), [(LIMIT, True), (LIMIT + timedelta(milliseconds=1), False)])
def test_a_wall_clock_that_stands_still_is_a_fault(late: timedelta, healthy: bool) -> None:
    section = clock_section(replace(SEEN, at=TICK.time + late), LIMIT)
    assert section.healthy is healthy
    assert bool(section.next_step) is not healthy


def test_a_test_clock_may_stand_still_for_ever() -> None:
    still = TICK.model_copy(update={"clock": "test"})
    section = clock_section(replace(SEEN, tick=still, at=NOW + timedelta(days=400)), LIMIT)
    assert section.healthy
    assert section.rows[0][-1] == "1 of 2 partitions of billing.commands"


def test_without_a_tick_nothing_can_be_judged_and_the_status_says_how_to_begin() -> None:
    section = clock_section(replace(SEEN, tick=None), LIMIT)
    assert not section.healthy
    assert "tally tick --start" in section.next_step


@pytest.mark.parametrize(("waited", "healthy"), [(STUCK_AFTER, True), (STUCK_AFTER + timedelta(seconds=1), False)])
def test_a_lag_is_a_fault_only_once_its_oldest_record_has_waited_too_long(waited: timedelta, healthy: bool) -> None:
    lag = Lag("usage.events", (5, 9), (5, 2), (), NOW - waited)
    section = lag_section(replace(SEEN, lags=(lag,)))
    assert section.healthy is healthy
    assert section.rows[0][-3:] == ("7", f"{waited.total_seconds():.0f} s", "1: 7")


def test_a_range_that_is_missing_in_the_ledger_is_a_fault_whatever_its_age() -> None:
    section = lag_section(replace(SEEN, lags=(replace(QUIET, gaps=(1,)),)))
    assert not section.healthy
    assert section.rows[0][-1] == "1: a range is missing"


def test_refused_records_are_shown_but_are_no_fault_of_the_deployment() -> None:
    section = dead_letter_section(replace(SEEN, dead=3, last_dead=NOW, reasons=(("invalid_json", 2), ("too_deep", 1))))
    assert section.healthy
    assert section.rows == (("3", "2026-11-01 06:00:30 UTC", "2 invalid_json, 1 too_deep"),)


def test_an_open_run_names_the_partition_that_it_waits_for() -> None:
    waiting = "usage.events/1 is stored to 2, tick 7 needs 9"
    section = billing_section(replace(SEEN, runs=(RUN,), waiting_for=waiting))
    assert section.healthy
    assert section.rows == (("closing", "acme", "2026-10-01 00:00 to 2026-11-01 00:00", waiting),)


def test_the_next_close_is_named_with_its_period_and_the_tick_that_it_waits_for() -> None:
    due = (state(OCTOBER.end), datetime(2026, 12, 1, 6, tzinfo=UTC), 3)
    (row,) = billing_section(replace(SEEN, due=due)).rows
    assert row == (
        "next", "acme (and 2 more)", "2026-11-01 00:00 to 2026-12-01 00:00",
        "a tick at or after 2026-12-01 06:00:00 UTC",
    )  # fmt: skip


def test_what_is_due_at_the_last_tick_already_waits_for_its_fold() -> None:
    (row,) = billing_section(replace(SEEN, due=(state(OCTOBER.start), TICK.time, 1))).rows
    assert row[2:] == ("2026-10-01 00:00 to 2026-11-01 00:00", "the fold of the last tick")


def test_a_parked_run_is_a_fault_with_its_reason() -> None:
    section = billing_section(replace(SEEN, parked=(("acme", 7, "totals_differ", "meter calls: 1 panes differ"),)))
    assert not section.healthy
    assert section.rows == (("parked", "acme", "tick 7", "totals_differ: meter calls: 1 panes differ"),)
    assert section.next_step == "tally reconcile"
