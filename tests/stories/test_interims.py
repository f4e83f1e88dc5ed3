"""Progressive billing as a story: a threshold is crossed, the worker dies around asking, the month deducts the part."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.cli.reading import reading
from agents.cli.replaying import Replayer
from agents.crash_points import Step
from agents.store.ledger_looks import LedgerLooks
from tests.builders import events, moment
from tests.command_line import Tally
from tests.deployments import Deployment

pytestmark = pytest.mark.services
D = Decimal
BEGINS, CROSSED, BILLED = moment("2026-10-01 00:00"), moment("2026-10-05 12:00"), moment("2026-10-05 13:00")
CATALOGUE = """
[[tax_rates]]
id = "vat"
percentages = [{ percentage = "20" }]

[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[plans]]
id = "growing"
currency = "EUR"
anchor = "calendar"
tax_rates = ["vat"]
thresholds = ["10.00"]
commitment = { amount = "25.00" }
rate_cards = [
  { id = "fee", price = { model = "flat", amount = "10.00" } },
  { id = "use", meter = "calls", price = { model = "per_unit", unit_price = "1.00" } },
]
"""


async def test_usage_beyond_a_threshold_is_billed_at_a_tick_and_deducted_at_the_end(
    deployment: Deployment, tally: Tally
) -> None:
    deployment.worker("ingest")
    dying = deployment.worker("billing", crash_at=f"{Step.THRESHOLD}:before:1", instance="billing")
    await deployment.apply(CATALOGUE)
    await deployment.begin(BEGINS)
    await deployment.subscribe({"acme": "growing", "hooli": "growing"}, BEGINS)
    await deployment.publish([*events("acme", "2026-10-04 10:00", 15), *events("hooli", "2026-10-04 10:00", 9)])
    await deployment.tick(CROSSED)
    assert await deployment.until(lambda: dying.exit_code, "the worker dies before it asks") == -9
    dying = deployment.worker("billing", crash_at=f"{Step.THRESHOLD}:after:1", instance="billing")
    assert await deployment.until(lambda: dying.exit_code, "the worker dies once it has asked") == -9
    deployment.worker("billing", instance="billing")
    asked = (
        "SELECT accepted, uniqExact(request_id) FROM command_outcomes WHERE command = 'bill_interim' GROUP BY accepted"
    )
    await deployment.until(lambda: deployment.rows(asked), "the interim invoice is asked for")
    await deployment.tick(BILLED)
    (interim,) = await deployment.invoices(1)
    assert (interim.customer, interim.interim, interim.totals.total) == ("acme", True, D("18.00"))
    # 9 calls of hooli, and 4 of 31 days of both fees; the calls of acme are billed.
    accrued = await tally.json("ledger", "trial-balance", "--open-usage")
    assert [(each["book"], each["debit"], each["credit"]) for each in accrued["balances"]] == [
        ("receivable", "18", ""), ("revenue", "", "26.58"), ("tax", "", "3"), ("unbilled_revenue", "11.58", ""),
    ]  # fmt: skip
    await deployment.publish(events("acme", "2026-10-20 10:00", 7))
    await deployment.tick(moment("2026-11-01 06:00"))
    _, *finals = await deployment.invoices(3)
    assert deployment.rows(asked) == [(True, 1)]
    assert [(each.customer, each.totals.total, each.totals.deducted, each.totals.amount_due) for each in finals] == [
        ("acme", D("38.40"), D("18.00"), D("20.40")), ("hooli", D("30.00"), D("0"), D("30.00")),
    ]  # fmt: skip
    # acme's 32.00 are above the commitment of its plan; hooli's fee and usage are 19.00 of 25.00, plus 20 % tax.
    assert [(each.rated.charge, each.amount) for each in finals[1].lines] == [
        ("fee", D("10.00")), ("use", D("9.00")), ("commitment", D("6.00")),
    ]  # fmt: skip
    assert "minimum 25 of a whole period, reached 19.00" in await tally.said("invoice", str(finals[1].number))
    assert [(each.document, each.net, each.tax) for each in finals[0].deductions] == [
        (interim.id, D("15.00"), D("3.00")),
    ]  # fmt: skip
    looks = LedgerLooks(deployment.db)
    assert looks.faults() == []
    assert {book: amount for _, book, amount in looks.trial_balance("acme")} == {
        "receivable": D("38.40"), "revenue": D("-32.00"), "tax": D("-6.40"),
    }  # fmt: skip
    assert deployment.rows("SELECT sum(tax) FROM v_tax WHERE customer = 'acme'") == [(D("6.40"),)]
    assert "billed before, to 2026-10-05: net 15.00, tax 3.00" in await tally.said("invoice", str(finals[0].number))
    public = (await tally.json("keys", "create"))["public_key"]
    for invoice, counted in ((interim, 15), (finals[0], 22)):
        file = f"{invoice.number}.json"
        await tally.json("evidence", str(invoice.number), "--out", file)
        found = await tally.json("verify", file, "--key", public)
        assert (found["verified"], found["events"]) == (True, counted)
    assert (await tally.json("explain", f"{interim.number}:use"))["groups"][0]["events"] == 15
    async with reading(deployment.settings) as readers:
        replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
        verdicts = await replayer.replay()
    assert len(verdicts) == 6
    assert [verdict for verdict in verdicts if not verdict.identical] == []
