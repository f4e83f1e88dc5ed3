"""Lives of subscriptions, billed to the cent by hand: rating.md §4.4, §5 and §11."""

from __future__ import annotations

from schemas.catalogue_entry import CouponEntry
from schemas.discount import Coupon
from tests.pipeline.billing import Billing, fee, plan, use

SMALL = plan("small", fee("7.00"), use())
LARGE = plan("large", fee("59.00"), use("0.05"))


def test_a_month_in_arrears_is_due_with_its_end_and_the_next_fee_with_it() -> None:
    life = Billing([SMALL], calls=[("2027-01-10", 30), ("2027-02-01", 5)])
    life.do("subscribe", plan="small")
    assert life.tick("2027-01-01 00:01") == [("fee", "01-01/02-01", "7.00")]
    assert life.tick("2027-01-31 23:59") == []
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "3.00"), ("fee", "02-01/03-01", "7.00")]


def test_a_renewal_in_advance_waits_for_the_grace_of_the_usage_that_it_is_billed_with() -> None:
    life = Billing([plan("small", fee("7.00"), use(), grace="6 h")])
    life.do("subscribe", plan="small")
    assert life.tick("2027-01-01 00:01") == [("fee", "01-01/02-01", "7.00")]
    assert life.tick("2027-02-01 05:59") == []
    assert life.tick("2027-02-01 06:00") == [("fee", "02-01/03-01", "7.00")]


