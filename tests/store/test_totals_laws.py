"""Totals in ClickHouse: states of windows merge to one value, and what does not fit is an error and never wrapped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import settings as hypothesis_settings

from agents.store.billing import BillingStore
from agents.store.connection import Connection, StoreRefused
from agents.store.totals import TotalsStore
from agents.store.waiting import WaitingStore
from pipeline.meters.usage_sql import decimal_sql, sum_sql
from tests.store.event_sets import ZONES

pytestmark = pytest.mark.services

COLUMNS = ("meter", "meter_version", "subject", "pane", "grp", "events", "invalid", "total", "ver")
KINDS = "CREATE OR REPLACE VIEW meter_kinds AS SELECT 'm' AS meter, '1' AS meter_version, '{}' AS aggregation"
OCTOBER = datetime(2027, 10, 30, tzinfo=UTC)
State = tuple[str, str, str, datetime, str, int, int, Decimal, int]


def test_law_window_states_merge_in_any_order_any_number_of_times_to_one_value(connection: Connection) -> None:
    random = Random(7)
    sets = max(200, hypothesis_settings().max_examples)
    states = [state for number in range(sets) for state in _states(random, f"s{number}")]
    newest: dict[tuple[str, datetime, str], State] = {}
    for state in states:
        key = (state[2], state[3], state[4])
        newest[key] = max(newest.get(key, state), state, key=lambda each: each[-1])
    expected: dict[str, tuple[int, Decimal]] = {}
    for subject, _, _, events, _, total in (state[2:8] for state in newest.values() if state[5]):
        before = expected.get(subject, (0, Decimal(0)))
        expected[subject] = (before[0] + events, before[1] + total)
    connection.execute(KINDS.format("sum"))
    told = "SELECT customer, toInt64(sum(events)), sum(value) FROM v_usage_daily GROUP BY customer"
    for _ in range(3):  # each time all of them again, in another order, in other blocks
        random.shuffle(states)
        for start in range(0, len(states), 777):
            connection.insert("pane_totals", COLUMNS, states[start : start + 777])
        assert {customer: (events, value) for customer, events, value in connection.tuples(told)} == expected
    connection.execute("OPTIMIZE TABLE pane_totals FINAL")
    assert {customer: (events, value) for customer, events, value in connection.tuples(told)} == expected
    _local_days_hold_the_same(connection, expected)


def _states(random: Random, subject: str) -> list[State]:
    """A few panes, each sealed several times with what was known then; later versions may know of fewer events."""
    found = []
    for _ in range(random.randint(1, 3)):
        pane = OCTOBER + timedelta(minutes=5) * random.randint(0, 600)
        group = random.choice(('["eu"]', "[null]"))
        for version in random.sample(range(1, 1 << 40), random.randint(1, 4)):
            events = random.choice((0, 1, 5, 1000))
            total = Decimal(random.randint(-(10**15), 10**15)).scaleb(-12) if events else Decimal(0)
            found.append(("m", "1", subject, pane, group, events, 0, total, version))
    return found


def _local_days_hold_the_same(connection: Connection, expected: dict[str, tuple[int, Decimal]]) -> None:
    """Panes tile the days of every zone: each is in the local day of its start, in sum nothing is lost."""
    zones = {f"s{number}": zone for number, zone in enumerate(ZONES)}
    columns = ("customer", "subscription", "plan", "plan_version", "status", "time_zone", "currency", "starts_at",
               "billed_through", "k_offset")  # fmt: skip
    connection.insert("subscriptions", columns, [
        (customer, "s", "p", "1", "active", zone, "EUR", OCTOBER, OCTOBER, 1) for customer, zone in zones.items()
    ])  # fmt: skip
    local = connection.tuples("SELECT customer, time_zone, day, toInt64(events) FROM v_usage_local_daily")
    assert {customer: zone for customer, zone, _, _ in local if customer in zones} == {
        customer: zone for customer, zone in zones.items() if customer in expected
    }
    assert sum(events for _, _, _, events in local) == sum(events for events, _ in expected.values())


def test_a_sum_that_does_not_fit_is_refused_in_every_sum_and_never_wrapped(connection: Connection) -> None:
    connection.execute(KINDS.format("sum"))
    most, panes = Decimal(99_999_999_999_999_999_999_999_999), (0, 5)
    connection.insert("pane_totals", COLUMNS, [
        ("m", "1", "s", OCTOBER + timedelta(minutes=minute), "[]", 1, 0, most, 1) for minute in panes
    ])  # fmt: skip
    with pytest.raises(StoreRefused, match=r"[oO]verflow"):
        connection.tuples("SELECT value FROM v_usage_daily")
    values = "(SELECT arrayJoin([toDecimal128('{0}', 12), toDecimal128('{0}', 12)]) AS v)"
    with pytest.raises(StoreRefused, match=r"a quantity is 10\^26 or more"):
        connection.tuples(f"SELECT {decimal_sql(sum_sql('v'))} FROM {values.format(most)}")
    half = "49999999999999999999999999"
    assert connection.tuples(f"SELECT {decimal_sql(sum_sql('v'))} FROM {values.format(half)}") == [(2 * Decimal(half),)]


def test_the_groups_of_a_customer_are_told_before_they_are_too_many(connection: Connection) -> None:
    columns = ("customer", "subscription", "plan", "plan_version", "status", "time_zone", "currency", "starts_at",
               "billed_through", "k_offset")  # fmt: skip
    customers = {"few": 7_999, "many": 8_000, "too many": 10_001}
    connection.insert("subscriptions", columns, [
        (customer, "s", "p", "1", "active", "UTC", "EUR", OCTOBER, OCTOBER, 1) for customer in customers
    ])  # fmt: skip
    connection.insert("pane_totals", COLUMNS, [
        ("m", "1", customer, OCTOBER, f'["{number}"]', 1, 0, Decimal(1), 1)
        for customer, groups in customers.items() for number in range(groups)
    ])  # fmt: skip
    told = connection.tuples("SELECT customer, groups, state FROM v_meter_groups ORDER BY groups")
    assert told == [("few", 7_999, "ok"), ("many", 8_000, "alert"), ("too many", 10_001, "overflow")]
    assert TotalsStore(connection, BillingStore(connection)).groups() == {("m", "1"): 10_001}
    assert WaitingStore(connection).look().groups == {"m": 10_001}
