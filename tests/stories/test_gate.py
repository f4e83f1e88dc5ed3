"""Of a thousand customers two whose totals differ are parked: the others are billed on time, and they follow later."""

from __future__ import annotations

import asyncio
from datetime import date

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
ROW = "FROM day_totals FINAL WHERE subject = 'k0600'"
DAY = f"INSERT INTO day_totals SELECT * REPLACE ({{0}} AS events, {{0}} AS total) {ROW}"


async def test_a_pane_and_a_day_corrupted_of_a_thousand_customers_and_998_invoices_on_time(
    deployment: Deployment,
) -> None:
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
    await deployment.until(lambda: deployment.rows("SELECT count() FROM day_seals")[0][0], "the day is sealed")
    await asyncio.to_thread(deployment.db.execute, DAY.format(9))
    await deployment.tick(CLOSES)
    invoices = await deployment.invoices(CUSTOMERS - 2)
    assert [invoice.customer for invoice in invoices] == [name for name in names if name not in ("k0500", "k0600")]
    assert {invoice.issued_at for invoice in invoices} == {CLOSES}
    # The worker sealed the day by itself, and the close may take it: nothing of the day lies beyond the seal.
    closing = deployment.last
    assert closing is not None
    (days,) = deployment.billing.days.usable(closing).values()
    assert days.keys() == {date(2026, 10, 5)}
    parked = sorted((await answer(deployment, "close"))["parked"], key=lambda one: one["customer"])
    assert [(one["customer"], one["reason"]) for one in parked] == [(n, "totals_differ") for n in ("k0500", "k0600")]
    differs = "meter calls: 1 days differ, 1 events raw, 9 in totals, 1.000000000000 against 9.000000000000"
    assert parked[1]["detail"] == differs
    said = (await answer(deployment, "reconcile", code=5))["differences"]
    assert f"k0600: {differs}" in said
    refused = await tally(deployment, "close", "--release", "k0500")
    assert (refused.returncode, "--reason: must say why" in refused.stderr) == (1, True)
    await asyncio.to_thread(deployment.db.insert, "pane_totals", columns, [row])
    await asyncio.to_thread(deployment.db.execute, DAY.format(1))
    await answer(deployment, "close", "--release", "k0600", "--reason", "computed again")
    await deployment.invoices(CUSTOMERS - 1)
    await answer(deployment, "close", "--release", "k0500", "--reason", "sealed again")
    last = (await deployment.invoices(CUSTOMERS))[-1]
    assert (last.customer, last.number) == ("k0500", f"INV-{CUSTOMERS:06d}")
    assert await answer(deployment, "close", "--explain-wait") == {"waiting": [], "parked": []}
    # A replay reads raw events alone: what was frozen from days has the same bytes.
    replayed = await answer(deployment, "replay", "--all")
    assert (replayed["identical"], len(replayed["verdicts"])) == (True, 2 * CUSTOMERS)
