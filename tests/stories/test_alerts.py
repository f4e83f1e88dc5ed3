"""Alerts as a story: one quantity in view, entitlement, evidence of an alert and invoice line; told once, ever."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.builders import event, moment
from tests.command_line import Tally
from tests.deployments import Deployment
from tests.serving import serving
from tests.stories.test_limits import CATALOGUE, PATH, begun

pytestmark = pytest.mark.services

RULES = """
[[alerts]]
id = "tokens-used"
on = "usage"
meter = "tokens"
percents = ["50", "200"]

[[alerts]]
id = "spent"
on = "spend"
thresholds = ["10"]
customers = ["acme"]

[[alerts]]
id = "quiet"
on = "silence"
quiet = "1 h"
"""


async def alerts(deployment: Deployment) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in await deployment.records("billing.alerts")]


async def until_told(deployment: Deployment, wanted: set[str]) -> list[dict[str, Any]]:
    """Returns once so many kinds of alerts were published."""
    async with asyncio.timeout(60):
        while True:
            found = await alerts(deployment)
            if wanted <= {each["kind"] for each in found}:
                return found
            await asyncio.sleep(0.1)


async def entitled(http: httpx.AsyncClient, used: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := (await http.get(PATH)).json()).get("used") != used:
            await asyncio.sleep(0.1)
    return dict(found)


async def test_one_quantity_in_view_entitlement_alert_and_invoice_line_and_each_crossing_told_once(
    deployment: Deployment, tally: Tally
) -> None:
    await begun(deployment, CATALOGUE + RULES)
    use = [event("acme/key", "2026-10-05 10:00", {"tokens": 100 + n, "model": str(n % 3)}) for n in range(10)]
    await deployment.publish(use)  # 1045 tokens: more than half of 1000, for 10.45
    coverage = await deployment.stored()
    vector = ",".join(str(coverage.get(partition, 0)) for partition in range(3))
    told = await until_told(deployment, {"usage_threshold", "spend_threshold"})
    (alert,) = [each for each in told if each["kind"] == "usage_threshold"]
    assert alert["evidence"]["threshold"] == "500"
    (spent,) = [each for each in told if each["kind"] == "spend_threshold"]
    assert spent["evidence"]["figure"] == "10.45"
    view = deployment.rows("SELECT sum(value) FROM v_usage_current WHERE customer = 'acme' AND meter = 'tokens'")
    with serving(deployment) as server:
        async with server.ready() as http:
            answer = await entitled(http, "1045")
    (shown,) = await tally.json("entitlements", "acme")
    await deployment.tick(moment("2026-10-05 12:00"))
    told = await until_told(deployment, {"silence"})
    await deployment.tick(moment("2026-11-01 06:00"))
    invoice = next(each for each in await deployment.invoices(2) if each.customer == "acme")
    (line,) = [each for each in invoice.lines if each.rated.charge == "tokens"]
    assert {
        "view": view[0][0], "entitlement": Decimal(answer["used"]), "command": Decimal(shown["used"]),
        "alert": Decimal(alert["evidence"]["figure"]), "invoice": line.rated.quantity,
    } == dict.fromkeys(("view", "entitlement", "command", "alert", "invoice"), Decimal(1045))  # fmt: skip
    vectors = {alert["evidence"]["usage.events"], ",".join(map(str, answer["position"]["usage.events"])), vector}
    assert len(vectors) == 1
    assert (silence := next(each for each in told if each["kind"] == "silence"))["evidence"]["source"] == "/test"
    assert silence["customer"] == ""
    await _told_by_the_next_worker_too(deployment, told)
    listed = await tally.json("alerts", "acme")
    assert {row["kind"] for row in listed} == {"usage_threshold", "spend_threshold"}
    assert "50 %" in await tally.said("alerts", "--kind", "usage_threshold")


async def _told_by_the_next_worker_too(deployment: Deployment, told: list[dict[str, Any]]) -> None:
    """Another worker, without any notes, comes to the same keys and sends nothing."""
    billing = deployment.workers[1]
    billing.kill()
    deployment.db.execute("TRUNCATE TABLE alert_states")
    deployment.db.execute("TRUNCATE TABLE sent_records")
    deployment.worker("billing", instance="billing")
    sent = "SELECT count() FROM sent_records WHERE key IN (SELECT toString(key) FROM notices)"
    await deployment.until(lambda: deployment.rows(sent)[0][0] >= len(told), "the notices are looked at again")
    assert sorted(each["key"] for each in await alerts(deployment)) == sorted(each["key"] for each in told)