def test_a_change_in_mid_period_credits_the_rest_of_the_old_fee_and_charges_the_rest_of_the_new() -> None:
    # 7.00 to 59.00 with 14 of 31 days left: credit 3.16, charge 26.65, net 23.49 (rating.md §5).
    life = Billing([SMALL, LARGE], calls=[("2027-01-17 12:00", 10), ("2027-01-18 00:00", 20)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01 00:01")
    life.tick("2027-01-18 00:00")
    life.do("change", plan="large")
    assert life.tick("2027-01-18 00:01") == [
        ("use", "01-01/01-18", "1.00"),
        ("fee", "01-18/02-01", "26.65"),
        ("fee", "01-18/02-01", "-3.16"),
    ]
    assert life.tick("2027-02-01") == [("use", "01-18/02-01", "1.00"), ("fee", "02-01/03-01", "59.00")]
    assert life.tick("2027-02-02") == []


def test_an_override_of_a_period_whose_draft_is_rejected_bills_the_period_once_by_its_own_price() -> None:
    life = Billing([SMALL], calls=[("2027-01-10", 30)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01 00:01")
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "3.00"), ("fee", "02-01/03-01", "7.00")]
    life.do("set_override", card="use", override={"waived": "all"}, effective_from="2027-01-01T00:00Z")
    life.do("bill_again", document_id="d", tick=life.number, parts=[
        {"subscription": "s", "card": "use", "number": 0, "period": {"start": "2027-01-01T00:00Z",
                                                                     "end": "2027-02-01T00:00Z"}},
        {"subscription": "s", "card": "fee", "number": 0, "period": {"start": "2027-02-01T00:00Z",
                                                                     "end": "2027-03-01T00:00Z"}},
    ])  # fmt: skip
    gone = {(one.subscription, one.card, one.number, one.period) for one in life.state.disregarded}
    life.issued = [line for line in life.issued if line.key not in gone]  # as the store leaves them out
    lines = life.tick("2027-02-02")
    assert sorted(lines) == [("fee", "02-01/03-01", "7.00"), ("use", "01-01/02-01", "0.00")]


def test_a_change_at_the_end_of_the_period_prorates_nothing() -> None:
    life = Billing([SMALL, LARGE])
    life.do("subscribe", plan="small")
    life.tick("2027-01-18")
    life.do("change", plan="large", when="period_end")
    assert life.tick("2027-01-19") == []
    assert life.tick("2027-02-01") == [("fee", "02-01/03-01", "59.00")]


def test_a_downgrade_waits_for_the_end_of_the_period_unless_it_is_said_otherwise() -> None:
    life = Billing([SMALL, LARGE])
    life.do("subscribe", plan="large")
    life.tick("2027-01-18")
    life.do("change", plan="small")
    assert life.tick("2027-01-19") == []
    assert life.tick("2027-02-01") == [("fee", "02-01/03-01", "7.00")]


def test_a_change_at_the_start_instant_credits_the_old_fee_completely() -> None:
    life = Billing([SMALL, LARGE])
    life.do("subscribe", plan="small")
    assert life.tick("2027-01-01") == [("fee", "01-01/02-01", "7.00")]
    life.do("change", plan="large")
    assert life.tick("2027-01-02") == [("fee", "01-01/02-01", "59.00"), ("fee", "01-01/02-01", "-7.00")]


def test_several_changes_on_one_day_are_rated_in_order_and_come_to_what_is_owed() -> None:
    life = Billing([SMALL, LARGE])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01 00:01")
    for hour, name in ((8, "large"), (9, "small"), (10, "large")):
        life.tick(f"2027-01-18 {hour:02}:00")
        life.do("change", plan=name, when="now")
    life.tick("2027-01-18 11:00")
    assert f"{life.billed()}" == "30.49"  # 3.84 + 26.65: the days count by their dates


def test_a_retroactive_change_is_the_same_run_with_earlier_dates() -> None:
    life = Billing([SMALL, LARGE], calls=[("2027-01-10", 30), ("2027-01-20", 20)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01 00:01")
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "5.00"), ("fee", "02-01/03-01", "7.00")]
    life.do("change", plan="large", at="2027-01-18T00:00Z")
    assert life.tick("2027-02-02") == [
        ("fee", "01-18/02-01", "26.65"),
        ("use", "01-18/02-01", "1.00"),
        ("fee", "02-01/03-01", "59.00"),
        ("fee", "01-18/02-01", "-3.16"),
        ("use", "01-18/02-01", "-2.00"),
        ("fee", "02-01/03-01", "-7.00"),
    ]


def test_a_cancellation_now_gives_the_rest_back_and_bills_what_was_used() -> None:
    life = Billing([SMALL], calls=[("2027-01-10", 30), ("2027-01-20", 7)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01 00:01")
    life.tick("2027-01-18")
    life.do("cancel", when="now")
    assert life.tick("2027-01-18 00:01") == [("use", "01-01/01-18", "3.00"), ("fee", "01-18/02-01", "-3.16")]
    assert life.tick("2027-03-01") == []


def test_a_cancellation_before_the_start_bills_nothing_and_gives_everything_back() -> None:
    life = Billing([SMALL])
    life.do("subscribe", plan="small")
    assert life.tick("2027-01-01") == [("fee", "01-01/02-01", "7.00")]
    life.do("cancel", at="2026-12-31T00:00Z")
    assert life.tick("2027-01-02") == [("fee", "01-01/02-01", "-7.00")]
    assert life.subscription.status(life.now) == "canceled"


def test_what_a_plan_forfeits_is_not_given_back() -> None:
    life = Billing([plan("small", fee("7.00"), use(), on_cancel="forfeit")], calls=[("2027-01-10", 30)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-18")
    life.do("cancel", when="now")
    assert life.tick("2027-01-19") == [("use", "01-01/01-18", "3.00")]
    assert life.tick("2027-03-01") == []


def test_fees_begin_after_the_trial_on_the_same_grid_and_usage_in_it_is_shown_and_given_away() -> None:
    trial = {"unit": "day", "count": 10}
    life = Billing([plan("small", fee("31.00"), use(), trial=trial)], calls=[("2027-01-05", 30), ("2027-01-20", 20)])
    life.do("subscribe", plan="small")
    assert life.subscription.status(life.now) == "trialing"
    assert life.tick("2027-01-10 23:59") == []
    assert life.tick("2027-01-11") == [("use", "01-01/01-11", "0.00"), ("fee", "01-11/02-01", "21.00")]
    (line,) = (line for line in life.documents[0][1].debits if line.charge.card == "use")
    assert [(taken.source, f"{taken.amount}") for taken in line.rated.discounts] == [("trial", "3.00")]
    assert life.subscription.status(life.now) == "active"
    assert life.tick("2027-02-01") == [("use", "01-11/02-01", "2.00"), ("fee", "02-01/03-01", "31.00")]


def test_an_extended_trial_shifts_the_fees() -> None:
    life = Billing([plan("small", fee("31.00"), use(), trial={"unit": "day", "count": 10})])
    life.do("subscribe", plan="small")
    life.tick("2027-01-05")
    life.do("extend_trial", trial_ends_at="2027-01-21T00:00Z")
    assert life.tick("2027-01-15") == []
    assert life.tick("2027-01-21") == [("fee", "01-21/02-01", "11.00")]


def test_a_cancellation_in_the_trial_costs_nothing() -> None:
    life = Billing([plan("small", fee("31.00"), use(), trial={"unit": "day", "count": 10})], calls=[("2027-01-02", 9)])
    life.do("subscribe", plan="small")
    life.tick("2027-01-05")
    life.do("cancel", when="now")
    assert life.tick("2027-01-06") == [("use", "01-01/01-05", "0.00")]
    assert life.tick("2027-06-01") == []


def test_a_pause_is_a_gap_in_service_on_the_same_grid() -> None:
    life = Billing(
        [plan("small", fee("31.00"), use())], calls=[("2027-01-05", 10), ("2027-01-12", 99), ("2027-01-25", 5)]
    )
    life.do("subscribe", plan="small")
    life.tick("2027-01-01")
    life.tick("2027-01-11")
    life.do("pause")
    assert life.subscription.status(life.now) == "paused"
    assert life.tick("2027-01-12") == [("fee", "01-11/02-01", "-21.00")]
    life.tick("2027-01-21")
    life.do("resume")
    assert life.tick("2027-01-22") == [("fee", "01-01/02-01", "11.00")]
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "1.50"), ("fee", "02-01/03-01", "31.00")]


def test_periods_wholly_in_a_pause_are_not_billed() -> None:
    life = Billing([plan("small", fee("31.00"))])
    life.do("subscribe", plan="small")
    life.tick("2027-01-31")
    life.do("pause")
    assert life.tick("2027-02-01") == [("fee", "01-31/02-01", "-1.00")]
    assert life.tick("2027-04-10") == []
    life.do("resume")
    assert life.tick("2027-04-11") == [("fee", "04-10/05-01", "21.70")]  # 31.00 × 21/30


def test_seats_are_prorated_like_a_change_of_plan_and_usage_goes_on() -> None:
    seats = fee("10.00", "seats")
    life = Billing([plan("team", seats, use())], calls=[("2027-01-05", 10), ("2027-01-25", 10)])
    life.do("subscribe", plan="team", quantities={"seats": "3"})
    assert life.tick("2027-01-01") == [("seats", "01-01/02-01", "30.00")]
    life.tick("2027-01-11")
    life.do("change_quantity", card="seats", quantity="5")
    assert life.tick("2027-01-12") == [("seats", "01-11/02-01", "33.87"), ("seats", "01-11/02-01", "-20.32")]
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "2.00"), ("seats", "02-01/03-01", "50.00")]


def test_one_time_fees_are_billed_once_in_full_and_again_by_a_new_plan() -> None:
    setup = fee("99.00", "setup", one_time=True)
    life = Billing([plan("small", fee("31.00"), setup), plan("large", fee("62.00"), setup)])
    life.do("subscribe", plan="small", starts_at="2026-12-27T00:00Z")
    assert life.tick("2027-01-01") == [
        ("fee", "12-27/01-01", "5.00"), ("setup", "12-27/01-01", "99.00"), ("fee", "01-01/02-01", "31.00"),
    ]  # fmt: skip
    assert life.tick("2027-02-01") == [("fee", "02-01/03-01", "31.00")]
    life.do("change", plan="large")
    assert life.tick("2027-02-02") == [
        ("fee", "02-01/03-01", "62.00"), ("setup", "02-01/03-01", "99.00"), ("fee", "02-01/03-01", "-31.00"),
    ]  # fmt: skip


def test_mixed_cadences_come_in_one_run() -> None:
    cards = [fee("31.00", "monthly"), fee("90.00", "quarterly", interval={"unit": "quarter"}, timing="arrears"),
             fee("365.00", "yearly", interval={"unit": "year"})]  # fmt: skip
    life = Billing([plan("mixed", *cards)])
    life.do("subscribe", plan="mixed", starts_at="2026-12-01T00:00Z")
    assert life.tick("2027-01-01") == [
        ("monthly", "12-01/01-01", "31.00"), ("quarterly", "12-01/01-01", "30.33"), ("yearly", "12-01/01-01", "31.00"),
        ("monthly", "01-01/02-01", "31.00"), ("yearly", "01-01/01-01", "365.00"),
    ]  # fmt: skip


def test_missed_ticks_are_caught_up_with_a_line_per_period() -> None:
    life = Billing([plan("small", fee("31.00"))])
    life.do("subscribe", plan="small")
    assert [line[1] for line in life.tick("2027-04-15")] == ["01-01/02-01", "02-01/03-01", "03-01/04-01", "04-01/05-01"]


def test_a_new_anchor_begins_a_new_grid_now() -> None:
    life = Billing([plan("small", fee("31.00"))])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01")
    life.tick("2027-01-11")
    life.do("set_anchor", anchor="2027-01-15")
    # 21 of 31 days back; of the grid period 15 Dec to 15 Jan, 4 of 31 days.
    assert life.tick("2027-01-12") == [("fee", "01-11/01-15", "4.00"), ("fee", "01-11/02-01", "-21.00")]
    assert life.tick("2027-01-15") == [("fee", "01-15/02-15", "31.00")]


def test_an_override_prices_what_the_plan_does_not_and_what_was_billed_is_rated_anew() -> None:
    life = Billing([plan("small", use("0.10"))], calls=[("2027-01-05", 100), ("2027-02-05", 10)])
    life.do("subscribe", plan="small")
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "10.00")]
    price = {"model": "per_unit", "unit_price": "0.04"}
    life.do("set_override", card="use", override={"price": price}, effective_from="2027-01-01T00:00Z")
    assert life.tick("2027-02-02") == [("use", "01-01/02-01", "4.00"), ("use", "01-01/02-01", "-10.00")]
    assert life.tick("2027-03-01") == [("use", "02-01/03-01", "0.40")]


