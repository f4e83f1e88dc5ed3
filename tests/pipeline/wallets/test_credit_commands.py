"""rating.md §6: credits as commands on a customer, and the invoice of a sale of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pipeline.documents.invoicing import NO_TERMS, Terms, invoices_of
from pipeline.wallets.credit_commands import credit_action
from schemas.catalogue_entry import CouponEntry, PlanEntry
from schemas.command import COMMAND_RECORD, CommandOutcome, TickCopy
from schemas.credit import CreditGrant
from schemas.discount import Coupon, Discount
from schemas.invoice import Invoice
from schemas.plan import Plan
from schemas.tax import TaxRate
from tests.pipeline.billing import CALLS, Billing, at, fee, plan

D = Decimal
DUNNING = {"days": [0, 3], "at_end": "cancel"}
VAT = TaxRate.model_validate({"id": "vat", "percentages": [{"percentage": "20"}]})
PLAIN, DUNNED = plan("plain", fee("31.00")), plan("dunned", fee("31.00"), dunning=DUNNING)


def taxed(**more: Any) -> PlanEntry:
    found = {"id": "taxed", "currency": "EUR", "tax_rates": ["vat"], "rate_cards": [fee("31.00")], **more}
    return PlanEntry.of(Plan.model_validate(found), {"calls": CALLS.version}, [VAT])


TAXED, INCLUSIVE = taxed(dunning=DUNNING), taxed(id="inclusive", tax_behavior="inclusive")


def on(name: str) -> Billing:
    """`acme` on a plan, its first fee billed."""
    life = Billing([PLAIN, DUNNED, TAXED, INCLUSIVE])
    life.do("subscribe", plan=name, starts_at="2027-01-01T00:00Z")
    life.tick("2027-01-02")
    return life


def invoice(life: Billing, terms: Terms = NO_TERMS) -> Invoice:
    """The invoice of the last run."""
    closed, runs = life.closes[-1]
    (made,) = invoices_of(closed, runs, life.catalogue, terms)
    return made


def test_a_sale_of_credits_has_an_invoice_of_its_own_due_at_once_and_ends_no_service() -> None:
    life = on("dunned")
    life.do("top_up", amount="50.00")
    assert life.tick("2027-01-03") == [("r1-top_up", "01-02/01-02", "50.00")]
    gift = CreditGrant.model_validate(
        {"id": "g", "amount": "9.00", "currency": "EUR", "effective_at": at("2026-01-01"), "treatment": "payment"}
    )
    off = Discount.model_validate({"id": "d", "type": "percentage", "value": "10"})
    made = invoice(life, Terms(discounts=[off], grants=[gift]))
    assert (made.totals.amount_due, made.totals.tax, made.credits) == (D("50.00"), 0, ())
    assert (made.terms.payment_days, [line.subscription for line in made.lines]) == (0, [""])
    assert made.terms.dunning is not None
    assert (made.terms.dunning.days, made.terms.dunning.at_end) == ((0, 3), "leave")


def test_a_sale_stands_apart_from_the_fees_of_the_same_run() -> None:
    life = on("dunned")
    life.do("top_up", amount="50.00")
    life.tick("2027-02-01")
    _, runs = life.closes[-1]
    assert sorted((run.sells_credits, len(run.debits)) for run in runs) == [(False, 1), (True, 1)]


def test_a_sale_is_taxed_on_request_and_where_nobody_collects_there_is_time_to_pay() -> None:
    life = on("taxed")
    life.do("top_up", amount="50.00", taxed=True)
    life.tick("2027-01-03")
    assert (invoice(life).totals.net, invoice(life).totals.tax) == (D("50.00"), D("10.00"))
    life = on("plain")
    life.do("top_up", amount="50.00")
    life.tick("2027-01-03")
    assert (invoice(life).terms.payment_days, invoice(life).terms.dunning) == (14, None)


def test_a_coupon_is_not_used_up_by_a_sale_of_credits() -> None:
    discount = {"id": "c", "name": "C", "type": "percentage", "value": "10"}
    entry = CouponEntry.of(Coupon.model_validate(discount))
    life = Billing([DUNNED], coupons=[entry])
    life.do("subscribe", plan="dunned", starts_at="2027-01-01T00:00Z")
    life.do("redeem_coupon", coupon="c", coupon_version=entry.version, times=1)
    life.do("top_up", amount="50.00")
    life.state = life.state.model_copy(update={"subscriptions": ()})  # nothing else is due
    life.tick("2027-01-02")
    assert [one.left for one in life.state.coupons] == [1]


@pytest.mark.parametrize(
    ("name", "command", "fields", "refusal"),
    [
        ("plain", "grant_credit", {"amount": "5.001"}, "must be rounded to the minor units of EUR"),
        ("plain", "grant_credit", {"amount": "5", "applies_to": ["fees"]}, "applies_to[0]: no charge 'fees'"),
        ("plain", "grant_credit", {"amount": "5", "reason": " "}, "must say why"),
        ("plain", "revoke_credit", {"grant": "x"}, "acme has no x"),
        ("plain", "top_up", {"amount": "5", "taxed": True}, "no plan of the customer in that currency has taxes"),
        ("inclusive", "top_up", {"amount": "5", "taxed": True}, "prices of the plan include tax"),
        ("plain", "top_up", {"amount": "5", "currency": "EURO"}, "EURO"),
        ("plain", "set_recharge", {"below": "5", "amount": "5"}, "no plan of the customer has dunning"),
        ("dunned", "set_recharge", {"amount": "5"}, "below: is missing"),
        ("dunned", "set_recharge", {"below": "5"}, "amount: is missing"),
        ("dunned", "set_recharge", {"below": "5", "amount": "5", "per_day": "4.99"}, "per_day: must be at least"),
        ("plain", "settle_top_up", {"grant": "x", "document_id": "d"}, "acme has no x"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_and_the_reason(
    name: str, command: str, fields: dict[str, Any], refusal: str
) -> None:
    assert refusal in on(name).ask(command, **fields)


def test_a_grant_that_was_paid_for_is_revoked_only_with_a_word_on_the_money() -> None:
    life = on("plain")
    life.do("grant_credit", amount="5", funding="paid", request_id="paid")
    life.do("grant_credit", amount="5", request_id="free")
    assert "paid was paid for" in life.ask("revoke_credit", grant="paid")
    assert "no money to send back" in life.ask("revoke_credit", grant="free", revoking="refunded")
    life.do("revoke_credit", grant="paid", revoking="forfeited")
    life.do("revoke_credit", grant="free")
    assert life.state.grants == ()


def test_credit_that_comes_back_while_its_money_is_away_is_there_when_it_is_paid_again() -> None:
    life = on("plain")
    terms = CreditGrant.model_validate({"id": "t", "amount": "50", "currency": "EUR", "effective_at": at("2027-01-02")})
    life.do("settle_top_up", grant="t", document_id="d", terms=terms.model_dump(mode="json"))
    life.do("settle_top_up", grant="t", document_id="d", request_id="away")
    assert (life.state.grants, [one.id for one in life.state.withdrawn]) == ((), ["t"])
    life.do("restore_credit", grant="t", document_id="n", amount="4")
    life.do("settle_top_up", grant="t", document_id="d", request_id="again", terms=terms.model_dump(mode="json"))
    assert ([(one.id, one.returned) for one in life.state.grants], life.state.withdrawn) == ([("t", D(4))], ())


def test_an_accepted_command_has_its_place_in_the_books() -> None:
    life = on("dunned")
    asked = {"request_id": "r", "actor": "ann", "reason": "why", "customer": "acme"}
    outcome = CommandOutcome(
        **asked, command="top_up", accepted=True, tick=life.number, partition=3, offset=41
    )  # fmt: skip
    for fields, wanted in (
        ({"command": "top_up", "amount": "50", "valid_days": 30}, ("order", "50")),
        ({"command": "set_recharge", "below": "5", "amount": "20"}, ("recharge_rule", "20")),
        ({"command": "redeem_coupon", "coupon": "c", "coupon_version": "1"}, None),
    ):
        record = COMMAND_RECORD.validate_python({**asked, **fields})
        assert not isinstance(record, TickCopy)
        action = credit_action(record, life.state, life.clock, outcome)
        if action is None:
            assert wanted is None
            continue
        terms = action.order or action.rule
        assert terms is not None
        assert (action.action, str(terms.amount)) == wanted
        assert (action.partition, action.offset, action.time) == (3, 41, life.now)
        assert terms.at == life.now
