"""Usage after its period was closed, in all four policies; corrections and attributions take the same road."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from agents.cli.reading import reading
from agents.cli.replaying import Replayer
from tests.builders import event, events, moment, retraction
from tests.deployments import Deployment

pytestmark = pytest.mark.services
D = Decimal
BEGINS, FIRST, SECOND = moment("2026-10-01 00:00"), moment("2026-11-01 06:00"), moment("2026-12-01 06:00")
POLICIES = {"next": "next_invoice", "own": "adjustment_invoice", "less": "credit_note", "never": "ignore"}


def plan(name: str, policy: str) -> str:
    return f"""
[[plans]]
id = "{name}"
currency = "EUR"
anchor = "calendar"
late_usage = {{ policy = "{policy}", minimum = "0.05", horizon = "60 d" }}
rate_cards = [
  {{ id = "fee", price = {{ model = "flat", amount = "10.00" }} }},
  {{ id = "use", meter = "calls", price = {{ model = "per_unit", unit_price = "0.10" }} }},
]
"""


CATALOGUE = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"
""" + "".join(plan(name, policy) for name, policy in POLICIES.items())


async def test_late_usage_after_final_in_all_four_policies(deployment: Deployment) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.begin(BEGINS)
    # Two customers per policy: one uses more than was billed, one takes back what was.
    owners = {f"{name}-{way}": name for name in POLICIES for way in ("more", "back")}
    await deployment.attribute({"moved": "next-more"}, BEGINS)
    await deployment.subscribe(owners, BEGINS)
    for customer in owners:
        await deployment.publish(events(customer, "2026-10-05 10:00", 9))
        await deployment.publish([event(customer, "2026-10-06 10:00", id=f"{customer} wrong")])
    await deployment.publish(events("moved", "2026-10-07 10:00", 3))
    await deployment.tick(FIRST)
    await deployment.invoices(len(owners))
    for name in POLICIES:
        await deployment.publish(events(f"{name}-more", "2026-10-31 23:30", 5))
        await deployment.publish([retraction("/test", f"{name}-back wrong")])
    # A subject that was somebody else's all along moves with what it used in a closed period.
    await deployment.attribute({"moved": "next-back"}, BEGINS)
    await deployment.tick(SECOND)
    settled = "SELECT count() FROM rated_runs FINAL WHERE tick = (SELECT max(number) FROM ticks)"
    await deployment.until(lambda: deployment.rows(settled)[0][0] == len(owners), "the second month is rated")
    final = "SELECT count() FROM invoices FINAL WHERE number != ''"
    # 16 months, one adjustment invoice, notes: own-back, less-back.
    await deployment.until(lambda: deployment.rows(final)[0][0] == 19, "all documents are final")
    rows = deployment.rows(
        "SELECT customer, kind, toString(subtotal) FROM v_invoices "
        "WHERE invoice_tick = (SELECT max(number) FROM ticks) ORDER BY customer, kind DESC, subtotal"
    )
    assert [(customer, kind, D(amount)) for customer, kind, amount in rows] == [
        ("less-back", "invoice", D("10.00")), ("less-back", "credit_note", D("0.10")),
        ("less-more", "invoice", D("10.00")),
        ("never-back", "invoice", D("10.00")), ("never-more", "invoice", D("10.00")),
        ("next-back", "invoice", D("10.20")), ("next-more", "invoice", D("10.20")),
        ("own-back", "invoice", D("10.00")), ("own-back", "credit_note", D("0.10")),
        ("own-more", "invoice", D("0.50")), ("own-more", "invoice", D("10.00")),
    ]  # fmt: skip
    # The adjustment names the original period and the positions that caused it.
    (line,) = deployment.rows(
        "SELECT record FROM invoice_lines FINAL WHERE customer = 'own-more' AND amount = toDecimal64('0.5', 2)"
    )
    told = json.loads(line[0])
    assert told["adjusts"] == {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    assert told["late"]["records"] == 5
    assert all(position.startswith("usage.events/") for position in told["late"]["positions"])
    assert deployment.rows("SELECT sum(records) FROM late_periods FINAL WHERE customer LIKE 'never-%'") == [(6,)]
    async with reading(deployment.settings) as readers:
        replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
        verdicts = await replayer.replay()
    assert [verdict for verdict in verdicts if not verdict.identical] == []
