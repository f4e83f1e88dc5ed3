"""An invoice for a person: each line, below it what it is made of, and totals that say something."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agents.cli.invoice_table import line_rows, number, title, total_rows
from agents.cli.names import near
from agents.cli.replaying import json_differences, text_differences
from pipeline.documents.invoicing import invoice_of
from pipeline.rating.charge_lines import Usage
from schemas.catalogue_entry import MeterEntry, PlanEntry, catalogue_of
from schemas.credit import CreditUse
from schemas.customer_state import DuePeriod, PeriodClosed
from schemas.discount import DiscountPart
from schemas.invoice import Invoice
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import Plan
from schemas.tick import Tick, Vector
from tests.builders import finalized

D = Decimal
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
CALLS = MeterEntry.of(
    Meter.model_validate({"id": "calls", "event_types": ["call"], "aggregation": "count", "unit": "calls",
                          "group_by": ["region"]})
)  # fmt: skip
TIERS = [{"up_to": "10"}, {"up_to": "20", "unit_price": "0.50", "flat_fee": "1.00"}, {"unit_price": "0.25"}]


def invoice(*usage: Usage, price: dict[str, object] | None = None, number: int | None = 3) -> Invoice:
    """The invoice of one line, for usage of calls at the tiers above."""
    card = {"id": "calls", "name": "Calls", "meter": "calls", "price": price or {"model": "graduated", "tiers": TIERS}}
    plan = Plan.model_validate({"id": "p", "currency": "EUR", "rate_cards": [card]})
    entry = PlanEntry.of(plan, {"calls": CALLS.version})
    due = DuePeriod(
        subscription="s", plan=entry.name, plan_version=entry.version, currency="EUR", time_zone="UTC", period=OCTOBER,
        service=OCTOBER,
    )  # fmt: skip
    tick = Tick(number=7, time=OCTOBER.end, clock="test", vector=Vector())
    closed = PeriodClosed(
        close_id="0", customer="acme", revision=0, tick=tick, periods=(due,), usage_rows=1, events=1, fingerprint="1-0"
    )
    (draft,) = invoice_of(closed, {("s", "calls", OCTOBER): usage}, catalogue_of([CALLS, entry]))
    return draft if number is None else finalized(draft, number)


def test_a_tiered_line_shows_units_price_fee_and_exact_amount_of_each_tier_that_was_entered() -> None:
    found = invoice(Usage(("eu",), D(15), 15), Usage((None,), D("6.5"), 7))
    assert line_rows(found) == [
        ("Calls", "21.5", "calls", "", "", "6.375", "6.38"),
        ("  region eu", "15", "calls", "", "", "", ""),
        ("  region –", "6.5", "calls", "", "", "", ""),
        ("    0 to 10", "10", "calls", "0", "", "0", ""),
        ("    10 to 20", "10", "calls", "0.5", "1", "6", ""),
        ("    from 20", "1.5", "calls", "0.25", "", "0.375", ""),
    ]


def test_a_line_with_one_price_has_it_beside_its_quantity() -> None:
    found = invoice(Usage((None,), D(1200), 1200), price={"model": "per_unit", "unit_price": "0.001"})
    assert line_rows(found)[0] == ("Calls", "1,200", "calls", "0.001", "", "", "1.20")


def test_values_that_the_meter_cannot_use_are_named_below_their_line() -> None:
    found = invoice(Usage((None,), D(1), 3, invalid_events=2))
    assert line_rows(found)[-1][0] == "  2 events without a usable value are not in the quantity"


def test_totals_without_discount_tax_and_credits_are_one_row() -> None:
    found = invoice(Usage((None,), D(12), 12))
    assert list(total_rows(found)) == [("total", "", "", "", "", "", "2.00 EUR")]
    used = (CreditUse("welcome", "payment", D("0.50"), D("9.50")),)
    credited = found.totals.model_copy(update={"credits_applied": D("0.50"), "amount_due": D("1.50")})
    rows = list(total_rows(found.model_copy(update={"totals": credited, "credits": used})))
    assert [(row[0], row[-1]) for row in rows] == [
        ("total", "2.00 EUR"), ("credits", "-0.50"), ("amount due", "1.50 EUR"),
        ("  welcome: 0.50 as payment, 9.50 left", ""),
    ]  # fmt: skip


def test_what_a_discount_takes_off_a_line_stands_below_it() -> None:
    found = invoice(Usage((None,), D(12), 12))
    (line,) = found.lines
    reduced = line.model_copy(update={"discounts": (DiscountPart("launch", D("0.20")),)})
    rows = line_rows(found.model_copy(update={"lines": (reduced,)}))
    assert rows[-1] == ("  discount launch", "", "", "", "", "", "-0.20")


def test_a_draft_is_named_by_its_id_and_a_final_invoice_by_its_number() -> None:
    draft = invoice(number=None)
    assert title(draft).startswith(f"draft {draft.id[:8]}  acme  2026-10-01 to 2026-11-01")
    assert title(invoice()).startswith("INV-000003  acme")


@pytest.mark.parametrize(
    ("value", "text"),
    [("0E-12", "0"), ("1234567.500", "1,234,567.5"), ("1E+3", "1,000"), ("-0.0000025", "-0.0000025"), ("-0", "0")],
)
def test_a_number_is_read_without_exponent_and_trailing_zeros(value: str, text: str) -> None:
    assert number(D(value)) == text


def test_two_documents_differ_where_their_json_differs_by_path() -> None:
    one = {"lines": [{"amount": "1.00", "name": "a"}, {"amount": "2.00"}], "total": "3.00"}
    other = {"lines": [{"amount": "1.00", "name": "b"}, {"amount": "2.50"}], "total": "3.00", "extra": None}
    assert list(json_differences(one, other)) == [
        "extra: stored nothing, replayed null",
        'lines[0].name: stored "a", replayed "b"',
        'lines[1].amount: stored "2.00", replayed "2.50"',
    ]
    assert list(json_differences(one, one)) == []
    assert list(json_differences({"lines": [1]}, {"lines": [1, 2]})) == ["lines: stored [1], replayed [1, 2]"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("acne", "; did you mean acme?"), ("ACME", "; did you mean acme?"), ("inv-00003", "; did you mean INV-000003?"),
     ("zzz", "")],
)  # fmt: skip
def test_names_that_are_like_one_are_offered(name: str, said: str) -> None:
    assert near(name, ("acme", "INV-000003")) == said


def test_documents_of_equal_content_are_not_identical_in_other_bytes() -> None:
    assert list(text_differences('{"a":1,"b":2}', '{"a":1,"b":2}')) == []
    (said,) = text_differences('{"a":1,"b":2}', '{"b":2,"a":1}')
    assert said.startswith("the same content in other bytes")


def test_an_invoice_of_one_changed_quantity_is_another_document() -> None:
    one, other = (invoice(Usage((None,), value, 12)).model_dump(mode="json") for value in (D(12), D(13)))
    paths = {said.split(":")[0] for said in json_differences(one, other)}
    assert {"lines[0].rated.quantity", "lines[0].amount", "totals.total"} <= paths