def test_a_waived_charge_is_shown_with_a_discount_of_all_of_it_until_it_is_not() -> None:
    life = Billing([plan("small", use("0.10"))], calls=[("2027-01-05", 100), ("2027-02-05", 10)])
    life.do("subscribe", plan="small")
    life.do("set_override", card="use", override={"waived": "all"}, until="2027-02-01T00:00Z")
    assert life.tick("2027-02-01") == [("use", "01-01/02-01", "0.00")]
    assert life.tick("2027-03-01") == [("use", "02-01/03-01", "1.00")]


def test_add_ons_are_taken_and_given_up() -> None:
    life = Billing([plan("small", fee("31.00"), fee("62.00", "support", add_on="support"))])
    life.do("subscribe", plan="small")
    assert life.tick("2027-01-01") == [("fee", "01-01/02-01", "31.00")]
    life.tick("2027-01-11")
    life.do("change_add_ons", add=["support"])
    assert life.tick("2027-01-12") == [("support", "01-11/02-01", "42.00")]
    life.tick("2027-01-21")
    life.do("change_add_ons", remove=["support"])
    assert life.tick("2027-01-22") == [("support", "01-21/02-01", "-22.00")]
    assert life.tick("2027-02-01") == [("fee", "02-01/03-01", "31.00")]


