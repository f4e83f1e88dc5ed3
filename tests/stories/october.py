"""A small month that a person can bill by hand. The stories play it; the amounts are written down here, not computed.

Plan `small`, EUR: 20.00 a month; 0.003 per token; calls: 10 free, then 0.50 each and once 1.00, from the 21st 0.25.
Calls count in region eu, or without a region, and not from the cache. Everyone begins on 1 October 2026.

| customer | tokens                                     | calls                                   | total |
|----------|--------------------------------------------|-----------------------------------------|-------|
| edge     | 4 x 1,000 large, 7 x 0.5 small = 4,003.5   | 10 that count, 1 cached: last free one  |       |
|          | x 0.003 = 12.0105 → 12.01                  | 0.00                                    | 32.01 |
| over     | 20 x 10 and 5, all without a model: 205    | 21: 10 free, 10 x 0.50 + 1.00, 1 x 0.25 |       |
|          | x 0.003 = 0.615 → 0.62                     | 6.25                                    | 26.87 |
| quiet    | none: 0.00                                 | none: 0.00                              | 20.00 |
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from agents.publisher import Record
from schemas.invoice import Invoice
from tests.builders import event, events, moment
from tests.deployments import Deployment

BEGINS = moment("2026-10-01 00:00")
IN_GRACE = moment("2026-11-01 01:00")
CLOSES = moment("2026-11-01 06:00")

CATALOGUE = """
[[meters]]
id = "tokens"
event_types = ["call"]
aggregation = "sum"
value = "tokens"
group_by = ["model"]
unit = "tokens"

[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"
match = { region = ["eu", { absent = true }] }
exclude = [{ cached = ["true"] }]
unit = "calls"

[[plans]]
id = "small"
name = "Small"
currency = "EUR"
interval = { unit = "month" }
anchor = "calendar"
grace = "PT6H"

[[plans.rate_cards]]
id = "platform"
name = "Platform fee"
price = { model = "flat", amount = "20.00" }

[[plans.rate_cards]]
id = "tokens"
name = "Tokens"
meter = "tokens"
price = { model = "per_unit", unit_price = "0.003" }

[[plans.rate_cards]]
id = "calls"
name = "Calls"
meter = "calls"
price.model = "graduated"
price.tiers = [
  { up_to = "10" },
  { up_to = "20", unit_price = "0.50", flat_fee = "1.00" },
  { unit_price = "0.25" },
]
"""

PLANS = {"edge": "small", "over": "small", "quiet": "small"}
OWNERS = {"edge/1": "edge", "edge/2": "edge", "over/1": "over", "quiet/1": "quiet"}

OF_OCTOBER: Sequence[Record] = (
    # edge: 10 calls that count, the first at the first millisecond of the month
    event("edge/1", "2026-10-01 00:00:00.000", {"model": "large", "tokens": 1000, "region": "eu"}),
    *events("edge/1", "2026-10-07 12:00", 3, {"model": "large", "tokens": "1000", "region": "eu", "cached": False}),
    *events("edge/2", "2026-10-20 12:00", 6, {"model": "small", "tokens": 0.5, "region": "eu"}),
    event("edge/2", "2026-10-20 12:00", {"model": "small", "tokens": "0.5", "cached": True}),
    # what does not count: elsewhere without tokens, before the start, after the end
    event("edge/1", "2026-10-08 12:00", {"region": "us"}),
    event("edge/1", "2026-09-30 23:59:59.999", {"model": "large", "tokens": 7777}),
    event("edge/1", "2026-11-01 00:00:00.000", {"model": "large", "tokens": 8888}),
    *events("over/1", "2026-10-15 10:00", 20, {"tokens": 10}),
)
LATE: Sequence[Record] = (event("over/1", "2026-10-31 23:59:59.999", {"tokens": 5}),)
"""Published when October is over, within the grace period."""
TOO_LATE: Sequence[Record] = (event("over/1", "2026-10-31 12:00", {"tokens": 9999}),)
"""Published after the close."""

INVOICES = {
    "edge": {"platform": "20.00", "tokens": "12.01", "calls": "0.00"},
    "over": {"platform": "20.00", "tokens": "0.62", "calls": "6.25"},
    "quiet": {"platform": "20.00"},
}
TOTALS = {"edge": "32.01", "over": "26.87", "quiet": "20.00"}
QUANTITIES = {
    ("edge", "tokens"): {"large": Decimal(4000), "small": Decimal("3.5"), None: Decimal(0)},
    ("edge", "calls"): {"": Decimal(10)},
    ("over", "tokens"): {None: Decimal(205)},
    ("over", "calls"): {"": Decimal(21)},
}
"""(customer, meter) -> quantity per model; the call elsewhere has no tokens, which is 0 of no model."""


async def begin(deployment: Deployment) -> None:
    """Catalogue, owners, the clock on 1 October, three customers on the plan. Needs the billing worker."""
    await deployment.apply(CATALOGUE)
    await deployment.attribute(OWNERS, BEGINS)
    await deployment.begin(BEGINS)
    await deployment.subscribe(PLANS, BEGINS)


async def play(deployment: Deployment) -> tuple[Invoice, ...]:
    """The whole month, to its three final invoices."""
    await begin(deployment)
    await deployment.publish(OF_OCTOBER)
    await deployment.tick(IN_GRACE)
    await deployment.publish(LATE)
    await deployment.tick(CLOSES)
    await deployment.publish(TOO_LATE)
    return await deployment.invoices(len(PLANS))


def amounts(invoice: Invoice) -> dict[str, str]:
    """Charge -> rounded amount."""
    return {line.rated.charge: f"{line.rated.amount:f}" for line in invoice.lines}


def quantities(invoices: Sequence[Invoice]) -> dict[tuple[str, str], dict[str | None, Decimal]]:
    """(customer, meter) -> quantity per model, of lines with usage."""
    return {
        (invoice.customer, line.rated.meter): {
            group.values.get("model", ""): group.quantity for group in line.rated.groups
        }
        for invoice in invoices
        for line in invoice.lines
        if line.rated.meter and line.rated.groups
    }


def check(invoices: Sequence[Invoice]) -> None:
    """Every figure that was written down by hand."""
    assert [(invoice.number, invoice.customer) for invoice in invoices] == [
        ("INV-000001", "edge"),
        ("INV-000002", "over"),
        ("INV-000003", "quiet"),
    ]
    assert {invoice.customer: amounts(invoice) for invoice in invoices} == INVOICES
    assert {invoice.customer: f"{invoice.totals.total:f}" for invoice in invoices} == TOTALS
    assert quantities(invoices) == QUANTITIES
