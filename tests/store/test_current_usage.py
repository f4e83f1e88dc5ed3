"""What a running subscription has used: what its subjects used while they were its customer's, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from agents.store.connection import Connection

pytestmark = pytest.mark.services

OCTOBER = datetime(2027, 10, 1, tzinfo=UTC)
PANE = timedelta(minutes=5)
CUSTOMERS = ("acme", "globex", "lone")
SUBJECTS = ("acme", "lone", "k1", "k2", "k3")
PANES = 40


def test_law_usage_is_of_the_customer_that_owned_the_subject_at_its_pane(connection: Connection) -> None:
    random = Random(11)
    owners = {subject: _owners(random) for subject in SUBJECTS if subject != "lone"}
    billed = {customer: random.randint(0, PANES // 2) for customer in CUSTOMERS}
    ends = {"globex": PANES - 5}
    connection.insert(
        "attributions",
        ("subject", "effective_from", "customer", "actor", "reason", "request_id", "k_offset"),
        [
            (subject, OCTOBER + pane * PANE, customer, "a", "r", f"{subject}{pane}", pane)
            for subject, spans in owners.items()
            for pane, customer in spans.items()
        ],
    )
    _subscribe(connection, billed, ends)
    connection.insert(
        "pane_totals",
        ("meter", "meter_version", "subject", "pane", "grp", "events", "invalid", "total", "ver"),
        [
            ("m", "1", each, OCTOBER + pane * PANE, "[]", 1, 0, Decimal(1), 1)
            for each in SUBJECTS
            for pane in range(PANES)
        ],
    )
    expected = dict.fromkeys(CUSTOMERS, 0)
    for subject in SUBJECTS:
        for pane in range(PANES):
            customer = _owner(subject, owners.get(subject, {}), pane)
            if customer in billed and billed[customer] <= pane < ends.get(customer, PANES):
                expected[customer] += 1
    told = connection.tuples("SELECT customer, toInt64(sum(events)), sum(value) FROM v_usage_current GROUP BY customer")
    assert {customer: events for customer, events, _ in told} == {each: n for each, n in expected.items() if n}
    for customer, events in expected.items():
        alone = "SELECT toInt64(sum(events)) FROM v_usage_current WHERE customer = {c:String}"
        assert connection.tuples(alone, {"c": customer}) == [(events,)]


def _owners(random: Random) -> dict[int, str]:
    """From which pane on a subject is whose; '' gives it back to nobody."""
    return {random.randrange(PANES): random.choice((*CUSTOMERS, "other", "")) for _ in range(random.randint(1, 5))}


def _owner(subject: str, owners: dict[int, str], pane: int) -> str:
    known = [since for since in owners if since <= pane]
    return (owners[max(known)] if known else "") or subject


def _subscribe(connection: Connection, billed: dict[str, int], ends: dict[str, int]) -> None:
    columns = ("customer", "subscription", "plan", "plan_version", "status", "time_zone", "currency", "starts_at",
               "ends_at", "billed_through", "k_offset")  # fmt: skip
    connection.insert("subscriptions", columns, [
        (customer, "s", "p", "1", "active", "UTC", "EUR", OCTOBER,
         OCTOBER + ends[customer] * PANE if customer in ends else None, OCTOBER + pane * PANE, 1)
        for customer, pane in billed.items()
    ])  # fmt: skip
