"""A close becomes an invoice: rating.md §7 on frozen usage, §8 identity."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from pipeline.documents.document_keys import dimension_group, document_id, line_id, number_text
from pipeline.documents.invoicing import NO_TERMS, Terms, UsageByMeter, invoice_of
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import Catalogue, MeterEntry, PlanEntry, catalogue_of
from schemas.credit import CreditGrant
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.discount import Discount
from schemas.invoice import Invoice
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tax import Exemption, TaxRate
from schemas.tick import Tick, Vector
from tests.builders import finalized

D = Decimal
JUNE = Period(datetime(2027, 5, 31, 22, tzinfo=UTC), datetime(2027, 6, 30, 22, tzinfo=UTC))
TOKENS = Meter.model_validate(
    {"id": "tokens", "event_types": ["call"], "aggregation": "sum", "value": "tokens", "group_by": ["model"]}
)
VAT = TaxRate.model_validate({
    "id": "vat",
    "percentages": [{"percentage": "20"}, {"percentage": "22", "effective_from": "2027-07-01"}],
})  # fmt: skip
REDUCED = TaxRate.model_validate({"id": "reduced", "percentages": [{"percentage": "9"}]})
FEE = {"id": "fee", "price": {"model": "flat", "amount": "49.00"}}
USE = {"id": "use", "meter": "tokens", "price": {"model": "per_unit", "unit_price": "0.015"}}


def plan(*cards: dict[str, Any], **fields: Any) -> PlanEntry:
    found = {"id": "team", "currency": "EUR", "tax_rates": ["vat"], "rate_cards": list(cards) or [FEE, USE]} | fields
    return PlanEntry.of(Plan.model_validate(found), {"tokens": MeterEntry.of(TOKENS).version}, [VAT, REDUCED])


def close(*entries: PlanEntry) -> tuple[PeriodClosed, Catalogue]:
    dues = tuple(
        DuePeriod(
            subscription=f"s{index}",
            plan=entry.name,
            plan_version=entry.version,
            currency=entry.plan.currency,
            time_zone="Europe/Berlin",
            period=JUNE,
            service=JUNE,
        )
        for index, entry in enumerate(entries)
    )
    tick = Tick(number=7, time=datetime(2027, 7, 1, 4, tzinfo=UTC), clock="test", vector=Vector())
    closed = PeriodClosed(
        close_id="close", customer="acme", revision=0, tick=tick, periods=dues, usage_rows=1, events=3, fingerprint="0"
    )
    return closed, catalogue_of([MeterEntry.of(TOKENS), *entries])


def bill(*entries: PlanEntry, usage: UsageByMeter | None = None, terms: Terms = NO_TERMS) -> Invoice:
    closed, catalogue = close(*entries)
    default: UsageByMeter = {("s0", "tokens", JUNE): [Usage(("large",), D(1001), 3)]}
    (invoice,) = invoice_of(closed, default if usage is None else usage, catalogue, terms)
    return invoice


def amounts(invoice: Invoice) -> list[tuple[str, str, str, str, str]]:
    return [
        (line.rated.charge, *(f"{each:f}" for each in (line.amount, line.discount, line.net, line.tax)))
        for line in invoice.lines
    ]


def test_an_invoice_has_lines_tax_per_rate_and_the_amount_due() -> None:
    invoice = bill(plan())
    # 1001 x 0.015 = 15.015 → 15.02; 64.02 at 20 % is 12.804 → 12.80.
    assert amounts(invoice) == [("fee", "49.00", "0.00", "49.00", "9.80"), ("use", "15.02", "0.00", "15.02", "3.00")]
    assert json.loads(invoice.totals.model_dump_json()) == {
        "subtotal": "64.02", "discount_total": "0.00", "net": "64.02", "tax": "12.80",
        "tax_by_rate": [{"percentage": "20", "exemption": None, "taxable": "64.02", "tax": "12.80"}],
        "total": "76.82", "credits_applied": "0.00", "amount_due": "76.82",
    }  # fmt: skip


def test_june_has_the_rate_of_june_though_it_is_billed_in_july_and_a_fee_in_advance_that_of_its_first_day() -> None:
    assert [tax.percentage for line in bill(plan()).lines for tax in line.taxes] == [20, 20]
    july = Period(JUNE.end, datetime(2027, 7, 31, 22, tzinfo=UTC))
    closed, catalogue = close(plan(FEE))
    due = closed.periods[0].model_copy(update={"period": july, "service": july})
    (later,) = invoice_of(closed.model_copy(update={"periods": (due,)}), {}, catalogue)
    assert [tax.percentage for line in later.lines for tax in line.taxes] == [22]
    spanning = Period(JUNE.start, july.end)
    arrears, advance = FEE | {"id": "arrears"}, FEE | {"id": "advance", "timing": "advance"}
    closed, catalogue = close(plan(arrears, advance))
    due = closed.periods[0].model_copy(update={"period": spanning, "service": spanning})
    (both,) = invoice_of(closed.model_copy(update={"periods": (due,)}), {}, catalogue)
    assert [tax.percentage for line in both.lines for tax in line.taxes] == [22, 20]


def test_the_taxes_of_a_charge_override_those_of_its_plan() -> None:
    invoice = bill(plan(FEE | {"tax_rates": ["reduced"]}, USE))
    assert [[tax.id for tax in line.taxes] for line in invoice.lines] == [["reduced"], ["vat"]]
    assert [(group.percentage, group.tax) for group in invoice.totals.tax_by_rate] == [(9, D("4.41")), (20, D("3.00"))]


def test_a_plan_without_taxes_has_none() -> None:
    invoice = bill(plan(tax_rates=[]))
    assert (invoice.totals.tax_by_rate, invoice.totals.total) == ((), D("64.02"))


def test_a_plan_whose_prices_include_tax_is_paid_as_quoted() -> None:
    invoice = bill(plan(FEE, tax_behavior="inclusive"), usage={})
    assert (invoice.totals.net, invoice.totals.tax, invoice.totals.total) == (D("40.83"), D("8.17"), D("49.00"))
    assert amounts(invoice) == [("fee", "49.00", "0.00", "40.83", "8.17")]


def test_discounts_credits_and_exemptions_are_terms_of_the_customer() -> None:
    coupon = Discount(id="autumn", type="percentage", value=D(10))
    grant = CreditGrant.model_validate(
        {"id": "prepaid", "amount": "20.00", "currency": "EUR", "effective_at": JUNE.start, "expires_at": JUNE.end}
    )
    invoice = bill(plan(), terms=Terms(discounts=[coupon], grants=[grant]))
    assert (invoice.totals.discount_total, invoice.totals.net, invoice.totals.tax) == (
        D("6.40"),
        D("57.62"),
        D("11.52"),
    )
    assert (invoice.totals.credits_applied, invoice.totals.amount_due) == (D("20.00"), D("49.14"))
    assert [(use.grant, use.used, use.left) for use in invoice.credits] == [("prepaid", D("20.00"), D("0.00"))]
    exempt = bill(plan(), terms=Terms(exemption=Exemption.REVERSE_CHARGE))
    assert [(group.percentage, group.exemption) for group in exempt.totals.tax_by_rate] == [
        (0, Exemption.REVERSE_CHARGE)
    ]
    assert exempt.totals.total == D("64.02")


def test_the_document_survives_the_wire_to_the_same_bytes() -> None:
    grant = CreditGrant.model_validate({"id": "p", "amount": "5", "currency": "EUR", "effective_at": JUNE.start})
    coupon = Discount(id="autumn", type="percentage", value=D(10))
    for terms in (Terms(), Terms([coupon], [grant]), Terms(exemption=Exemption.EXPORT)):
        invoice = finalized(bill(plan(), terms=terms), 12)
        again = Invoice.model_validate_json(invoice.model_dump_json())
        assert (again, again.sha256()) == (invoice, invoice.sha256())


def test_the_same_close_gives_the_same_invoice() -> None:
    assert bill(plan()).sha256() == bill(plan()).sha256()
    assert bill(plan()).sha256() != bill(plan(FEE | {"price": {"model": "flat", "amount": "49.01"}}, USE)).sha256()


def test_currencies_are_separate_documents() -> None:
    closed, catalogue = close(plan(FEE), plan(FEE, id="scale", currency="USD"))
    invoices = invoice_of(closed, {}, catalogue)
    assert [(invoice.currency, invoice.totals.total) for invoice in invoices] == [
        ("EUR", D("58.80")),
        ("USD", D("58.80")),
    ]
    assert len({invoice.id for invoice in invoices}) == 2


def test_a_custom_unit_is_billed_in_its_own_decimals() -> None:
    fee = FEE | {"price": {"model": "flat", "amount": "1.23456"}}
    assert f"{bill(plan(fee, currency='TOK', minor_units=4)).totals.amount_due:f}" == "1.4815"


def test_a_plan_in_another_currency_is_billed_by_its_price_list() -> None:
    listed = {
        "currency": "JPY",
        "rate_cards": {
            "fee": {"price": {"model": "flat", "amount": "7900"}},
            "use": {"price": {"model": "per_unit", "unit_price": "2.4"}},
        },
    }
    closed, catalogue = close(plan(price_lists=[listed]))
    due = closed.periods[0].model_copy(update={"currency": "JPY"})
    usage: UsageByMeter = {("s0", "tokens", JUNE): [Usage(("large",), D(1001), 3)]}
    (invoice,) = invoice_of(closed.model_copy(update={"periods": (due,)}), usage, catalogue)
    # 1001 x 2.4 = 2402.4 → 2402 yen; 10302 at 20 % is 2060.4 → 2060.
    assert (invoice.currency, invoice.minor_units) == ("JPY", 0)
    assert amounts(invoice) == [("fee", "7900", "0", "7900", "1580"), ("use", "2402", "0", "2402", "480")]
    assert f"{invoice.totals.amount_due:f}" == "12362"


def test_an_invoice_that_asks_for_nothing_is_paid_at_once() -> None:
    free = FEE | {"price": {"model": "flat", "amount": "0"}}
    assert [finalized(bill(plan(card), usage={}), 1).status for card in (free, FEE)] == ["paid", "open"]
    assert finalized(bill(plan()), 12).number == "INV-000012"


def test_every_line_has_a_key_of_its_own() -> None:
    by_model = USE | {
        "price": {
            "model": "matrix",
            "prices": [{"match": {"model": ["large"]}, "unit_price": "2", "group_by": ["model"]}],
            "default_unit_price": "1",
            "default_group_by": ["model"],
        },
        "minimum": "9000.00",
    }
    usage = {("s0", "tokens", JUNE): [Usage((model,), D(5), 1) for model in ("large", "small", None)]}
    invoice = bill(plan(FEE, by_model), usage=usage)
    assert [line.rated.kind for line in invoice.lines] == ["fee", "usage", "usage", "usage", "top_up"]
    assert len({line.id for line in invoice.lines}) == 5


def test_keys_stand_for_what_is_billed_and_nothing_else() -> None:
    key = line_id("s", "fee", "v1", JUNE)
    assert key == line_id("s", "fee", "v1", JUNE)
    others = [
        line_id("s2", "fee", "v1", JUNE),
        line_id("s", "use", "v1", JUNE),
        line_id("s", "fee", "v2", JUNE),
        line_id("s", "fee", "v1", replace(JUNE, end=JUNE.end.replace(day=29))),
        line_id("s", "fee", "v1", JUNE, group=dimension_group("usage", {"model": "large"})),
        line_id("s", "fee", "v1", JUNE, group=dimension_group("top_up", {})),
        line_id("s", "fee", "v1", JUNE, adjusted=JUNE),
        line_id("s", "fee", "v1", JUNE, revision=1),
    ]
    assert len({key, *others}) == 9
    documents = [
        document_id("acme", "EUR", 7), document_id("acme", "USD", 7), document_id("acme", "EUR", 8),
        document_id("acme", "EUR", 7, "credit_note"), document_id("acme", "EUR", 7, group="s1"),
        document_id("acme", "EUR", 7, revision=1), document_id("other", "EUR", 7),
    ]  # fmt: skip
    assert len(set(documents)) == 7
    assert (number_text("INV", 1), number_text("CN", 1234567)) == ("INV-000001", "CN-1234567")


def test_a_tax_that_the_plan_version_did_not_freeze_is_an_error() -> None:
    entry = plan(FEE).model_copy(update={"tax_rates": ()})
    with pytest.raises(LookupError, match="no tax rate 'vat'"):
        bill(entry)
