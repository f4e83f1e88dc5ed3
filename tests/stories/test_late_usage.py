"""Usage after its period was closed, in all four policies; corrections and attributions take the same road."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from agents.cli.reading import reading
from agents.cli.replaying import Replayer
from tests.builders import event, events, moment, retraction
from tests.command_line import Tally
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


async def test_late_usage_after_final_in_all_four_policies(deployment: Deployment, tally: Tally) -> None:
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
    await deployment.publish(events("next-more", "2026-11-05 10:00", 2))  # on time, of the next month
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
        ("next-back", "invoice", D("10.20")), ("next-more", "invoice", D("10.40")),
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
    await _proven_to_the_record(deployment, tally)
    await _our_own_mistake(deployment, tally)
    async with reading(deployment.settings) as readers:
        replayer = Replayer(readers.billing, readers.documents, readers.lines, readers.looks, readers.catalogue)
        verdicts = await replayer.replay()
    assert [verdict for verdict in verdicts if not verdict.identical] == []


async def _proven_to_the_record(deployment: Deployment, tally: Tally) -> None:
    """A note and an adjustment invoice: explained down to the records that caused them, proven in signed files."""
    documents = "SELECT number FROM v_invoices WHERE customer = {customer:String} ORDER BY invoice_tick DESC, subtotal"
    note, adjustment = (
        str(deployment.rows(documents, {"customer": customer})[0][0]) for customer in ("less-back", "own-more")
    )
    billed = str(deployment.rows(documents, {"customer": "less-back"})[-1][0])
    listed = await tally.json("explain", note)
    gives_back = {"invoice": billed, "line": 2, "billed": "1.00", "taken_before": "0"}
    assert [(line["charge"], line["gross"], line["gives_back"]) for line in listed["lines"]] == [
        ("use", "0.10", gives_back)
    ]
    found = await tally.json("explain", f"{note}:use")
    (cause,) = found["late"]["causes"]
    assert (cause["what"], cause["id"], cause["time"]) == ("retraction", "less-back wrong", "2026-10-06T10:00:00+00:00")
    log = {f"usage.events/{record.partition}/{record.offset}": record.value or b""
           for record in await deployment.records("usage.events")}  # fmt: skip
    assert json.loads(log[cause["position"]])["id"] != cause["id"]
    assert b"less-back wrong" in log[cause["position"]]
    (given,) = found["given_back"]
    assert (given["amount"], given["rated"]["quantity"], given["rated"]["previous"]["gross"]) == ("0.10", "9", "1.00")
    assert [(day["start"][:10], day["events"]) for day in given["days"]] == [("2026-10-05", 9)]
    assert "owed now 0.90 for 2026-10-01 to 2026-11-01, billed before 1.00" in await tally.said("explain", f"{note}:1")

    assert "0.10 set off against the invoice of the same run" in await tally.said("invoice", note)
    public = (await tally.json("keys", "create"))["public_key"]
    for number, counted in ((note, 9), (adjustment, 15)):
        await tally.json("evidence", number, "--out", f"{number}.json")
        proof = await tally.json("verify", f"{number}.json", "--key", public)
        assert (proof["document"], proof["verified"], proof["events"]) == (number, True, counted)
    assert f"corrects {billed}" in await tally.said("verify", f"{note}.json", "--key", public)
    file = tally.folder / f"{note}.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["events"].pop()
    file.write_text(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
    assert "events: partition" in await tally.refused("verify", file.name, "--key", public, code=5)


async def _our_own_mistake(deployment: Deployment, tally: Tally) -> None:
    """October should have cost 0.20 a call: shown per customer, handed in once and again, billed once."""
    await deployment.apply(CATALOGUE.replace('"0.10"', '"0.20"'))
    await deployment.tick(moment("2026-12-02 00:00"))
    asked = ("rerate", "--period", "2026-10", "--plan", "next")
    shown = await tally.json(*asked)
    assert shown["applied"] is False
    differences = {one["customer"]: D(one["difference"]) for one in shown["customers"]}
    assert differences == {"next-back": D("1.20"), "next-more": D("1.50")}
    assert deployment.rows("SELECT count() FROM command_outcomes FINAL WHERE command = 'rerate'") == [(0,)]
    by_meter = await tally.json("rerate", "--period", "2026-10", "--meter", "calls")
    assert {one["customer"] for one in by_meter["customers"]} >= differences.keys()
    assert "must say why" in await tally.refused(*asked, "--apply")
    for _ in range(2):  # as after an interruption: the batch is the same, and is billed once
        done = await tally.json(*asked, "--apply", "--reason", "the price list was wrong")
        assert (done["batch"], done["refused"]) == (shown["batch"], [])
    await deployment.tick(moment("2026-12-02 06:00"))
    found = (
        "SELECT customer, toString(subtotal) FROM v_invoices "
        "WHERE invoice_tick = (SELECT max(number) FROM ticks) AND number != '' ORDER BY customer"
    )
    await deployment.until(lambda: len(deployment.rows(found)) == 2, "the differences are final")
    billed = [(customer, D(amount)) for customer, amount in deployment.rows(found)]
    assert billed == sorted(differences.items())