def test_a_contract_ends_or_is_renewed_where_its_term_ends() -> None:
    term = {"unit": "quarter", "count": 1}
    life = Billing([plan("small", fee("31.00"))])
    life.do("subscribe", plan="small", contract={"term": term})
    assert [line[1] for line in life.tick("2027-08-01")] == ["01-01/02-01", "02-01/03-01", "03-01/04-01"]
    life = Billing([plan("small", fee("31.00"))])
    life.do("subscribe", plan="small", contract={"term": term, "renews": True})
    life.tick("2027-04-02")
    life.do("cancel")
    assert f"{life.subscription.ends_at:%Y-%m-%d}" == "2027-07-01"


def test_goodwill_and_lines_that_no_plan_has_go_on_the_next_invoice_or_on_their_own() -> None:
    life = Billing([plan("small", fee("31.00"))])
    life.do("subscribe", plan="small")
    life.tick("2027-01-01")
    life.do("add_line", name="migration", amount="150.00", alone=True, request_id="work")
    life.do("add_line", name="an outage", amount="-5.00", request_id="sorry")
    assert life.tick("2027-01-02") == [("work", "01-01/01-01", "150.00")]
    assert life.tick("2027-01-03") == []
    assert life.tick("2027-02-01") == [("fee", "02-01/03-01", "31.00"), ("sorry", "01-01/01-01", "-5.00")]


