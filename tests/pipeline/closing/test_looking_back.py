"""rating.md §8: which closed periods late records touch, within which horizon, and what a policy bills of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pipeline.closing.late_usage import Touch, closed_before, with_late
from pipeline.closing.run_lines import run_lines
from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry, catalogue_of
from schemas.customer_state import BillingRun, DueCharge, DuePeriod, PeriodClosed
from schemas.issued_line import IssuedLine
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tick import Tick, Vector
from tests.pipeline.documents.test_run_notes import used

D = Decimal
JUNE = Period(datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))
JULY = Period(JUNE.end, datetime(2027, 8, 1, tzinfo=UTC))
CALLS = Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count"})
HOUR = timedelta(hours=1)


def setting(policy: str = "next_invoice", minimum: str = "0") -> tuple[PlanEntry, Catalogue]:
    plan = Plan.model_validate({
        "id": "p", "currency": "EUR", "late_usage": {"policy": policy, "minimum": minimum, "horizon": "40 d"},
        "rate_cards": [
            {"id": "fee", "price": {"model": "flat", "amount": "60.00"}},
            {"id": "use", "meter": "calls", "price": {"model": "per_unit", "unit_price": "0.10"}},
        ],
    })  # fmt: skip
    entry = PlanEntry.of(plan, {"calls": MeterEntry.of(CALLS).version})
    return entry, catalogue_of([MeterEntry.of(CALLS), entry])


def due(entry: PlanEntry, period: Period, **more: object) -> DuePeriod:
    charges = (DueCharge(card="fee"), DueCharge(card="use"))
    return DuePeriod(
        subscription="s", plan="p", plan_version=entry.version, currency="EUR", time_zone="UTC", period=period,
        service=period, charges=charges,
    ).model_copy(update=more)  # fmt: skip


def tick(number: int, time: datetime) -> Tick:
    return Tick(number=number, time=time, clock="test", vector=Vector())


def closed(entry: PlanEntry, *dues: DuePeriod, number: int = 1) -> PeriodClosed:
    return PeriodClosed(
        close_id=f"close {number}", customer="acme", revision=0, tick=tick(number, JULY.start), periods=dues or
        (due(entry, JUNE),), usage_rows=0, events=0, fingerprint="0",
    )  # fmt: skip


def touch(at: datetime, position: str = "usage.events/0/7") -> Touch:
    return Touch("acme", Period(at, at + HOUR), 1, (position,))


def looked_back(policy: str, at: datetime, when: datetime = JULY.end) -> list[DuePeriod]:
    entry, catalogue = setting(policy)
    run = BillingRun(customer="acme", tick=tick(2, when), follows=1, periods=(due(entry, JULY),))
    known = closed_before([closed(entry)], catalogue)
    return list(with_late(run, known, [touch(at)], catalogue).periods[1:])


def test_a_late_record_brings_back_the_metered_charges_of_the_period_that_it_lies_in() -> None:
    (again,) = looked_back("next_invoice", JUNE.end - HOUR)
    assert (again.period, again.rerates) == (JUNE, True)
    assert [charge.card for charge in again.charges or ()] == ["use"]
    assert again.late is not None
    assert (again.late.records, again.late.positions) == (1, ("usage.events/0/7",))


def test_a_period_that_nothing_touches_or_that_the_run_bills_itself_is_not_looked_at() -> None:
    assert looked_back("next_invoice", JUNE.start - HOUR) == []
    assert looked_back("next_invoice", JULY.start) == []


@pytest.mark.parametrize(("days", "is_looked_at"), [(40, True), (41, False)])
def test_beyond_the_horizon_late_usage_is_kept_and_not_billed(days: int, is_looked_at: bool) -> None:
    assert bool(looked_back("next_invoice", JUNE.start, JUNE.end + timedelta(days=days))) is is_looked_at


def test_an_adjustment_invoice_is_a_document_of_its_own() -> None:
    assert [due.group for due in looked_back("adjustment_invoice", JUNE.start)] == ["late "]
    assert [due.group for due in looked_back("next_invoice", JUNE.start)] == [""]


@pytest.mark.parametrize(
    ("policy", "minimum", "calls", "billed"),
    [
        ("next_invoice", "0", 130, "3.00"),
        ("next_invoice", "0", 70, "-3.00"),
        ("next_invoice", "3.01", 130, "0"),
        ("next_invoice", "3.01", 70, "0"),
        ("next_invoice", "3.00", 130, "3.00"),
        ("credit_note", "0", 130, "0"),
        ("credit_note", "0", 70, "-3.00"),
        ("ignore", "0", 130, "0"),
        ("ignore", "0", 70, "0"),
    ],
)
def test_what_a_policy_bills_of_a_difference(policy: str, minimum: str, calls: int, billed: str) -> None:
    entry, catalogue = setting(policy, minimum)
    first = closed(entry)
    issued: list[IssuedLine] = [
        line.issued() for run in run_lines(first, used(100, JUNE), catalogue) for line in run.all
    ]
    run = BillingRun(customer="acme", tick=tick(2, JULY.end), follows=1, periods=())
    (again,) = with_late(run, closed_before([first], catalogue), [touch(JUNE.start)], catalogue).periods
    found = run_lines(closed(entry, again, number=2), used(calls, JUNE), catalogue, issued)
    assert sum((line.amount for run_of in found for line in run_of.all), D(0)) == D(billed)
