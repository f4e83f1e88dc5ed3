"""Lives of subscriptions on the real line: every command, every document, the amounts computed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.builders import events
from tests.command_line import Tally
from tests.deployments import Deployment

pytestmark = pytest.mark.services

CATALOGUE = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[tax_rates]]
id = "vat"
percentages = [{ percentage = "20" }]

[[plans]]
id = "starter"
currency = "EUR"
anchor = "calendar"
grace = "1 h"
trial = { unit = "day", count = 14 }
tax_rates = ["vat"]
[[plans.rate_cards]]
id = "fee"
timing = "advance"
price = { model = "flat", amount = "31.00" }
[[plans.rate_cards]]
id = "use"
meter = "calls"
price = { model = "per_unit", unit_price = "0.10" }

[[plans]]
id = "pro"
currency = "EUR"
anchor = "calendar"
grace = "1 h"
tax_rates = ["vat"]
[[plans.rate_cards]]
id = "fee"
timing = "advance"
price = { model = "flat", amount = "62.00" }
[[plans.rate_cards]]
id = "use"
meter = "calls"
price = { model = "per_unit", unit_price = "0.05" }
"""
LINES = """SELECT charge, number, toString(amount) FROM run_lines FINAL WHERE customer = 'acme'
AND tick = (SELECT max(tick) FROM run_lines WHERE customer = 'acme') ORDER BY line"""
TOTALS = """SELECT kind, toString(total) FROM invoices FINAL
WHERE customer = {customer:String} AND number != '' AND issued_at = {at:String} ORDER BY kind DESC"""


