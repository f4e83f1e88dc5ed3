"""Views of revenue, recurring revenue and taxes: values computed by hand, and the same as the pure functions say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.store.connection import Connection
from agents.store.money import MoneyStore
from agents.store.revenue_looks import RevenueLooks
from pipeline.collection.revenue import revenue_at
from schemas.revenue import RevenueLine
from tests.pipeline.revenue_lines import LINES, line

pytestmark = pytest.mark.services

D = Decimal
NO_CLEARING = [HealthCheck.function_scoped_fixture]


def stored(connection: Connection, lines: Sequence[RevenueLine], now: str = "2030-01-01") -> None:
    """Lines as documents of their own, under the last tick at a time."""
    MoneyStore(connection).insert_revenue(lines)
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    connection.insert("ticks", ("number", "time", "clock", "usage", "vector", "k_offset"),
                      [(1, at, "test", [], "{}", 0)])  # fmt: skip


def rows(connection: Connection, view: str, *columns: str) -> list[tuple[str, ...]]:
    found = connection.tuples(f"SELECT {', '.join(columns)} FROM {view} ORDER BY customer, currency, month")
    return [tuple(f"{cell:.2f}" if isinstance(cell, Decimal) else str(cell) for cell in row) for row in found]


def test_views_of_revenue_hold_what_a_person_computes(connection: Connection) -> None:
    fees = [  # a year in advance; usage of January, invoiced in February; a fee that is credited for its last ten days
        line("acme", "2027-01-01", "2027-01-01", 365, "365.00", "30.42", number=1),
        line("acme", "2027-02-01", "2027-01-01", 31, "31.00", number=2),
        line("hooli", "2027-01-01", "2027-01-01", 31, "31.00", "31.00", number=3),
        line("hooli", "2027-01-22", "2027-01-22", 10, "-10.00", "-31.00", number=4),
    ]  # fmt: skip
    stored(connection, fees)
    columns = ("customer", "month", "invoiced", "recognised", "earned", "deferred", "unbilled")
    found = rows(connection, "v_revenue", *columns)
    assert found[:2] == [
        ("acme", "2027-01-01", "365.00", "31.00", "62.00", "334.00", "31.00"),
        ("acme", "2027-02-01", "31.00", "59.00", "28.00", "306.00", "0.00"),
    ]
    assert found[11:] == [
        ("acme", "2027-12-01", "0.00", "31.00", "31.00", "0.00", "0.00"),
        ("hooli", "2027-01-01", "21.00", "21.00", "21.00", "0.00", "0.00"),
    ]
    assert rows(connection, "v_mrr", "customer", "month", "mrr")[-2:] == [
        ("acme", "2027-11-01", "30.42"), ("acme", "2027-12-01", "30.42"),
    ]  # fmt: skip


def test_recurring_revenue_is_new_grows_shrinks_goes_and_comes_back(connection: Connection) -> None:
    def month(number: int, monthly: str, days: int = 28) -> RevenueLine:
        first = f"2027-{number:02}-01"
        return line("acme", first, first, days, monthly, monthly, number=number)

    lines = [month(1, "49.00", 31), month(2, "99.00"), month(3, "79.00", 31), month(6, "20.00", 30),
             line("hooli", "2027-03-15", "2027-03-15", 365, "1200.00", "100.00", number=99)]  # fmt: skip
    stored(connection, lines, "2027-07-01 06:00")
    columns = ("customer", "month", "opening", "new", "reactivation", "expansion", "contraction", "churn", "closing")
    zero = "0.00"
    assert rows(connection, "v_mrr_changes", *columns) == [
        ("acme", "2027-01-01", zero, "49.00", zero, zero, zero, zero, "49.00"),
        ("acme", "2027-02-01", "49.00", zero, zero, "50.00", zero, zero, "99.00"),
        ("acme", "2027-03-01", "99.00", zero, zero, zero, "-20.00", zero, "79.00"),
        ("acme", "2027-04-01", "79.00", zero, zero, zero, zero, "-79.00", zero),
        ("acme", "2027-06-01", zero, zero, "20.00", zero, zero, zero, "20.00"),
        ("hooli", "2027-03-01", zero, "100.00", zero, zero, zero, zero, "100.00"),
        *(("hooli", f"2027-0{n}-01", "100.00", zero, zero, zero, zero, zero, "100.00") for n in (4, 5, 6)),
    ]


@settings(max_examples=10, deadline=None, suppress_health_check=NO_CLEARING)
@given(st.lists(LINES, min_size=1, max_size=8))
def test_clickhouse_and_python_recognise_the_same(connection: Connection, lines: list[RevenueLine]) -> None:
    connection.execute("TRUNCATE TABLE revenue_lines")
    numbered = [line(each.customer, str(each.issued_at.date()), str(each.first_day), each.days, str(each.net), number=n)
                for n, each in enumerate(lines)]  # fmt: skip
    stored(connection, numbered)
    by_month = connection.tuples("SELECT month, deferred, unbilled FROM v_revenue ORDER BY month")
    for month, deferred, unbilled in by_month:
        after = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        told = revenue_at(numbered, after, datetime(after.year, after.month, 1, tzinfo=UTC))
        assert (deferred, unbilled) == (told.deferred, told.unbilled)
    for each in numbered:
        middle = each.first_day.replace(day=15)
        told = revenue_at(numbered, middle, datetime(middle.year, middle.month, 15, tzinfo=UTC))
        (now,) = RevenueLooks(connection).at(middle)
        assert (now.invoiced, now.recognised, now.deferred, now.unbilled) == (
            told.invoiced, told.recognised, told.deferred, told.unbilled,
        )  # fmt: skip
