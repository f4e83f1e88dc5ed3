"""Documents from draft to void on real services: holds, legal content, numbers, credit notes, answers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.commands import outcomes, send
from schemas.command import ActOnDocument, SetCustomer
from schemas.document_log import ActionKind
from tests.builders import events, moment
from tests.deployments import Deployment

pytestmark = pytest.mark.services
D = Decimal
BEGINS, CLOSES = moment("2026-10-01 00:00"), moment("2026-11-01 06:00")
CATALOGUE = """
[issuer]
name = "Seller GmbH"
tax_ids = ["DE1"]
invoice_series = "R"
holds = { quantities = { calls = "100" } }

[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[tax_rates]]
id = "vat"
percentages = [{ percentage = "21" }]

[[plans]]
id = "p"
currency = "EUR"
anchor = "calendar"
tax_rates = ["vat"]
payment_terms = "30 d"
rate_cards = [
  { id = "fee", price = { model = "flat", amount = "10.00" } },
  { id = "use", meter = "calls", price = { model = "per_unit", unit_price = "0.10" } },
]
"""


async def act(deployment: Deployment, action: ActionKind, customer: str, document: str, request: str = "") -> str:
    """Hands in an action; empty if it was accepted, else why not."""
    command = ActOnDocument(
        request_id=request or f"{action} {document}", actor="test", reason="a test", customer=customer, action=action,
        document_id=document,
    )  # fmt: skip
    sent = await send(deployment.logs, [command])
    (outcome,) = await deployment.watching(outcomes(deployment.logs, sent, within_s=60))
    assert outcome is not None
    return "" if outcome.accepted else outcome.detail


async def test_a_document_from_hold_to_void_each_transition_once_and_in_order(deployment: Deployment) -> None:
    deployment.line()
    await deployment.apply(CATALOGUE)
    await deployment.begin(BEGINS)
    await deployment.subscribe({"a": "p", "b": "p", "c": "p"}, BEGINS)
    named = SetCustomer(request_id="n", actor="test", reason="", customer="a", name="A & Co", address=("Road 1",))
    await send(deployment.logs, [named])
    for customer, calls in (("a", 5), ("b", 101), ("c", 200)):
        await deployment.publish(events(customer, "2026-10-05 10:00", calls))
    await deployment.tick(CLOSES)
    # b and c wait for a person, and hold up nobody.
    (first,) = await deployment.invoices(1)
    assert (first.customer, first.number, first.status) == ("a", "R-000001", "open")
    assert first.seller is not None
    assert first.buyer is not None
    assert (first.seller.name, first.buyer.name, first.buyer.address) == ("Seller GmbH", "A & Co", ("Road 1",))
    assert f"{first.due_at:%Y-%m-%d}" == "2026-12-01"
    waiting = deployment.rows(
        "SELECT customer, toString(document_id), held FROM v_invoices WHERE notEmpty(held) ORDER BY 1"
    )
    assert [(row[0], row[2]) for row in waiting] == [
        ("b", ["quantity of calls: 101 is more than 100"]), ("c", ["quantity of calls: 200 is more than 100"]),
    ]  # fmt: skip
    later = moment("2026-11-03 12:00")
    await deployment.tick(later)
    await deployment.stage.clock_everywhere(deployment.last, _wait())  # type: ignore[arg-type]
    held = {row[0]: row[1] for row in waiting}
    assert (
        await act(deployment, "void", "b", held["b"])
        == "invoice: is a draft; only a final invoice can be credited or voided"
    )
    nowhere = "6a1f0c8e-8f53-5d0e-9b1c-2d4f7a3b9c10"
    assert await act(deployment, "void", "a", nowhere) == f"document: no {nowhere}"
    assert await act(deployment, "void", "a", "INV") == "document: no INV"
    assert await act(deployment, "release", "b", held["b"]) == ""
    assert await act(deployment, "reject", "c", held["c"]) == ""
    assert await act(deployment, "reissue", "a", first.id) == ""
    assert await act(deployment, "void", "a", first.id) == "invoice: is void already"
    assert await act(deployment, "void", "a", first.id) == "invoice: is void already"  # the same request again
    found = deployment.rows(
        "SELECT number, kind, status, customer, total, open_amount, issued_at FROM v_invoices ORDER BY number"
    )
    assert [row[:6] for row in found] == [
        ("", "invoice", "rejected", "c", D("36.30"), D(0)),
        ("CN-000001", "credit_note", "issued", "a", D("12.71"), D(0)),
        ("R-000001", "invoice", "voided", "a", D("12.71"), D(0)),
        ("R-000002", "invoice", "open", "b", D("24.32"), D("24.32")),
        ("R-000003", "invoice", "open", "a", D("12.71"), D("12.71")),
    ]
    assert [row[6] for row in found if row[0] > "CN" and row[0] != "R-000001"] == [later] * 3
    published = await deployment.announced()
    assert [each["type"] for each in published if each["subject"] == "a"] == [
        "tally.invoice.finalized.v1", "tally.credit_note.issued.v1", "tally.invoice.voided.v1",
        "tally.invoice.finalized.v1",
    ]  # fmt: skip
    assert len({each["id"] for each in published}) == len(published) == 6
    # What c's rejected draft billed counts as not issued: its next run bills October anew, once its usage is mended.
    states = "SELECT JSONExtractRaw(state, 'disregarded') FROM customers FINAL WHERE customer = 'c'"
    await deployment.until(lambda: deployment.rows(states)[0][0] != "[]", "the state knows of the rejection")


def _wait() -> object:
    from agents.cli.screen import Wait

    return Wait("clock", None, "")
