"""rating.md §3, "Plan commitments" and "Term", in the line: commands and ticks in, lines of documents out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.closing.late_usage import Touch, closed_before, with_late
from pipeline.rating.explain import recompute
from schemas.period import Period
from schemas.rated_line import RatedLine, TermSoFar
from tests.pipeline.billing import Billing, at, fee, plan, use

D = Decimal
HUNDRED = {"commitment": {"amount": "100"}}


def life(*cards: dict[str, Any], calls: list[tuple[str, int]] | None = None, **fields: Any) -> Billing:
    """A customer on a plan, by default with a fee of 20.00 in advance, calls at 0.10 and a commitment of 100.00."""
    found = cards or (fee("20.00"), use())
    billing = Billing([plan("p", *found, **(fields or HUNDRED))], calls=calls or [])
    billing.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z")
    return billing


def top_up(billing: Billing) -> RatedLine:
    """The last true-up that was billed or given back."""
    lines = [line.rated for _, found in billing.documents for line in found.all if line.rated.charge == "commitment"]
    return lines[-1]


def test_the_true_up_is_what_all_fees_of_the_period_lack_and_an_advance_fee_counts_where_it_covers() -> None:
    billing = life(calls=[("2027-01-10", 300)])
    assert billing.tick("2027-01-01") == [("fee", "01-01/02-01", "20.00")]
    assert billing.tick("2027-02-01") == [
        ("use", "01-01/02-01", "30.00"), ("commitment", "01-01/02-01", "50.00"), ("fee", "02-01/03-01", "20.00"),
    ]  # fmt: skip
    assert (top_up(billing).kind, top_up(billing).reached, top_up(billing).tax_rates) == ("top_up", D("50.00"), ())


@pytest.mark.parametrize(("calls", "missing"), [(799, "0.10"), (800, None), (801, None)])
def test_exactly_at_the_commitment_nothing_is_missing(calls: int, missing: str | None) -> None:
    billing = life(calls=[("2027-01-10", calls)])
    billing.tick("2027-01-01")
    found = {charge: amount for charge, _, amount in billing.tick("2027-02-01")}
    assert found.get("commitment") == missing


def test_without_any_usage_all_of_it_is_owed_but_the_fee() -> None:
    billing = life()
    billing.tick("2027-01-01")
    assert ("commitment", "01-01/02-01", "80.00") in billing.tick("2027-02-01")


def test_missed_ticks_compare_each_period_alone() -> None:
    billing = life(calls=[("2027-01-10", 2000), ("2027-02-10", 100)])
    found = billing.tick("2027-03-01")
    assert [line for line in found if line[0] == "commitment"] == [("commitment", "02-01/03-01", "70.00")]


def test_it_is_prorated_like_a_fee_in_the_first_and_the_last_period() -> None:
    billing = Billing([plan("p", fee("31.00"), use(), **HUNDRED)], calls=[])
    billing.do("subscribe", plan="p", starts_at="2027-01-16T00:00Z")
    billing.tick("2027-01-16")
    assert ("commitment", "01-16/02-01", "35.61") in billing.tick("2027-02-01"), "100 x 16/31 less 16.00"
    billing.now = at("2027-02-15")
    billing.do("cancel", when="now")
    found = billing.tick("2027-02-15")
    assert ("commitment", "02-01/02-15", "34.50") in found, "50.00 less the 15.50 of the fee that are left"
    assert billing.billed() == D("51.61") + D("50.00")


def test_a_change_of_plan_trues_up_the_old_plan_to_then_and_the_new_one_from_then() -> None:
    billing = Billing([
        plan("p", fee("31.00"), use(), **HUNDRED), plan("q", fee("62.00"), use(), commitment={"amount": "310"}),
    ], calls=[("2027-01-05", 100), ("2027-01-25", 200)])  # fmt: skip
    billing.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z")
    billing.tick("2027-01-01")
    billing.now = at("2027-01-11")
    billing.do("change", plan="q", when="now")
    found = [*billing.tick("2027-01-11"), *billing.tick("2027-02-01")]
    # 10/31 of 100 are 32.26, less 10.00 of the fee and of usage each; 21/31 of 310 less 42.00 and 20.00
    assert [line for line in found if line[0] == "commitment"] == [
        ("commitment", "01-01/01-11", "12.26"), ("commitment", "01-11/02-01", "148.00"),
    ]  # fmt: skip


def test_what_a_trial_gives_away_does_not_count_and_the_commitment_begins_after_it() -> None:
    billing = Billing([plan("p", fee("31.00"), use(), **HUNDRED)], calls=[("2027-01-05", 500)])
    billing.do("subscribe", plan="p", starts_at="2027-01-01T00:00Z", trial_ends_at="2027-01-16T00:00Z")
    billing.tick("2027-01-16")
    assert ("commitment", "01-16/02-01", "35.61") in billing.tick("2027-02-01")


def test_a_pause_shrinks_the_commitment() -> None:
    billing = life(use(), calls=[])
    billing.now = at("2027-01-10")
    billing.do("pause", until="2027-01-20T00:00Z")
    assert ("commitment", "01-01/02-01", "67.74") in billing.tick("2027-02-01"), "21 of 31 days"


def test_a_price_that_is_overridden_for_a_closed_period_moves_the_true_up_too() -> None:
    billing = life(calls=[("2027-01-10", 300)])
    billing.tick("2027-02-01")
    assert billing.billed() == D("120.00")
    override = {"price": {"model": "per_unit", "unit_price": "0.20"}}
    billing.do("set_override", card="use", override=override, effective_from="2027-01-01T00:00Z")
    found = billing.tick("2027-02-02")
    assert ("commitment", "01-01/02-01", "-30.00") in found
    assert sum(D(amount) for _, _, amount in found) == 0, "60.00 of usage, 20.00 of trueing up"
    assert billing.billed() == D("120.00")


def test_it_can_be_waived_but_not_priced_and_has_no_seats() -> None:
    billing = life()
    priced = {"price": {"model": "flat", "amount": "1"}}
    assert "has no price" in billing.ask("set_override", card="commitment", override=priced)
    assert "no recurring fee" in billing.ask("change_quantity", card="commitment", quantity="2", when="now")
    billing.do("set_override", card="commitment", override={"waived": "all"})
    billing.tick("2027-02-01")
    assert (top_up(billing).gross, top_up(billing).amount) == (D("80.00"), D("0.00"))
    assert recompute(top_up(billing)) == top_up(billing)


def test_monthly_fees_of_an_annual_plan_count_for_the_year() -> None:
    monthly = {"interval": {"unit": "month"}}
    billing = life(use(**monthly), calls=[("2027-03-05", 300), ("2027-12-24", 200)],
                   interval={"unit": "year"}, commitment={"amount": "100"})  # fmt: skip
    found = [line for month in range(2, 13) for line in billing.tick(f"2027-{month:02}-01")]
    assert [line for line in found if line[2] != "0.00"] == [("use", "03-01/04-01", "30.00")]
    assert billing.tick("2028-01-01") == [("commitment", "01-01/01-01", "50.00"), ("use", "12-01/01-01", "20.00")]


def late(billing: Billing, tick: str, day: str) -> list[tuple[str, str, str]]:
    """The lines of a run at a tick that finds late records on a day."""
    known = closed_before([closed for closed, _ in billing.closes], billing.catalogue)
    touch = Touch("acme", Period(at(f"{day} 00:00"), at(f"{day} 01:00")), 1, ("usage.events/0/1",))
    billing.looks_back = lambda run: with_late(run, known, [touch], billing.catalogue)
    return billing.tick(tick)


def test_late_usage_shrinks_the_true_up_of_its_period() -> None:
    billing = life(calls=[("2027-01-10", 300)])
    billing.tick("2027-02-01")
    billing.calls = [("2027-01-10", 400), ("2027-02-01", 1000)]
    found = late(billing, "2027-03-01", "2027-01-10")
    assert ("use", "01-01/02-01", "10.00") in found
    assert ("commitment", "01-01/02-01", "-10.00") in found
    assert billing.billed() == D("100.00") + D("120.00") + D("20.00")


TERM = {"commitment": {"amount": "500", "overage_factor": "1.4", "per": {"unit": "quarter", "count": 1}}}


def test_a_term_counts_the_base_cost_of_its_earlier_periods() -> None:
    """500, prior 430, 61.00 and 44.00 more, factor 1.4: within 70.00, overage 49.00, amount 119.00."""
    billing = life(use("1", **TERM), calls=[("2027-01-10", 430), ("2027-02-10", 61), ("2027-02-11", 44)], grace="0 s")
    assert billing.tick("2027-02-01") == [("use", "01-01/02-01", "430.00")]
    assert billing.tick("2027-03-01") == [("use", "02-01/03-01", "119.00")]
    line = billing.documents[-1][1].debits[0].rated
    assert line.conditions is not None and line.commitment is not None
    assert line.conditions.term == TermSoFar(prior_base=D(430), is_last=False)
    assert (line.commitment.utilized, line.commitment.overage, line.commitment.base) == (D("70.00"), D("49.00"), D(105))
    assert recompute(line) == line
    billing.calls = [*billing.calls, ("2027-03-05", 10)]
    assert billing.tick("2027-04-01") == [("use", "03-01/04-01", "14.00")], "all of it is overage: no true-up"


def test_the_last_period_of_a_term_trues_up_and_the_next_term_begins_anew() -> None:
    billing = life(use("1", **TERM), calls=[("2027-01-10", 100), ("2027-04-10", 600)], grace="0 s")
    assert billing.tick("2027-02-01") == [("use", "01-01/02-01", "100.00")]
    assert billing.tick("2027-03-01") == []
    assert billing.tick("2027-04-01") == [("use", "03-01/04-01", "400.00")]
    assert billing.tick("2027-05-01") == [("use", "04-01/05-01", "640.00")]


def test_a_term_that_ends_early_is_prorated_by_its_days() -> None:
    billing = life(use("1", **TERM), calls=[], grace="0 s")
    billing.tick("2027-02-01")
    billing.now = at("2027-02-15")
    billing.do("cancel", when="now")
    assert billing.tick("2027-02-15") == [("use", "02-01/02-15", "250.00")], "45 of 90 days"
    line = billing.documents[-1][1].debits[0].rated
    assert recompute(line) == line


def test_late_usage_of_a_term_leaves_less_of_it_for_the_periods_after() -> None:
    billing = life(use("1", **TERM), calls=[("2027-01-10", 430), ("2027-02-10", 105)], grace="0 s")
    billing.tick("2027-02-01")
    billing.tick("2027-03-01")
    billing.calls = [("2027-01-10", 440), ("2027-02-10", 105)]
    # within 60.00 and overage 45 x 1.4 = 63.00 in February: 4.00 more
    assert late(billing, "2027-04-01", "2027-01-10") == [
        ("use", "01-01/02-01", "10.00"),
        ("use", "02-01/03-01", "4.00"),
    ]


MONTHS = ("2027-01-10", "2027-02-10", "2027-03-10")


@given(st.lists(st.integers(0, 400), min_size=3, max_size=3), st.lists(st.integers(0, 400), min_size=3, max_size=3))
def test_a_term_bills_the_same_whenever_its_usage_is_known(used: list[int], late_used: list[int]) -> None:
    """Billed = rated: min(all, 500) and 1.4 x the rest, or 500; whether usage came in time or late."""
    billing = life(use("1", **TERM), calls=list(zip(MONTHS, used, strict=True)), grace="0 s")
    for tick in ("2027-02-01", "2027-03-01", "2027-04-01"):
        billing.tick(tick)
    both = [one + other for one, other in zip(used, late_used, strict=True)]
    billing.calls = list(zip(MONTHS, both, strict=True))
    before = billing.billed()
    for day in MONTHS:
        late(billing, f"2027-05-0{MONTHS.index(day) + 1}", day)
        billing.looks_back = lambda run: run
    for total, billed in ((sum(used), before), (sum(both), billing.billed())):
        assert billed == max(D(500), min(D(total), D(500)) + max(D(0), D(total) - 500) * D("1.4"))


@given(st.lists(st.integers(0, 1500), min_size=3, max_size=3))
def test_a_month_comes_to_its_fees_or_to_the_commitment(used: list[int]) -> None:
    billing = life(calls=list(zip(MONTHS, used, strict=True)))
    for tick in ("2027-01-01", "2027-02-01", "2027-03-01", "2027-04-01"):
        billing.tick(tick)
    assert billing.billed() == 20 + sum(max(D(100), 20 + D(calls) / 10) for calls in used)