async def test_a_trial_becomes_active_is_upgraded_in_mid_month_and_cancelled(
    deployment: Deployment, tally: Tally
) -> None:
    deployment.line()

    async def tick(at: str) -> None:
        await tally.said("tick", "--at", at)

    async def bills(at: str, lines: Sequence[tuple[str, int, str]], *totals: tuple[str, str]) -> None:
        """Moves time on, and waits for the documents of that tick."""
        await tick(at)
        asked = {"customer": "acme", "at": at.replace("T", " ").removesuffix("Z")}
        found = await deployment.until(
            lambda: len(rows := deployment.rows(TOTALS, asked)) >= len(totals) and rows, f"documents of {at}"
        )
        assert [tuple(row) for row in found] == list(totals)
        assert [tuple(row) for row in deployment.rows(LINES)] == list(lines)

    await deployment.apply(CATALOGUE)
    await tally.said("tick", "--start", "test", "--at", "2027-01-01")
    await tally.said("attribute", "acme/k1", "acme/k2", "--customer", "acme")
    await tally.said("customer", "acme", "--name", "Acme GmbH", "--country", "DE")
    await tally.said("subscribe", "acme", "starter", "--subscription", "s", "--request-id", "begin")
    assert "nothing changed" in await tally.said("subscribe", "acme", "starter", "--subscription", "s",
                                                 "--request-id", "begin")  # fmt: skip
    assert "is trialing" in await tally.refused("pause", "acme", "s", "--reason", "too early")
    await deployment.publish(
        [*events("acme/k1", "2027-01-05 00:00", 30), *events("acme/k1", "2027-01-17 00:00", 20),
         *events("acme/k2", "2027-01-25 00:00", 100), *events("acme/k2", "2027-02-03 00:00", 60)]
    )  # fmt: skip
    assert (await tally.json("subscriptions", "acme"))[0]["status"] == "trialing"

    # The trial ends on the 15th: its usage is given away, 17 of 31 days of 31.00 are owed; 20 % tax.
    await bills("2027-01-15T01:00:00Z", [("use", 0, "0"), ("fee", 0, "17")], ("invoice", "20.4"))
    assert (await tally.json("subscriptions", "acme"))[0]["status"] == "active"

    # On the 20th: 12 of 31 days of 62.00 are owed, 12.00 of the 17.00 come back; 20 calls at 0.10.
    await tick("2027-01-20T00:00:00Z")
    await tally.said("change", "acme", "s", "pro", "--reason", "upgrade")
    await bills("2027-01-20T01:00:00Z", [("use", 1, "2"), ("fee", 1, "24"), ("fee", 0, "-12")],
                ("invoice", "31.2"), ("credit_note", "14.4"))  # fmt: skip

    # A whole month of the new plan in advance, and 100 calls at 0.05.
    await bills("2027-02-01T01:00:00Z", [("use", 2, "5"), ("fee", 1, "62")], ("invoice", "80.4"))

    # On 8 February 21 of 28 days come back: 46.50; 60 calls at 0.05.
    await tick("2027-02-08T00:00:00Z")
    assert "must say why" in await tally.refused("cancel", "acme", "s", "--when", "now", "--reason", "")
    await tally.said("cancel", "acme", "s", "--when", "now", "--reason", "leaves")
    await bills("2027-02-08T01:00:00Z", [("use", 2, "3"), ("fee", 1, "-46.5")],
                ("invoice", "3.6"), ("credit_note", "55.8"))  # fmt: skip
    assert (await tally.json("subscriptions", "acme"))[0]["status"] == "canceled"

    # What was used and told late finds its bill after the end: two calls at 0.05 with the next boundary of the grid.
    await deployment.publish(events("acme/k2", "2027-02-05 00:00", 2))
    await bills("2027-03-01T01:00:00Z", [("use", 2, "0.1")], ("invoice", "0.12"))

    # Billed = rated: 17 - 12 + 24 + 62 - 46.50 of fees, 0 + 2 + 5 + 3.10 of usage; and nothing comes after.
    await tick("2027-06-01T00:00:00Z")
    assert [tuple(row) for row in deployment.rows(
        "SELECT charge, toString(sum(amount)) FROM run_lines FINAL GROUP BY charge ORDER BY charge"
    )] == [("fee", "44.5"), ("use", "10.1")]  # fmt: skip
    mine = ("subscribe", "change", "cancel", "pause", "set_customer")  # the others are dunning's
    rows = await tally.json("audit")
    audit = [(row["command"], row["accepted"], row["reason"]) for row in rows if row["command"] in mine]
    assert audit == [
        ("cancel", True, "leaves"), ("cancel", False, ""), ("change", True, "upgrade"), ("pause", False, "too early"),
        ("subscribe", True, "from the command line"), ("subscribe", True, "from the command line"),
        ("set_customer", True, "from the command line"),
    ]  # fmt: skip
    told = await deployment.announced("subscription")
    announced = [(each["type"].split(".")[2], each["time"], each["data"]["status"]) for each in told]
    announced = [each for each in announced if each[0] != "past_due"]  # what dunning does of the unpaid invoices
    assert announced == [
        ("created", "2027-01-01T00:00:00Z", "trialing"), ("active", "2027-01-15T00:00:00Z", "active"),
        ("changed", "2027-01-20T00:00:00Z", "active"), ("canceled", "2027-02-08T00:00:00Z", "canceled"),
    ]  # fmt: skip
    await tally.said("replay", "--all", "--check")


MIXED = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[plans]]
id = "mixed"
currency = "EUR"
grace = "0 s"
[[plans.rate_cards]]
id = "base"
timing = "advance"
price = { model = "flat", amount = "30.00" }
[[plans.rate_cards]]
id = "support"
timing = "advance"
interval = { unit = "quarter" }
price = { model = "flat", amount = "90.00" }
[[plans.rate_cards]]
id = "licence"
timing = "advance"
interval = { unit = "year" }
price = { model = "flat", amount = "366.00" }
[[plans.rate_cards]]
id = "use"
meter = "calls"
price = { model = "per_unit", unit_price = "1.00" }
"""
ZONES = {"kolkata": "Asia/Kolkata", "johns": "America/St_Johns"}
BILLED = """SELECT customer, charge, toString(min(period_start)), toString(max(period_end)), count(),
  toString(sum(amount))
