"""Every kind of meter and price on the line: a month in Kathmandu, whose days begin at 18:15 UTC, billed by hand.

| charge   | usage                                                                          | amount |
|----------|--------------------------------------------------------------------------------|--------|
| payments | 40 and 60 free, of 35 20 free: 15 x 1.8 % + 0.25 = 0.52, 90 x 1.8 % + 0.25     |   2.39 |
| requests | 2 on the 9th: free; 4 on the 10th: 2 x 0.04                                     |   0.08 |
| seats    | u1 since September, u2 came and went, u3 came: 2 x 5.00                         |  10.00 |
| stored   | 31 GB from the 16th: 31 x 16 / 31 = 16 x 0.50                                   |   8.00 |
| traffic  | us first: 5 x 0.09; eu: 10 x 0.05                                               | 0.45, 0.50 |
| speed    | the 95th percentile of 10, 20, 30, 40, 50 over both regions: 48 x 1.00          |  48.00 |
"""

from __future__ import annotations

import json

import pytest

from agents.cli.screen import Wait
from agents.commands import outcomes, send
from schemas.command import Subscribe
from tests.builders import event, moment
from tests.deployments import Deployment
from tests.stories.test_looking import answer, tally

pytestmark = pytest.mark.services

BEGINS, ENDS = moment("2026-09-30 18:15"), moment("2026-10-31 18:15")
CATALOGUE = """
[[meters]]
id = "payments"
event_types = ["payment"]
aggregation = "sum"
value = "amount"

[[meters]]
id = "requests"
event_types = ["request"]
aggregation = "count"

[[meters]]
id = "seats"
event_types = ["seat"]
aggregation = "unique_count"
value = "user"
carry_over = true

[[meters]]
id = "stored"
event_types = ["store"]
aggregation = "weighted_sum"
value = "gb"
carry_over = true

[[meters]]
id = "traffic"
event_types = ["sample"]
aggregation = "sum"
value = "gb"
group_by = ["region"]

[[meters]]
id = "speed"
event_types = ["sample"]
aggregation = "percentile"
p = "95"
value = "mbit"
group_by = ["region"]

[plan]
id = "all"
currency = "EUR"
interval = { unit = "month" }
anchor = "calendar"
grace = "1 h"

[[plan.rate_cards]]
id = "payments"
meter = "payments"
price = { model = "percentage", rate_percent = "1.8", fixed_fee = "0.25", free_events = 4, free_amount = "120" }

[[plan.rate_cards]]
id = "requests"
meter = "requests"
price.model = "bucketed"
price.by = "day"
price.free_units_per_bucket = "2"
price.price = { model = "per_unit", unit_price = "0.04" }

[[plan.rate_cards]]
id = "seats"
meter = "seats"
price = { model = "per_unit", unit_price = "5.00" }

[[plan.rate_cards]]
id = "stored"
meter = "stored"
price = { model = "per_unit", unit_price = "0.50" }

[[plan.rate_cards]]
id = "traffic"
meter = "traffic"
price.model = "matrix"
price.default_unit_price = "0.09"
price.prices = [{ match = { region = ["eu"] }, unit_price = "0.05" }]

[[plan.rate_cards]]
id = "speed"
meter = "speed"
price = { model = "per_unit", unit_price = "1.00" }
"""
NEW_METER = """
[[meters]]
id = "samples"
event_types = ["sample"]
aggregation = "count"
group_by = ["region"]
"""
USAGE = (
    *(event("himal", f"2026-10-05 0{n}:00", {"amount": a}, type="payment") for n, a in enumerate(("40", 60, "35", 90))),
    *(event("himal", at, type="request") for at in ("2026-10-09 18:14:58", "2026-10-09 18:14:59.999")),
    *(event("himal", at, type="request") for at in ("2026-10-09 18:15:00", "2026-10-09 20:00", "2026-10-09 23:00")),
    event("himal", "2026-10-10 18:14:59.999", type="request"),
    event("himal", "2026-09-10 00:00", {"user": "u1"}, type="seat"),
    event("himal", "2026-10-02 00:00", {"user": "u2"}, type="seat"),
    event("himal", "2026-10-03 00:00", {"user": "u2", "operation": "remove"}, type="seat"),
    event("himal", "2026-10-04 00:00", {"user": "u3"}, type="seat"),
    event("himal", "2026-10-15 18:15", {"gb": 31}, type="store"),
    event("himal", "2026-10-06 00:00", {"mbit": 30, "gb": 5, "region": "us"}, type="sample"),
    *(event("himal", f"2026-10-06 0{n}:00", {"mbit": m, "gb": "2.5", "region": "eu"}, type="sample")
      for n, m in enumerate(("10", 50, 20, "40"), start=1)),
    event("himal", "2026-10-31 18:15", {"mbit": 9999, "gb": 9999}, type="sample"),  # the next period
)  # fmt: skip
AMOUNTS = [
    ("payments", "2.39"), ("requests", "0.08"), ("seats", "10.00"), ("stored", "8.00"),
    ("traffic", "0.45"), ("traffic", "0.50"), ("speed", "48.00"),
]  # fmt: skip