def test_a_ramp_is_a_row_of_changes_scheduled_ahead() -> None:
    life = Billing([SMALL, LARGE, plan("giant", fee("100.00"))])
    life.do("subscribe", plan="small")
    life.do("change", plan="large", at="2027-02-01T00:00Z", request_id="ramp-1")
    life.do("change", plan="giant", at="2027-04-01T00:00Z", request_id="ramp-2")
    found = [line[2] for line in life.tick("2027-05-01") if line[0] == "fee"]
    assert found == ["7.00", "59.00", "59.00", "100.00", "100.00"]


def test_a_coupon_holds_for_so_many_runs_or_until_a_time_and_is_redeemed_once() -> None:
    spring = CouponEntry.of(Coupon.model_validate({"id": "spring", "type": "percentage", "value": "10"}))
    life = Billing([plan("small", fee("31.00"))], coupons=[spring])
    life.do("subscribe", plan="small")
    life.do("redeem_coupon", coupon="spring", coupon_version=spring.version, times=2)
    again = {"coupon": "spring", "coupon_version": spring.version, "request_id": "again"}
    assert "has redeemed spring already" in life.ask("redeem_coupon", **again)
    for month in (1, 2, 3):
        life.tick(f"2027-{month:02}-01")
    assert [[held.id for held in run.discounts] for run in life.runs] == [["spring"], ["spring"], []]
    life.do("redeem_coupon", **again, until="2027-04-15T00:00Z")
    life.tick("2027-04-01")
    life.tick("2027-05-01")
    assert [[held.id for held in run.discounts] for run in life.runs[3:]] == [["spring"], []]
    assert "no version autumn@1" in life.ask("redeem_coupon", coupon="autumn", coupon_version="1")


def test_a_change_in_mid_period_prorates_the_free_units_of_both_sides_unless_they_start_anew() -> None:
    # 17 and 14 of 31 free units on 20 calls each: 3 and 6 are paid; starting anew nothing is.
    calls = [("2027-01-10", 20), ("2027-01-20", 20)]
    for policy, paid in (("prorate", ["0.30", "0.60"]), ("restart", ["0.00", "0.00"])):
        cards = [use(free_units="31")]
        life = Billing([plan("one", *cards), plan("two", *cards, free_units_on_change=policy)], calls=calls)
        life.do("subscribe", plan="one")
        life.tick("2027-01-18")
        life.do("change", plan="two", when="now")
        assert [line[2] for line in life.tick("2027-02-01")] == paid


def test_a_usage_is_billed_in_every_cadence_of_a_subscription_of_its_own_invoices() -> None:
    life = Billing([plan("small", fee("31.00"), use(interval={"unit": "day"}))], calls=[("2027-01-01 12:00", 3)])
    life.do("subscribe", plan="small", separate=True)
    assert life.tick("2027-01-02") == [("fee", "01-01/02-01", "31.00"), ("use", "01-01/01-02", "0.30")]
    assert {lines.group for _, lines in life.documents} == {"s"}
