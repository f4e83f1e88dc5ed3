"""20,000 lines on one invoice, end to end: usage, close, rating, number, event."""

from __future__ import annotations

import pytest

from tests.builders import event, moment
from tests.deployments import Deployment

pytestmark = pytest.mark.services
KEYS = 10_000  # as many groups as a meter names; two rate cards make a line of each
CATALOGUE = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"
group_by = ["key"]

[[plans]]
id = "p"
currency = "EUR"
anchor = "calendar"
rate_cards = [
  { id = "calls", meter = "calls", price = { model = "matrix", prices = [
    { match = { key = ["*"] }, unit_price = "0.10", group_by = ["key"] } ] } },
  { id = "support", meter = "calls", price = { model = "matrix", prices = [
    { match = { key = ["*"] }, unit_price = "0.01", group_by = ["key"] } ] } },
]
"""


async def test_an_invoice_of_20_000_lines_is_closed_rated_numbered_and_published(deployment: Deployment) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.begin(moment("2026-10-01 00:00"))
    await deployment.subscribe({"a": "p"}, moment("2026-10-01 00:00"))
    await deployment.publish(event("a", "2026-10-05 10:00", {"key": f"k{key}"}) for key in range(KEYS))
    await deployment.tick(moment("2026-11-01 06:00"))
    (invoice,) = await deployment.invoices(1, within_s=120)
    assert len(invoice.lines) == 2 * KEYS
    assert f"{invoice.totals.total:f}" == "1100.00"
    (event_of_it,) = await deployment.announced()
    assert len(event_of_it["data"]["lines"]) == 2 * KEYS