async def test_every_kind_of_meter_is_billed_backfilled_and_costed_on_the_line(deployment: Deployment) -> None:
    deployment.line()
    await _begin(deployment)
    await deployment.publish(USAGE)
    await deployment.tick(moment("2026-10-31 18:30"))
    await deployment.tick(moment("2026-10-31 19:15"))
    (invoice,) = await deployment.invoices(1)
    assert [(line.rated.charge, f"{line.rated.amount:f}") for line in invoice.lines] == AMOUNTS
    assert (f"{invoice.totals.total:f}", invoice.status) == ("69.42", "open")
    assert (await answer(deployment, "replay", "--all"))["identical"]
    await _local_days(deployment)
    await _a_new_meter(deployment)
    await _costs(deployment)
    await _prices(deployment)


async def _begin(deployment: Deployment) -> None:
    await deployment.apply(CATALOGUE)
    await deployment.begin(BEGINS)
    assert deployment.last is not None
    await deployment.watching(deployment.stage.clock_everywhere(deployment.last, Wait("clock", None, "")))
    newest = (await deployment.stage._catalogue.newest()).newest_plans["all"]
    command = Subscribe(
        request_id="1", actor="a test", reason="", customer="himal", subscription="s", plan="all", plan_version=newest,
        starts_at=BEGINS, time_zone="Asia/Kathmandu",
    )  # fmt: skip
    sent = await send(deployment.logs, [command])
    (outcome,) = await outcomes(deployment.logs, sent, within_s=60)
    assert outcome is not None and outcome.accepted, outcome


async def _local_days(deployment: Deployment) -> None:
    """Five-minute panes tile the days of a zone with :45."""
    days = "SELECT toString(day), events FROM v_usage_local_daily WHERE meter = 'requests' ORDER BY day"
    sealed = "SELECT count() FROM pane_totals FINAL WHERE meter = 'requests' AND events > 0"
    await deployment.until(lambda: deployment.rows(sealed) == [(5,)], "the panes are sealed")
    assert deployment.rows(days) == [("2026-10-09", 2), ("2026-10-10", 4)]


async def _a_new_meter(deployment: Deployment) -> None:
    """It sees old events, whoever seals them first, and ingestion goes on."""
    await deployment.apply(CATALOGUE + NEW_METER)
    plan = await answer(deployment, "meters", "backfill", "samples", "--dry-run")
    assert plan["sealed"].keys() == {"samples"}
    done = await tally(deployment, "meters", "backfill", "samples")
    assert done.returncode == 0, done.stderr
    held = "SELECT grp, sum(events) FROM pane_totals FINAL WHERE meter = 'samples' GROUP BY grp ORDER BY grp"
    assert deployment.rows(held) == [('["eu"]', 4), ('["us"]', 1), ("[null]", 1)]
    await deployment.publish([event("himal", "2026-10-31 18:20", {"region": "eu"}, type="sample")])
    await deployment.stored()
    found = {row["meter"]: row for row in await answer(deployment, "meters", "--check")}
    # All panes in which anything happened; the event that came meanwhile waits for the next tick.
    assert (found["samples"]["sealed_panes"], found["samples"]["unsealed_panes"]) == (20, 1)
    assert (found["traffic"]["groups"], found["traffic"]["alert"], found["traffic"]["plans"]) == (2, False, ["all"])
    assert (found["requests"]["shown_from"], found["speed"]["shown_from"][:10]) == ("sealed panes", "raw events")
    unknown = await tally(deployment, "meters", "backfill", "sample")
    assert (unknown.returncode, "samples" in unknown.stderr) == (4, True)


async def _costs(deployment: Deployment) -> None:
    done = await tally(deployment, "cost", "--json")
    found = json.loads(done.stdout)
    assert found["logged"], "the server of the tests logs queries that say what they are for"
    kinds = {(row["meter"], row["work"]) for row in found["work"]}
    assert {("requests", "close"), ("requests", "gate"), ("speed", "close"), ("samples", "backfill")} <= kinds
    assert {row["meter"] for row in found["costs"]} >= {"payments", "requests", "samples"}
    assert all(row["read_rows"] and row["read_bytes"] and row["cpu_us"] for row in found["costs"] if row["events"])
    assert {row["customer"] for row in found["costs"] if row["events"]} == {"himal"}


async def _prices(deployment: Deployment) -> None:
    """The price calculator reads what a close read, for the price of the subscription or for another one."""
    october = ("--customer", "himal", "--period", "2026-10-01/2026-11-01", "--time-zone", "Asia/Kathmandu")
    for meter, amount in (("payments", "2.39"), ("traffic", "0.95")):
        assert (await answer(deployment, "price", *october, "--meter", meter))["amount"] == amount
    package = "price = { model = 'package', package_size = '4', package_price = '1.10' }"
    other = await answer(deployment, "price", *october, "--meter", "requests", "--price", package)
    assert (other["amount"], other["lines"][0]["quantity"]) == ("2.20", "6")
    running = await tally(deployment, "price", "--customer", "himal", "--meter", "traffic")
    assert "himal, traffic, 2026-10-31 18:15 to 2026-11-30 18:15 UTC, so far" in running.stdout
    assert "899.91" in running.stdout  # 9999 without a region x 0.09
    unknown = await tally(deployment, "price", "--customer", "himal", "--meter", "trafic")
    assert (unknown.returncode, "did you mean traffic?" in unknown.stderr) == (4, True)
