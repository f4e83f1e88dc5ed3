"""Revenue recognition: which days a line is earned on, exactly; what a recurring fee comes to in a month."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collection.revenue import booked_revenue, earned, revenue_at, revenue_lines
from pipeline.documents.invoicing import invoice_of
from pipeline.documents.note_documents import note_line
from schemas.catalogue_entry import Catalogue, catalogue_of
from schemas.period import Period
from schemas.revenue import RevenueAt, RevenueLine
from tests.pipeline.billing import Billing, plan
from tests.pipeline.document_log import Log, day, note
from tests.pipeline.document_log import invoice as draft
from tests.pipeline.revenue_lines import DAYS, LINES, line

D = Decimal


def at(lines: list[RevenueLine], text: str) -> RevenueAt:
    return revenue_at(lines, date.fromisoformat(text), datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("before", "amount"),
    [("2026-12-31", "0.00"), ("2027-01-01", "0.00"), ("2027-01-02", "3.33"), ("2027-01-03", "6.67"),
     ("2027-01-04", "10.00"), ("2027-02-01", "10.00")],
)  # fmt: skip
def test_each_day_of_service_earns_its_share_and_the_last_one_the_remainder(before: str, amount: str) -> None:
    fee = line("acme", "2027-01-01", "2027-01-01", 3, "10.00")
    assert str(earned(fee, date.fromisoformat(before))) == amount
    assert earned(replace(fee, net=D("-10.00")), date.fromisoformat(before)) == -D(amount)


def test_a_fee_in_advance_is_deferred_and_usage_is_unbilled_until_it_is_invoiced() -> None:
    year = line("acme", "2027-01-01", "2027-01-01", 365, "365.00")
    january = line("acme", "2027-02-01", "2027-01-01", 31, "31.00")
    assert at([year, january], "2027-02-01") == RevenueAt(D("365.00"), D("31.00"), D("334.00"), D("31.00"))
    assert at([year, january], "2027-02-02") == RevenueAt(D("396.00"), D("63.00"), D("333.00"), D("0"))


@given(st.lists(LINES, max_size=6), DAYS)
def test_recognised_and_deferred_are_what_was_invoiced_at_every_date(lines: list[RevenueLine], day: date) -> None:
    now = revenue_at(lines, day, datetime(day.year, day.month, day.day, tzinfo=UTC))
    issued = [each for each in lines if each.issued_at.date() < day]
    assert now.recognised + now.deferred == sum((each.net for each in issued), D(0))


@given(LINES, st.lists(DAYS, min_size=1, max_size=12))
def test_the_parts_of_any_days_add_up_to_the_net_to_the_minor_unit(one: RevenueLine, cuts: list[date]) -> None:
    end = one.first_day + timedelta(days=one.days)
    days = sorted({*(cut for cut in cuts if one.first_day < cut < end), one.first_day, end})
    parts = [earned(one, after) - earned(one, before) for before, after in pairwise(days)]
    assert sum(parts) == one.net
    assert all(part * one.net >= 0 for part in parts)


def billed(amount: str, first: str, until: str | None = None, **fields: Any) -> list[tuple[str, int, str, str]]:
    """(first day, days, net, monthly) of the lines that a fee in advance brings."""
    card = {"id": "fee", "timing": "advance", "price": {"model": "flat", "amount": amount}, **fields}
    found = Billing([plan("p", card)], begins=first)
    found.do("subscribe", plan="p", starts_at=f"{first}T00:00:00Z", time_zone="Europe/Berlin")
    found.tick(until or first)
    lines = []
    for closed, _ in found.closes:
        for invoice in invoice_of(closed, {}, found.catalogue):
            lines += revenue_lines(invoice, invoice.totals.net, found.catalogue)
    return [(str(each.first_day), each.days, f"{each.net:f}", f"{each.monthly:f}") for each in lines]


def test_a_prorated_fee_comes_to_the_whole_fee_in_a_month() -> None:
    assert billed("149.00", "2027-03-31") == [("2027-03-31", 1, "4.81", "149.00")]
    assert billed("149.00", "2027-03-12") == [("2027-03-12", 20, "96.13", "149.00")]


@pytest.mark.parametrize(
    ("unit", "count", "amount", "monthly"),
    [("year", 1, "1200.00", "100.00"), ("half_year", 1, "90.00", "15.00"), ("quarter", 1, "100.00", "33.33"),
     ("month", 2, "20.00", "10.00"), ("week", 1, "7.00", "30.42"), ("day", 1, "1.00", "30.42")],
)  # fmt: skip
def test_every_interval_comes_to_so_much_a_month(unit: str, count: int, amount: str, monthly: str) -> None:
    found = billed(amount, "2027-01-01", interval={"unit": unit, "count": count})
    assert {each[3] for each in found} == {monthly}


def test_a_fee_that_is_charged_once_is_earned_at_once_and_recurs_never() -> None:
    assert billed("30.00", "2027-01-10", one_time=True) == [("2027-01-10", 1, "30.00", "0")]


def finals(*changed: Any) -> list[RevenueLine]:
    found = []
    for entered in changed:
        for change in entered.changes:
            if change.transitions[0] in ("finalized", "issued"):
                booked = booked_revenue(change.transactions)
                found += revenue_lines(change.document, booked, Catalogue(), change.corrects)
    return found


def test_a_void_takes_back_exactly_what_was_booked_over_the_same_days() -> None:
    log = Log(draft("a", {"fee": "120.00", "use": "0.07"}))
    billed, back = finals(log.final("a")), finals(log.act("void", "a"))
    assert [(each.net, each.first_day, each.days) for each in billed] == [
        (D("120.00"), date(2027, 6, 1), 30), (D("0.07"), date(2027, 6, 1), 30),
    ]  # fmt: skip
    assert [(-each.net, each.first_day, each.days) for each in back] == [
        (each.net, each.first_day, each.days) for each in billed
    ]
    assert at([*billed, *back], "2027-06-15").recognised == 0


def test_what_a_note_gives_back_of_a_recurring_fee_takes_all_of_its_month() -> None:
    entry = plan("p", {"id": "fee", "timing": "advance", "price": {"model": "flat", "amount": "49.00"}})
    original = draft("a", {"fee": "49.00"})
    named = original.lines[0].model_copy(update={"plan_version": entry.version})
    original = original.model_copy(update={"lines": (named,)})
    rest = note_line(original, "a/fee", D("26.13"))
    half_of_june = Period(datetime(2027, 6, 15, tzinfo=UTC), original.period.end)
    given = note("n", original, {}, at=day(15)).model_copy(
        update={"lines": (rest.model_copy(update={"service": half_of_june}),)}
    )
    catalogue = catalogue_of([entry])
    (line,) = revenue_lines(given, D("-26.13"), catalogue, original)
    assert (line.first_day, line.days, line.net, line.monthly) == (date(2027, 6, 15), 16, D("-26.13"), D("-49.00"))
    part = given.model_copy(update={"lines": (note_line(original, "a/fee", D("9.80")),)})
    (line,) = revenue_lines(part, D("-9.80"), catalogue, original)
    assert line.monthly == D("-9.80")


def test_lines_of_a_document_add_up_to_its_posting_whatever_was_booked() -> None:
    document = draft("a", {"fee": "10.00", "use": "20.01"})
    assert sum(each.net for each in revenue_lines(document, D("29.99"), Catalogue())) == D("29.99")
