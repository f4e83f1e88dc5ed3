"""rating.md §3: modifiers in their order, slices as differences of cumulative stages, successive runs."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rating.charge_lines import RatedSlice, rate_fee, rate_runs, rate_slice
from pipeline.rating.pricing import UsageRow, convert
from schemas.customer_state import DuePeriod
from schemas.money import currency
from schemas.period import Period
from schemas.plan import UnitConversion
from schemas.price import AnyPrice
from schemas.rated_line import StageAmounts
from tests.pipeline.rate_cards import EUR, TIERS, D, by_day, card, day, fee, rows, terms

SECTION_3 = {"percentage_discount": "10", "maximum": "80.00"}


def slices(rated: Any, *cumulative: str | tuple[UsageRow, ...], **keys: Any) -> list[RatedSlice]:
    """Successive slices of one period, the last of them final."""
    done: list[RatedSlice] = []
    for index, used in enumerate(cumulative):
        amount = D(used) if isinstance(used, str) else used
        previous = done[-1].stages if done else None
        done.append(rate_slice(rated, amount, terms(**keys), previous=previous, final=index == len(cumulative) - 1))
    return done


def amounts(*gross_discount_cap: str) -> StageAmounts:
    return StageAmounts(*map(D, gross_discount_cap))


@pytest.mark.parametrize(
    ("keys", "cumulative", "converted"),
    [
        ({"factor": "60", "rounding": "ceiling"}, "70", "2"),
        ({"factor": "60", "rounding": "ceiling"}, "110", "2"),
        ({"factor": "60", "rounding": "ceiling"}, "120", "2"),
        ({"factor": "60", "rounding": "ceiling"}, "120.01", "3"),
        ({"factor": "60", "rounding": "ceiling"}, "-70", "-1"),
        ({"factor": "60", "rounding": "floor"}, "119", "1"),
        ({"factor": "60", "rounding": "floor"}, "-70", "-2"),
        ({"factor": "1000", "rounding": "half_up", "precision": 1}, "1250", "1.3"),
        ({"factor": "1000", "rounding": "half_up", "precision": 1}, "-1250", "-1.3"),
        ({"factor": "8", "operation": "multiply"}, "2.5", "20"),
        ({"factor": "10", "rounding": "floor", "precision": -2}, "12845", "1200"),
        ({"factor": "8"}, "1", "0.125"),
    ],
)
def test_unit_conversion_rounds_the_cumulative_quantity_and_keeps_its_sign(
    keys: dict[str, Any], cumulative: str, converted: str
) -> None:
    assert convert(UnitConversion.model_validate(keys), D(cumulative)) == D(converted)


def test_conversion_in_slices_of_70_and_40_seconds_bills_2_minutes_and_then_none_as_in_section_3() -> None:
    minutes = card(unit_price="1", modifiers={"unit_conversion": {"factor": "60", "rounding": "ceiling"}})
    first, second = slices(minutes, "70", "110")
    assert (first.billed.total, second.billed.total) == (2, 0)


@pytest.mark.parametrize(
    ("used", "units"),
    [("0", ["0"]), ("150", ["0"]), ("150.5", ["0.5"]), ("650", ["500"]), ("700", ["500", "50"])],
)
def test_free_units_leave_before_pricing_and_consume_no_tiers_as_in_section_3(used: str, units: list[str]) -> None:
    tiered = card("graduated", tiers=[{"up_to": "500", "unit_price": "0.10"}, {}], modifiers={"free_units": "150"})
    (line,) = rate_slice(tiered, D(used), terms()).lines or (None,)
    found = [] if line is None else [tier.units for tier in line.tiers]
    assert found == [] if used == "0" else found == [D(one) for one in units]


@pytest.mark.parametrize(
    ("days", "billed"),
    [(["150", "50", "101"], "51"), (["100", "0"], "0"), (["-20", "200"], "80"), ([], "0")],
)
def test_free_units_with_a_shorter_reset_are_taken_off_each_window(days: list[str], billed: str) -> None:
    daily = card(unit_price="1", modifiers={"free_units": "100", "free_units_reset": "day"})
    assert rate_slice(daily, by_day(days), terms()).billed.total == D(billed)


def test_no_free_units_change_nothing_whenever_they_reset() -> None:
    usage = by_day(["-20", "200", "5"])
    plain = rate_slice(card(unit_price="1"), usage, terms()).billed
    daily = card(unit_price="1", modifiers={"free_units": "0", "free_units_reset": "day"})
    assert rate_slice(daily, usage, terms()).billed == plain


def test_free_units_that_reset_by_window_need_rows_with_windows() -> None:
    daily = card(unit_price="1", modifiers={"free_units": "100", "free_units_reset": "day"})
    with pytest.raises(ValueError, match="usage: rows need their day window"):
        rate_slice(daily, rows("5"), terms())


def test_discount_and_maximum_bill_the_slices_of_section_3() -> None:
    billed = [one.billed for one in slices(card(unit_price="0.45", modifiers=SECTION_3), "120", "220", "270")]
    assert billed == [
        amounts("54.00", "5.40", "0.00"),
        amounts("45.00", "4.50", "9.10"),
        amounts("22.50", "2.25", "20.25"),
    ]
    assert [one.capped for one in billed] == [D("48.60"), D("31.40"), 0]


def test_discounts_of_small_slices_are_differences_of_the_cumulative_discount_as_in_section_3() -> None:
    first, second = slices(card(unit_price="0.05", modifiers={"percentage_discount": "30"}), "1", "2")
    assert (first.billed.discount, second.billed.discount) == (D("0.02"), D("0.01"))


@pytest.mark.parametrize(
    ("cumulative", "billed"),
    [
        (["0", "0"], ["4.00", "0.00"]),
        (["0", "50"], ["4.00", "40.00"]),
        (["50", "50.5", "260"], ["44.00", "2.78", "100.22"]),
    ],
)
def test_the_first_slice_carries_the_fee_of_the_first_tier_even_at_zero_and_later_ones_do_not(
    cumulative: list[str], billed: list[str]
) -> None:
    rated = slices(card("graduated", tiers=TIERS), *cumulative)
    assert [one.billed.total for one in rated] == [D(amount) for amount in billed]
    assert [sum((line.amount for line in one.lines), D(0)) for one in rated] == [D(amount) for amount in billed]


@pytest.mark.parametrize(
    ("maximum", "used", "cap"),
    [("80.00", "80", "0"), ("80.00", "80.01", "0.01"), ("9.996", "10", "0"), ("9.995", "10", "0.01"), ("0", "5", "5")],
)
def test_a_maximum_caps_by_the_rounded_excess_and_may_be_finer_than_a_cent(maximum: str, used: str, cap: str) -> None:
    assert rate_slice(card(unit_price="1", modifiers={"maximum": maximum}), D(used), terms()).billed.cap_discount == D(
        cap
    )


@pytest.mark.parametrize(
    ("unit_price", "used", "minimum", "service_end", "usage", "top_up"),
    [
        ("1", "34.9962", "35.00", day(1, 4), "35.00", "0"),  # usage is rounded first
        ("1", "31.256", "60.00", day(21), "31.26", "7.45"),  # 20 of 31 days: 38.7096…
        ("1", "0", "35.00", day(1, 4), "0", "35.00"),  # zero usage bills the minimum
        ("1", "36", "35.00", day(1, 4), "36", "0"),
        ("1", "35", "35.00", day(1, 4), "35", "0"),
        ("1", "0", "35.00", day(1), "0", "0"),  # nothing served
    ],
)
def test_a_minimum_is_prorated_and_tops_up_the_rounded_usage_as_in_section_3(
    unit_price: str, used: str, minimum: str, service_end: Any, usage: str, top_up: str
) -> None:
    rated = rate_slice(
        card(unit_price=unit_price, modifiers={"minimum": minimum}), D(used), terms(Period(day(1), service_end))
    )
    assert (rated.billed.capped, rated.billed.top_up) == (D(usage), D(top_up))
    assert [line.kind for line in rated.lines] == ["usage"] * bool(D(usage)) + ["top_up"] * bool(D(top_up))


def test_a_top_up_is_a_separate_line_with_the_tax_of_its_charge() -> None:
    taxed = card(unit_price="1", modifiers={"minimum": "35.00", "tax_rates": ["standard"]})
    usage, top_up = rate_slice(taxed, D(10), terms()).lines
    assert (usage.amount, usage.tax_rates) == (10, ("standard",))
    assert (top_up.kind, top_up.amount, top_up.tax_rates) == ("top_up", 25, ("standard",))


def test_a_slice_that_is_not_final_never_bills_the_minimum() -> None:
    early, final = slices(card(unit_price="1", modifiers={"minimum": "35.00"}), "0", "10")
    assert (early.billed.total, early.lines) == (0, ())
    assert (final.billed.capped, final.billed.top_up) == (10, 25)


def test_successive_runs_of_section_3_bill_differences_of_totals() -> None:
    runs = rate_runs(card(unit_price="0.125"), [D(5), D(9), D(7)], terms())
    assert [run.stages.total.total for run in runs] == [D("0.63"), D("1.13"), D("0.88")]
    assert [run.billed.total for run in runs] == [D("0.63"), D("0.50"), D("-0.25")]


def test_successive_runs_of_section_3_include_the_minimum_from_the_final_one_on() -> None:
    with_minimum = card(unit_price="0.125", modifiers={"minimum": "2.00"})
    runs = rate_runs(with_minimum, [D(5), D(9), D(9), D(20)], terms(), final_run=2)
    assert [run.billed.total for run in runs] == [D("0.63"), D("0.50"), D("0.87"), D("0.50")]
    assert (runs[3].billed.capped, runs[3].billed.top_up) == (D("1.37"), D("-0.87"))
    # Section 3 counts three runs of 5, 9, 7: the same totals, with 0.88 of usage before the late run.
    late = rate_runs(with_minimum, [D(5), D(9), D(7), D(20)], terms(), final_run=2)
    assert [run.billed.total for run in late] == [D("0.63"), D("0.50"), D("0.87"), D("0.50")]
    assert (late[3].billed.capped, late[3].billed.top_up) == (D("1.62"), D("-1.12"))


def test_a_part_that_later_usage_takes_away_is_given_back() -> None:
    regions = card("matrix", prices=[{"match": {"region": ["*"]}, "unit_price": "1", "group_by": ["region"]}])
    first, second = slices(regions, rows("5", region="eu"), rows("5", region="us"))
    assert [(dict(line.dimensions), line.amount) for line in second.lines] == [
        ({"region": "us"}, 5),
        ({"region": "eu"}, -5),
    ]
    assert (first.billed.total, second.billed.total) == (5, 0)


def test_unpriced_usage_is_told_by_the_slice_and_not_billed_as_free() -> None:
    strict = card("matrix", prices=[{"match": {"region": ["eu"]}, "unit_price": "1"}])
    rated = rate_slice(strict, (*rows("5", region="us"), *rows("7", region="eu")), terms())
    assert (rated.billed.total, rated.unpriced) == (7, rows("5", region="us"))


def test_free_units_of_a_matrix_are_taken_in_order_of_its_lines() -> None:
    regions = card(
        "matrix",
        prices=[{"match": {"region": ["*"]}, "unit_price": "1", "group_by": ["region"]}],
        modifiers={"free_units": "7"},
    )
    rated = rate_slice(regions, (*rows("5", region="eu"), *rows("5", region="us")), terms())
    assert [(line.billed_quantity, line.amount) for line in rated.lines] == [(0, 0), (3, 3)]


def test_a_dynamic_price_by_group_gives_a_line_per_group_each_rounded() -> None:
    marked_up = card("dynamic", multiplier="1.15", group_by=["team"])
    usage = (*rows("0.333", "0.333", team="a"), *rows("0.333", team="b"))
    assert [line.amount for line in rate_slice(marked_up, usage, terms()).lines] == [D("0.77"), D("0.38")]


def test_a_currency_without_minor_unit_bills_whole_units() -> None:
    rated = rate_slice(card(unit_price="0.5"), D(3), terms(money=currency("JPY")))
    assert str(rated.lines[0].amount) == "2"


@pytest.mark.parametrize(
    ("rated", "used"),
    [
        (card("package", package_size="24", package_price="3.60"), "0"),
        (card("percentage", rate_percent="1.8", fixed_fee="0.25"), ()),
        (card(unit_price="0.45"), "0"),
        (card("bucketed", by="day", price={"model": "graduated", "tiers": TIERS}), ()),
    ],
)
def test_without_usage_a_price_without_base_fee_makes_no_line_as_in_section_11(rated: Any, used: Any) -> None:
    found = rate_slice(rated, D(used) if isinstance(used, str) else used, terms())
    assert (found.lines, found.billed.total) == ((), 0)


@pytest.mark.parametrize("model", ["graduated", "volume"])
def test_without_usage_the_fee_of_the_first_tier_is_billed_as_in_section_11(model: str) -> None:
    (line,) = rate_slice(card(model, tiers=TIERS), D(0), terms()).lines
    assert (line.amount, line.quantity) == (4, 0)


def test_negative_usage_is_priced_as_zero_and_offsets_later_usage_of_the_period_as_in_section_11() -> None:
    runs = rate_runs(card(unit_price="1"), [D(-5), D(3), D(10)], terms())
    assert [run.billed.total for run in runs] == [0, 3, 7]


def test_late_usage_that_makes_a_volume_tier_cheaper_is_a_credit_as_in_section_11() -> None:
    first, late = rate_runs(card("volume", tiers=TIERS), [D(200), D(260)], terms())
    assert (first.billed.total, late.billed.total) == (D("112.50"), D("-34.50"))


def test_late_usage_under_a_reached_maximum_changes_nothing_in_sum_as_in_section_11() -> None:
    capped = card(unit_price="1", modifiers={"maximum": "50"})
    _, late = rate_runs(capped, [D(60), D(70)], terms(), final_run=0)
    assert late.billed == amounts("10", "0", "10")
    assert late.billed.total == 0


def test_late_usage_under_a_billed_minimum_shrinks_the_top_up_as_in_section_11() -> None:
    _, late = rate_runs(card(unit_price="1", modifiers={"minimum": "50"}), [D(10), D(30)], terms(), final_run=0)
    assert [(line.kind, line.amount) for line in late.lines] == [("usage", 20), ("top_up", -20)]
    assert late.billed.total == 0


def test_usage_of_a_trial_is_rated_and_shown_with_a_discount_of_all_of_it() -> None:
    (line,) = rate_slice(card(unit_price="0.45"), D(120), terms(trial=True)).lines
    assert (line.gross, line.amount) == (54, 0)
    assert [(discount.source, discount.amount) for discount in line.discounts] == [("trial", D("54.00"))]


def due(start: Any, end: Any) -> DuePeriod:
    return DuePeriod(
        subscription="s", plan="team", plan_version="1", currency="EUR", time_zone="Europe/Berlin",
        period=Period(day(1), day(1, 4)), service=Period(start, end),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rated", "start", "end", "amount"),
    [
        (fee("49.00"), day(1), day(1, 4), "49.00"),
        (fee("49.00"), day(11), day(1, 4), "33.19"),
        (fee("49.00", proration=False), day(11), day(1, 4), "49.00"),
        (fee("49.00", one_time=True), day(11), day(1, 4), "49.00"),
        (fee("49.00"), day(11), day(11), "0.00"),
        (fee("49.00", percentage_discount="10"), day(11), day(1, 4), "29.87"),
    ],
)
def test_a_fee_is_owed_for_the_days_of_its_service(rated: Any, start: Any, end: Any, amount: str) -> None:
    assert str(rate_fee(rated, due(start, end)).amount) == amount


def test_a_plan_in_custom_units_rounds_to_their_scale() -> None:
    line = rate_fee(fee("10"), due(day(11), day(1, 4)), currency("CREDITS", {"CREDITS": 5}))
    assert (str(line.amount), line.currency, line.minor_units) == ("6.77419", "CREDITS", 5)


@pytest.mark.parametrize(
    ("rated", "problem"),
    [
        (card("percentage", rate_percent="1"), "a percentage price needs rows"),
        (card("matrix", prices=[{"match": {"a": ["b"]}, "unit_price": "1"}]), "a matrix price needs rows"),
        (card("bucketed", by="day", price={"model": "dynamic"}), "a bucketed price needs rows"),
        (card("dynamic", group_by=["team"]), "a price by group needs rows"),
        (card(unit_price="1", modifiers={"commitment": {"amount": "1", "per": "day"}}), "a commitment per day needs"),
    ],
)
def test_a_price_of_rows_refuses_one_number_by_name(rated: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=f"usage: {problem}"):
        rate_slice(rated, D(5), terms())


def test_a_line_holds_what_section_10_asks_for() -> None:
    tiered = card(
        "graduated",
        tiers=TIERS,
        modifiers={
            "unit_conversion": {"factor": "10", "rounding": "ceiling"}, "free_units": "2", "percentage_discount": "10",
            "maximum": "30", "tax_rates": ["standard"],
        },
    )  # fmt: skip
    (line,) = rate_slice(tiered, D("515"), terms(time_zone="Europe/Berlin", price_version="3", unit="calls")).lines
    assert (line.quantity, line.converted_quantity, line.billed_quantity) == (515, 52, 50)
    assert (line.gross, line.amount_exact, line.amount) == (44, 30, 30)
    assert [(discount.source, discount.amount) for discount in line.discounts] == [
        ("percentage_discount", D("4.40")),
        ("maximum", D("9.60")),
    ]
    assert (line.charge, line.price_version, line.currency, line.minor_units, line.unit) == (
        "usage",
        "3",
        "EUR",
        2,
        "calls",
    )
    assert (line.time_zone, line.tax_rates) == ("Europe/Berlin", ("standard",))
    assert line.modifiers is not None
    assert (line.modifiers.free_units, line.modifiers.maximum) == (2, 30)
    assert isinstance(line.price, AnyPrice)
    assert EUR.minor_units == line.minor_units
