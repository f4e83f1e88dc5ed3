"""What open periods come to so far: what the run of their end will bill, as far as it is served."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.closing.runs import accrued_dues
from schemas.customer_state import BillingRun
from tests.pipeline.billing import Billing, at, fee, plan, use

D = Decimal
CALLS = [("2027-01-05 10:00", 30), ("2027-01-20 10:00", 12), ("2027-02-03 10:00", 5)]


def accrued(billing: Billing, moment: str) -> Decimal:
    """Rated as a run would; the lines that were issued are deducted."""
    dues = tuple(accrued_dues(billing.state, at(moment)))
    run = BillingRun(customer="acme", tick=billing.clock, periods=dues)
    issued, closes, documents = billing.issued[:], billing.closes[:], billing.documents[:]
    found = billing._rated(run)
    billing.issued, billing.closes, billing.documents = issued, closes, documents
    return sum((line.amount for lines in found for line in lines.all), D(0))


def life(*cards: dict[str, object], **fields: object) -> Billing:
    billing = Billing([plan("p", *cards, **fields)], calls=CALLS)
    billing.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z")
    billing.tick("2027-01-01 00:00")
    return billing


@pytest.mark.parametrize(
    ("moment", "amount"),
    [
        ("2027-01-01 00:00", "0"),
        ("2027-01-05 10:00", "1.29"),  # 4 of 31 days of the fee; the calls come after it
        ("2027-01-06 00:00", "4.61"),  # 5 days, 30 calls
        ("2027-02-01 00:00", "14.20"),  # all of January, not closed yet
        ("2027-02-04 00:00", "15.77"),  # and 3 of 28 days, 5 calls
    ],
)
def test_usage_and_fees_in_arrears_accrue_as_they_are_served(moment: str, amount: str) -> None:
    billing = life(use("0.10"), {**fee("10.00"), "timing": "arrears"}, fee("99.00", "ahead"), grace="5 d")
    assert accrued(billing, moment) == D(amount)


def test_what_is_billed_has_not_accrued_any_more_and_the_run_bills_what_had() -> None:
    billing = life(use("0.10"), {**fee("10.00"), "timing": "arrears"})
    before = accrued(billing, "2027-02-01 00:00")
    billing.tick("2027-02-01 00:00")
    assert (billing.billed(), accrued(billing, "2027-02-01 00:00")) == (before, 0)
    assert before == D("14.20")


def test_an_interim_invoice_is_not_counted_again() -> None:
    billing = life(use("0.10"), thresholds=["2.00"])
    billing.tick("2027-01-06 00:00")
    period = {"start": "2027-01-01T00:00Z", "end": "2027-02-01T00:00Z"}
    billing.do("bill_interim", period=period, number=1, used=1, amount="3.00")
    billing.tick("2027-01-07 00:00")
    assert billing.billed() == D("3.00")
    assert accrued(billing, "2027-01-21 00:00") == D("1.20")


def test_nothing_accrues_of_a_trial_a_pause_and_what_has_ended_and_is_billed() -> None:
    trial = Billing([plan("p", use("0.10"), trial={"unit": "day", "count": 10})], calls=CALLS)
    trial.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z")
    trial.tick("2027-01-01 00:00")
    assert accrued(trial, "2027-01-10 00:00") == 0
    ended = life(use("0.10"))
    ended.tick("2027-01-10 00:00")
    ended.do("cancel", when="now")
    assert accrued(ended, "2027-01-25 00:00") == D("3.00")
    ended.tick("2027-01-25 00:00")
    assert accrued(ended, "2027-02-25 00:00") == 0


def test_a_minimum_is_no_part_of_a_running_period_and_of_one_that_has_ended() -> None:
    billing = life({**use("0.10"), "minimum": "20.00"})
    assert accrued(billing, "2027-01-25 00:00") == D("4.20")
    assert accrued(billing, "2027-02-01 00:00") == D("20.00")


def test_the_commitment_of_a_plan_accrues_once_its_period_is_over() -> None:
    billing = life(use("0.10"), {**fee("10.00"), "timing": "arrears"}, commitment={"amount": "20.00"})
    assert accrued(billing, "2027-01-06 00:00") == D("4.61")
    assert accrued(billing, "2027-02-01 00:00") == D("20.00")
