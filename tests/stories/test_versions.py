"""Versions of a plan against running subscriptions: nobody is moved who was not asked to; whoever is, by a command."""

from __future__ import annotations

import pytest

from tests.command_line import Tally
from tests.deployments import Deployment

pytestmark = pytest.mark.services

PLANS = """
[[plans]]
id = "team"
currency = "EUR"
anchor = "calendar"
[[plans.rate_cards]]
id = "seats"
timing = "advance"
price = { model = "flat", amount = "10.00" }

[[plans]]
id = "other"
currency = "EUR"
[[plans.rate_cards]]
id = "fee"
price = { model = "flat", amount = "1.00" }
"""
LINES = """SELECT customer, tick, toString(amount) FROM run_lines FINAL ORDER BY customer, tick"""


async def test_subscriptions_keep_their_version_until_they_are_migrated(deployment: Deployment, tally: Tally) -> None:
    deployment.line()
    file = tally.file("plans.toml", PLANS)
    assert "2 versions would be published" in (await tally.run("catalogue", "diff", file)).stdout
    await tally.said("catalogue", "apply", "--yes", file)
    assert "No change" in await tally.said("catalogue", "diff", file)
    await tally.said("tick", "--start", "test", "--at", "2027-01-01")
    await tally.said("subscribe", "acme", "team", "--quantity", "seats=3")
    await tally.said("subscribe", "bolt", "team")

    # The new file raises the price and no longer names the other plan: that one stays valid.
    tally.file("plans.toml", PLANS.partition('[[plans]]\nid = "other"')[0].replace('"10.00"', '"12.00"'))
    changed = await tally.run("catalogue", "diff", file)
    assert changed.returncode == 1
    assert "rate_cards[seats].price.amount: 10 → 12" in changed.stdout
    assert "kept as they are: plan/other" in changed.stdout
    await tally.said("catalogue", "apply", file)
    history = await tally.json("catalogue", "history", "team")
    assert [[field["after"] for field in version["fields"]] for version in history] == [[], ["12"]]
    await tally.said("tick", "--at", "2027-01-15")
    await tally.said("subscribe", "cora", "other")
    await tally.said("tick", "--at", "2027-02-01T06:00")

    plan = await tally.json("catalogue", "migrate-subscriptions", "team", "--dry-run")
    assert [(one["customer"], one["quantities"]) for one in plan["moving"]] == [("acme", {"seats": "3"}), ("bolt", {})]
    await tally.said("catalogue", "migrate-subscriptions", "team", "--reason", "prices of 2027")
    assert "0 subscriptions to move" in await tally.said("catalogue", "migrate-subscriptions", "team", "--dry-run")
    await tally.said("tick", "--at", "2027-03-01T06:00")

    def billed() -> bool:
        return len(deployment.rows(LINES)) >= 7

    await deployment.until(billed, "three months are billed")
    found: dict[str, list[str]] = {}
    for customer, _, amount in deployment.rows(LINES):
        found.setdefault(customer, []).append(amount)
    assert (found["acme"], found["bolt"], found["cora"]) == (["30", "30", "36"], ["10", "10", "12"], ["1"])
