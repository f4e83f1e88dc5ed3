"""One customer of a thousand whose totals differ is parked; the others are billed on time, and it follows later."""

from __future__ import annotations

import asyncio

import pytest

from tests.builders import event, moment
from tests.deployments import Deployment
from tests.stories.test_looking import answer, tally

pytestmark = pytest.mark.services
CUSTOMERS = 1000
BEGINS, SEALS, CLOSES = moment("2026-10-01 00:00"), moment("2026-11-01 01:00"), moment("2026-11-01 06:00")
CATALOGUE = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[plans]]
id = "p"
currency = "EUR"
anchor = "calendar"
rate_cards = [{ id = "use", meter = "calls", price = { model = "per_unit", unit_price = "0.10" } }]
"""
TOTAL = "FROM pane_totals FINAL WHERE subject = 'k0500'"


async def test_one_corrupted_of_a_thousand_and_999_invoices_on_time(deployment: Deployment) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.begin(BEGINS)
    names = [f"k{index:04d}" for index in range(CUSTOMERS)]
    await deployment.subscribe(dict.fromkeys(names, "p"), BEGINS)
    await deployment.publish([event(name, "2026-10-05 10:00") for name in names])
    await deployment.tick(SEALS)
    await deployment.until(lambda: deployment.rows(f"SELECT count() {TOTAL}")[0][0], "the pane is sealed")
    columns = ("meter", "meter_version", "subject", "pane", "grp", "events", "invalid", "total", "ver")
    (row,) = deployment.rows(f"SELECT {', '.join(columns)} {TOTAL}")
    await asyncio.to_thread(deployment.db.insert, "pane_totals", columns, [(*row[:5], 7, *row[6:7], 7, row[8])])
    await deployment.tick(CLOSES)
    invoices = await deployment.invoices(CUSTOMERS - 1)
    assert [invoice.customer for invoice in invoices] == [name for name in names if name != "k0500"]
    assert {invoice.issued_at for invoice in invoices} == {CLOSES}
    (parked,) = (await answer(deployment, "close"))["parked"]
    assert (parked["customer"], parked["reason"]) == ("k0500", "totals_differ")
    refused = await tally(deployment, "close", "--release", "k0500")
    assert (refused.returncode, "--reason: must say why" in refused.stderr) == (1, True)
    await asyncio.to_thread(deployment.db.insert, "pane_totals", columns, [row])
    await answer(deployment, "close", "--release", "k0500", "--reason", "sealed again")
    last = (await deployment.invoices(CUSTOMERS))[-1]
    assert (last.customer, last.number) == ("k0500", f"INV-{CUSTOMERS:06d}")
    assert await answer(deployment, "close", "--explain-wait") == {"waiting": [], "parked": []}