FROM run_lines FINAL WHERE charge != 'use' GROUP BY customer, charge ORDER BY customer, charge"""
USED = """SELECT customer, toString(period_start), toString(period_end), toString(amount)
FROM run_lines FINAL WHERE charge = 'use' AND amount != 0 ORDER BY customer, period_start"""


async def test_a_year_of_three_cadences_from_29_february_in_zones_with_half_hours_and_summer_time(
    deployment: Deployment, tally: Tally
) -> None:
    deployment.line()
    await deployment.apply(MIXED)
    await tally.said("tick", "--start", "test", "--at", "2028-02-28")
    for customer, zone in ZONES.items():
        await tally.said("subscribe", customer, "mixed", "--time-zone", zone, "--starts-at", "2028-02-29")
    await tally.said("cancel", "kolkata", "kolkata-mixed", "--at", "2029-02-28T00:00+05:30", "--reason", "a year")
    await tally.said("cancel", "johns", "johns-mixed", "--at", "2029-02-28T00:00-03:30", "--reason", "a year")
    # One call in the last millisecond before a local midnight that is a boundary, and one on it.
    await deployment.publish([
        record
        for customer, times in {
            "kolkata": ("2028-03-28 18:29:59.999", "2028-03-28 18:30", "2028-11-28 18:29:59.999", "2028-11-28 18:30"),
            "johns": ("2028-03-29 02:29:59.999", "2028-03-29 02:30", "2028-11-29 03:29:59.999", "2028-11-29 03:30"),
        }.items()
        for time in times
        for record in events(customer, time, 1)
    ])  # fmt: skip
    done = await tally.json("simulate", "--until", "2029-03-02")
    # The first fees, then at each of twelve boundaries usage with what begins there, all on one invoice.
    assert (done["closes"], done["documents"]) == (26, 26)
    assert [tuple(row) for row in deployment.rows(BILLED)] == [
        ("johns", "base", "2028-02-29 03:30:00.000", "2029-02-28 03:30:00.000", 12, "360"),
        ("johns", "licence", "2028-02-29 03:30:00.000", "2029-02-28 03:30:00.000", 1, "366"),
        ("johns", "support", "2028-02-29 03:30:00.000", "2029-02-28 03:30:00.000", 4, "360"),
        ("kolkata", "base", "2028-02-28 18:30:00.000", "2029-02-27 18:30:00.000", 12, "360"),
        ("kolkata", "licence", "2028-02-28 18:30:00.000", "2029-02-27 18:30:00.000", 1, "366"),
        ("kolkata", "support", "2028-02-28 18:30:00.000", "2029-02-27 18:30:00.000", 4, "360"),
    ]
    assert [tuple(row) for row in deployment.rows(USED)] == [
        ("johns", "2028-02-29 03:30:00.000", "2028-03-29 02:30:00.000", "1"),
        ("johns", "2028-03-29 02:30:00.000", "2028-04-29 02:30:00.000", "1"),
        ("johns", "2028-10-29 02:30:00.000", "2028-11-29 03:30:00.000", "1"),
        ("johns", "2028-11-29 03:30:00.000", "2028-12-29 03:30:00.000", "1"),
        ("kolkata", "2028-02-28 18:30:00.000", "2028-03-28 18:30:00.000", "1"),
        ("kolkata", "2028-03-28 18:30:00.000", "2028-04-28 18:30:00.000", "1"),
        ("kolkata", "2028-10-28 18:30:00.000", "2028-11-28 18:30:00.000", "1"),
        ("kolkata", "2028-11-28 18:30:00.000", "2028-12-28 18:30:00.000", "1"),
    ]
    # Moving a subject, also into the past, rewrites nothing that is closed.
    stored = (
        "SELECT document_id, content_sha256 FROM invoices FINAL WHERE customer IN ('johns', 'kolkata') ORDER BY ALL"
    )
    before = deployment.rows(stored)
    await tally.said("attribute", "kolkata", "--customer", "other", "--from", "2028-03-01")
    await tally.said("tick", "--at", "2029-03-03")
    assert deployment.rows(stored) == before
    assert "back" in await tally.refused("tick", "--at", "2029-03-01")
    await tally.said("replay", "--all", "--check")
