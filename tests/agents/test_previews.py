"""`tally invoice-preview`: requests as programs write them, answers and faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents.contract import json_schemas
from agents.previews import answer, answers

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples" / "invoice-preview.jsonl"
JUNE = {"start": "2027-06-01T00:00:00Z", "end": "2027-07-01T00:00:00Z"}
CARD = {"id": "use", "meter": "calls", "price": {"model": "per_unit", "unit_price": "0.45"}}


def told(*charges: dict[str, Any], **fields: Any) -> Any:
    return json.loads(answer(json.dumps({"currency": "EUR", "period": JUNE, "charges": charges} | fields)))


def faults(*charges: dict[str, Any], **fields: Any) -> list[str]:
    return [f"{fault['path']}: {fault['problem']}" for fault in told(*charges, **fields)["faults"]]


def test_the_examples_are_valid_and_come_to_what_the_rules_say() -> None:
    schema = jsonschema.Draft202012Validator(json.loads(json_schemas()["invoice-preview.schema.json"]))
    requests = EXAMPLES.read_text(encoding="utf-8").splitlines()
    assert [error.message for request in requests for error in schema.iter_errors(json.loads(request))] == []
    found = [json.loads(each) for each in answers(requests)]
    assert [each["invoice"]["totals"]["total"] for each in found] == [
        "58.23", "108.10", "120.00", "100.00", "32.25", "120.00",
    ]  # fmt: skip
    assert found[2]["invoice"]["totals"]["net"] == "100.84"
    assert found[3]["invoice"]["totals"]["tax_by_rate"] == [
        {"percentage": "0", "exemption": "reverse_charge", "taxable": "100.00", "tax": "0.00"}
    ]
    assert found[4]["set_off"] == {"set_off": "3.82", "due": "28.43", "credited": "0.00"}


def test_usage_is_rated_discounted_taxed_and_paid_by_credits() -> None:
    example = json.loads(answer(EXAMPLES.read_text(encoding="utf-8").splitlines()[1]))["invoice"]
    # 1000 x 0.02 + 1500 x 0.015 = 42.50; 120 x 0.05 and 30 x 0.09; 10 % of 51.20 is 5.12; the gift takes 5.00.
    assert [(line["charge"], line["amount"]) for line in example["lines"]] == [
        ("platform", "49.00"), ("requests", "42.50"), ("egress", "6.00"), ("egress", "2.70"),
    ]  # fmt: skip
    totals = example["totals"]
    assert (totals["subtotal"], totals["discount_total"], totals["net"]) == ("100.20", "10.12", "90.08")
    # June is taxed at 20 %, though July's rate is 22 %; 90.08 x 0.2 = 18.016, and 108.10 is paid by 50.00 first.
    assert (totals["tax"], totals["total"], totals["credits_applied"], totals["amount_due"]) == (
        "18.02", "108.10", "50.00", "58.10",
    )  # fmt: skip
    assert [(use["grant"], use["used"], use["left"]) for use in example["credits"]] == [
        ("gift", "5.00", "0.00"), ("prepaid", "50.00", "0.00"),
    ]  # fmt: skip
    assert example["lines"][1]["rated"]["tiers"][0]["units"] == "1000"


def test_what_the_charges_lack_to_the_commitment_of_the_plan_is_a_line_more() -> None:
    half = {"start": "2027-06-16T00:00:00Z", "end": "2027-07-01T00:00:00Z"}
    charges: list[dict[str, Any]] = [{"id": "fee", "amount": "20.00"}, {"rate_card": CARD, "usage": "10"}]

    def lines(**commitment: Any) -> list[tuple[str, str]]:
        invoice = told(*charges, commitment=commitment)["invoice"]
        return [(line["charge"], line["amount"]) for line in invoice["lines"]]

    assert lines(amount="100")[2:] == [("commitment", "75.50")]
    assert lines(amount="100", service=half)[2:] == [("commitment", "25.50")], "15 of 30 days"
    assert lines(amount="24.50")[2:] == []


def test_a_part_of_the_period_is_prorated() -> None:
    half = {"start": "2027-06-16T00:00:00Z", "end": "2027-07-01T00:00:00Z"}
    fee = {"id": "fee", "price": {"model": "flat", "amount": "49.00"}}
    assert told({"rate_card": fee, "service": half})["invoice"]["totals"]["total"] == "24.50"


@pytest.mark.parametrize(
    ("charges", "fields", "fault"),
    [
        ([], {"currency": "EUX"}, "currency: unknown code 'EUX'"),
        ([], {"currency": "EUR", "curency": "EUR"}, "curency: unknown key; did you mean 'currency'?"),
        ([], {"time_zone": "Mars"}, "time_zone: unknown zone 'Mars'"),
        ([], {"exemption": "gone"}, "exemption: must be 'reverse_charge'"),
        ([{"id": "a"}], {}, "charges[0].amount: is missing"),
        ([{"id": "a", "amount": "1.005"}], {}, "charges[0].amount: 1.005 is not rounded to 2 decimals"),
        ([{"id": "a", "amount": "x"}], {}, "charges[0].amount: must be a decimal"),
        ([{"usage": "5"}], {}, "charges[0].rate_card: is missing"),
        ([{"rate_card": CARD | {"price": {"model": "per_unit", "unit_price": "-1"}}, "usage": "5"}], {},
         "charges[0].rate_card.price.unit_price: must be at least 0"),
        ([{"rate_card": CARD, "usage": "5", "service": {"start": JUNE["start"], "end": "2027-07-02T00:00:00Z"}}], {},
         "charges[0].service: must lie within the period"),
        ([{"rate_card": CARD | {"price": {"model": "matrix", "prices": [
            {"match": {"region": ["eu"]}, "unit_price": "1"}]}},
           "usage": [{"quantity": "3", "values": {"region": "us"}}]}], {},
         "charges[0].usage: 3 units have no price: no entry matches region = us"),
        ([{"id": "commitment", "amount": "1"}], {"commitment": {"amount": "2"}},
         "commitment: a charge must not be called commitment: the true-up is"),
        ([{"id": "a", "amount": "1"}],
         {"commitment": {"amount": "2", "service": {"start": JUNE["start"], "end": "2027-07-02T00:00:00Z"}}},
         "commitment.service: must lie within the period"),
        ([{"id": "a", "amount": "1", "tax_rates": ["vat"]}], {},
         "charges[0].tax_rates[0]: no tax rate 'vat' in tax_rates"),
        ([{"id": "a", "amount": "1"}], {"default_tax_rates": ["vat"]},
         "default_tax_rates[0]: no tax rate 'vat' in tax_rates"),
        ([{"id": "a", "amount": "1"}],
         {"discounts": [{"id": "d", "type": "fixed", "value": "1", "applies_to": ["b"]}]},
         "discounts[0].applies_to[0]: no charge 'b'"),
        ([{"id": "a", "amount": "1"}], {"discounts": [{"id": "d", "type": "fixed", "value": "-1"}]},
         "discounts[0].value: must be at least 0"),
        ([{"id": "a", "amount": "1"}],
         {"grants": [{"id": "g", "amount": "1.005", "currency": "EUR", "effective_at": "2027-01-01T00:00:00Z"}]},
         "grants[0].amount: 1.005 is not rounded to 2 decimals"),
        ([{"id": "a", "amount": "1"}],
         {"grants": [{"id": "g", "amount": "1", "currency": "USD", "effective_at": "2027-01-01T00:00:00Z"}]},
         "grants[0].currency: must be EUR, not USD"),
    ],
)  # fmt: skip
def test_refused_requests(charges: list[dict[str, Any]], fields: dict[str, Any], fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(*charges, **fields)), faults(*charges, **fields)


def test_a_faulty_line_is_answered_and_the_others_go_on() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "agents.cli", "invoice-preview", "--jsonl"],
        input='{\n\n{"currency": "EUR", "period": ' + json.dumps(JUNE) + ', "charges": [{"id": "a", "amount": 0.1}]}\n',
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = (json.loads(each) for each in ran.stdout.splitlines())
    assert first["faults"][0]["problem"].startswith("is not JSON")
    assert second["invoice"]["totals"]["total"] == "0.10"
