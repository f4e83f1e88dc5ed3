"""rating.md §2: one function per price model, each with its table. Amounts are exact: nothing rounds here."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rating.pricing import (
    UsageRow,
    price_blocks,
    price_buckets,
    price_capacity,
    price_matrix,
    price_quantity,
    price_transactions,
)
from schemas.money import round_money
from tests.pipeline.rate_cards import EUR, TIERS, D, by_day, price, rows


def cost(model: Any, quantity: str) -> D:
    return price_quantity(model, D(quantity)).amount


@pytest.mark.parametrize(
    ("amount", "quantity", "used", "owed"),
    [
        ("49.00", "1", "0", "49.00"),
        ("49.00", "1", "1000000", "49.00"),
        ("49.00", "3", "0", "147.00"),
        ("49.00", "0", "5", "0"),
        ("0.005", "2.5", "0", "0.0125"),
    ],
)
def test_flat_costs_its_amount_times_its_own_quantity_whatever_the_usage(
    amount: str, quantity: str, used: str, owed: str
) -> None:
    assert cost(price("flat", amount=amount, quantity=quantity), used) == D(owed)


@pytest.mark.parametrize(
    ("unit_price", "used", "owed"),
    [
        ("0.45", "0", "0"),
        ("0.45", "120", "54.00"),
        ("0.0000025", "1", "0.0000025"),
        ("0.125", "5", "0.625"),
        ("0", "99", "0"),
        ("0.000000000001", "12345678901234567890123456789012345678", "12345678901234567890123456.789012345678"),
    ],
)
def test_per_unit_prices_every_unit_and_keeps_its_full_scale(unit_price: str, used: str, owed: str) -> None:
    assert cost(price("per_unit", unit_price=unit_price), used) == D(owed)


@pytest.mark.parametrize(
    ("used", "graduated", "volume"),
    [
        ("0", "4.00", "4.00"),
        ("0.5", "4.40", "4.40"),
        ("50", "44.00", "44.00"),
        ("50.5", "46.775", "30.275"),
        ("200", "129.00", "112.50"),
        ("200.01", "129.003", "60.003"),
        ("260", "147.00", "78.00"),
    ],
)
def test_graduated_and_volume_price_the_example_of_section_2(used: str, graduated: str, volume: str) -> None:
    assert cost(price("graduated", tiers=TIERS), used) == D(graduated)
    assert cost(price("volume", tiers=TIERS), used) == D(volume)


def test_the_figures_of_section_2_are_rounded_half_away_from_zero() -> None:
    assert str(round_money(cost(price("graduated", tiers=TIERS), "50.5"), EUR)) == "46.78"
    assert str(round_money(cost(price("volume", tiers=TIERS), "50.5"), EUR)) == "30.28"


@pytest.mark.parametrize(
    ("used", "units"),
    [
        ("0", ["0"]),
        ("50", ["50"]),
        ("50.000001", ["50", "0.000001"]),
        ("200", ["50", "150"]),
        ("260", ["50", "150", "60"]),
    ],
)
def test_graduated_enters_a_tier_above_its_lower_bound_and_the_first_one_at_zero(used: str, units: list[str]) -> None:
    entered = price_quantity(price("graduated", tiers=TIERS), D(used)).tiers
    assert [tier.units for tier in entered] == [D(one) for one in units]
    assert sum(tier.amount for tier in entered) == cost(price("graduated", tiers=TIERS), used)


@pytest.mark.parametrize("model", ["graduated", "volume"])
@pytest.mark.parametrize(("used", "owed"), [("0", "0"), ("0.01", "5.001"), ("10", "6.0")])
def test_a_free_tier_to_zero_takes_the_fee_from_those_who_use_nothing(model: str, used: str, owed: str) -> None:
    tiers = [{"up_to": "0"}, {"unit_price": "0.10", "flat_fee": "5.00"}]
    assert cost(price(model, tiers=tiers), used) == D(owed)


@pytest.mark.parametrize(
    ("used", "rounding", "packages", "owed"),
    [
        ("0", "up", "0", "0"),
        ("5", "up", "0", "0"),
        ("5.5", "up", "1", "3.60"),
        ("29", "up", "1", "3.60"),
        ("29.5", "up", "2", "7.20"),
        ("53", "up", "2", "7.20"),
        ("28.9", "down", "0", "0"),
        ("29", "down", "1", "3.60"),
        ("52.9", "down", "1", "3.60"),
    ],
)
def test_package_counts_begun_packages_after_free_units_as_in_section_2(
    used: str, rounding: str, packages: str, owed: str
) -> None:
    priced = price_quantity(
        price("package", package_size="24", package_price="3.60", free_units="5", rounding=rounding), D(used)
    )
    assert priced.amount == D(owed)
    assert sum((tier.units for tier in priced.tiers), D(0)) == D(packages)
    assert priced.billed_quantity == max(D(0), D(used) - 5)


def test_package_slices_of_section_2_count_on_the_cumulative_quantity() -> None:
    dozen = price("package", package_size="24", package_price="3.60")
    assert [cost(dozen, used) for used in ("22", "50")] == [D("3.60"), D("10.80")]  # one package, then two more


@pytest.mark.parametrize(
    ("amount", "owed"),
    [("0", "1.00"), ("2000", "71.00"), ("2000.01", "76.000225"), ("3300", "105.25")],
)
def test_graduated_percentage_prices_the_example_of_section_2(amount: str, owed: str) -> None:
    rate = price(
        "graduated_percentage",
        tiers=[{"up_to": "2000", "rate_percent": "3.5", "flat_fee": "1.00"}, {"rate_percent": "2.25", "flat_fee": "5"}],
    )
    assert cost(rate, amount) == D(owed)


def test_dynamic_multiplies_the_sum_and_is_rounded_once_as_in_section_2() -> None:
    marked_up = price("dynamic", multiplier="1.15")
    assert cost(marked_up, "0.999") == D("1.14885")
    assert round_money(cost(marked_up, "0.999"), EUR) == D("1.15")
    assert 3 * round_money(cost(marked_up, "0.333"), EUR) == D("1.14")


SCALARS = [
    price("per_unit", unit_price="0.10"),
    price("graduated", tiers=TIERS),
    price("volume", tiers=TIERS),
    price("package", package_size="24", package_price="3.60"),
    price("graduated_percentage", tiers=[{"rate_percent": "1", "flat_fee": "2"}]),
    price("dynamic"),
]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: str(scalar.model))
def test_a_negative_quantity_is_priced_as_zero(scalar: Any) -> None:
    assert price_quantity(scalar, D(-7)) == price_quantity(scalar, D(0))


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: str(scalar.model))
@pytest.mark.parametrize(
    ("quantity", "problem"),
    [
        (1.5, "quantity: must be a decimal"),
        (True, "quantity: must be a decimal"),
        (D("NaN"), "quantity: must be a finite number"),
        (D("-Infinity"), "quantity: must be a finite number"),
        (D("1e60"), "quantity: has more than 60 digits"),
    ],
)
def test_what_is_no_exact_number_is_refused_by_name(scalar: Any, quantity: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        price_quantity(scalar, quantity)


@pytest.mark.parametrize(
    ("scalar", "used", "unit_price"),
    [
        (price("per_unit", unit_price="0.45"), "120", "0.45"),
        (price("volume", tiers=TIERS), "260", "0.3"),
        (price("package", package_size="24", package_price="3.60", free_units="5"), "29", "0.15"),
        (price("graduated", tiers=TIERS), "0", "0"),
    ],
)
def test_the_quoted_unit_price_is_the_amount_over_the_billed_quantity_and_0_for_0(
    scalar: Any, used: str, unit_price: str
) -> None:
    assert price_quantity(scalar, D(used)).unit_price == D(unit_price)


def test_a_price_that_needs_more_than_a_number_is_refused_for_a_number() -> None:
    with pytest.raises(TypeError, match="price: matrix does not price a single number"):
        price_quantity(price("matrix", prices=[{"match": {"region": ["eu"]}, "unit_price": "1"}]), D(1))


PAYMENTS = {"rate_percent": "1.8", "fixed_fee": "0.25", "free_events": 4, "free_amount": "120"}


@pytest.mark.parametrize(
    ("keys", "transactions", "per_event"),
    [
        # The example of section 2: free; free; 20 free; nothing left although only three have passed.
        (PAYMENTS, ["40", "60", "35", "90"], ["0", "0", "0.52", "1.87"]),
        (PAYMENTS | {"max_per_event": "1.50"}, ["40", "60", "35", "90"], ["0", "0", "0.52", "1.50"]),
        (PAYMENTS, [], []),
        # Only events are free: entirely, whatever their amount; the third pays.
        ({"rate_percent": "1", "free_events": 2}, ["100", "5000", "100"], ["0", "0", "1"]),
        # Only an amount is free; the allowance is used up exactly, then closed.
        ({"rate_percent": "1", "fixed_fee": "0.10", "free_amount": "100"}, ["100", "1"], ["0", "0.11"]),
        # The events run out before the amount does.
        ({"rate_percent": "1", "free_events": 1, "free_amount": "100"}, ["10", "50"], ["0", "0.5"]),
        # No allowance; amount 0 outside of it pays the fixed fee, and inside of it nothing.
        ({"rate_percent": "1", "fixed_fee": "0.10"}, ["0"], ["0.10"]),
        ({"rate_percent": "1", "fixed_fee": "0.10", "free_events": 1}, ["0", "0"], ["0", "0.10"]),
        ({"rate_percent": "1", "fixed_fee": "0.10", "free_events": 0}, ["100"], ["1.10"]),
        # The minimum does not reach into the allowance.
        ({"rate_percent": "1", "min_per_event": "0.30", "free_events": 1}, ["5", "5", "50"], ["0", "0.30", "0.5"]),
        ({"rate_percent": "1", "min_per_event": "2", "max_per_event": "2"}, ["5", "5000"], ["2", "2"]),
    ],
)
def test_percentage_prices_each_transaction_after_the_allowance(
    keys: dict[str, Any], transactions: list[str], per_event: list[str]
) -> None:
    priced = price_transactions(price("percentage", **keys), [D(amount) for amount in transactions])
    assert priced.per_event == tuple(D(amount) for amount in per_event)
    assert priced.amount == sum(priced.per_event, D(0))


def test_percentage_reports_what_it_consists_of_before_bounds() -> None:
    priced = price_transactions(price("percentage", **PAYMENTS, max_per_event="1.50"), [D(40), D(60), D(35), D(90)])
    assert priced.amount == D("2.02")
    assert (priced.use.rate_amount, priced.use.fixed_amount) == (D("1.89"), D("0.50"))
    assert (priced.use.events, priced.use.paid_events, priced.use.free_amount) == (4, 2, 120)


def test_a_negative_transaction_is_unpriced_and_uses_no_allowance() -> None:
    priced = price_transactions(price("percentage", rate_percent="1", free_events=1), [D(-5), D(10), D(10)])
    assert priced.unpriced == (D(-5),)
    assert priced.per_event == (D(0), D("0.1"))


EGRESS = price(
    "matrix",
    default_unit_price="0.09",
    prices=[
        {"match": {"region": ["eu", "uk"]}, "unit_price": "0.05", "group_by": ["service"]},
        {"match": {"region": ["eu"], "class": ["*"]}, "unit_price": "0.03"},
        {"match": {"class": ["cold"]}, "unit_price": "0.01"},
    ],
)


@pytest.mark.parametrize(
    ("values", "entry", "unit_price"),
    [
        ({"region": "uk"}, 0, "0.05"),
        ({"region": "eu", "service": "api"}, 0, "0.05"),
        ({"region": "eu", "class": "hot"}, 1, "0.03"),  # most dimensions win
        ({"region": "eu", "class": None}, 0, "0.05"),  # "*" is any value that is there
        ({"region": "uk", "class": "cold"}, 0, "0.05"),  # ties go to the earlier entry
        ({"region": "us", "class": "cold"}, 2, "0.01"),
        ({"region": "us"}, -1, "0.09"),
        ({}, -1, "0.09"),
    ],
)
def test_a_matrix_entry_matches_when_every_dimension_has_a_listed_value(
    values: dict[str, str | None], entry: int, unit_price: str
) -> None:
    (line,) = price_matrix(EGRESS, [UsageRow(D(1), values)]).lines
    assert (line.entry, line.unit_price) == (entry, D(unit_price))


def test_a_matrix_gives_a_line_per_entry_and_group_in_order_of_first_usage() -> None:
    usage = (
        *rows("3", region="us"),
        *rows("5", region="uk", service="api"),
        *rows("7", region="eu"),
        *rows("11", region="eu", service="api"),
    )
    lines = price_matrix(EGRESS, usage).lines
    assert [(line.entry, dict(line.values), line.quantity) for line in lines] == [
        (-1, {}, 3),
        (0, {"service": "api"}, 16),
        (0, {"service": None}, 7),
    ]


def test_usage_that_no_entry_and_no_default_prices_is_unpriced_and_never_free() -> None:
    strict = price("matrix", prices=[{"match": {"region": ["eu"]}, "unit_price": "0.05"}])
    priced = price_matrix(strict, (*rows("5", region="us"), *rows("7", region="eu")))
    assert [line.quantity for line in priced.lines] == [7]
    assert priced.unpriced == rows("5", region="us")


def test_bucketed_prices_the_days_of_section_2_alone() -> None:
    daily = price("bucketed", by="day", price={"model": "per_unit", "unit_price": "0.04"}, free_units_per_bucket="100")
    priced = price_buckets(daily, by_day(["130", "60", "0", "101"]))
    assert [bucket.amount for bucket in priced.buckets] == [D("1.20"), 0, D("0.04")]
    assert (priced.amount, priced.billed_quantity) == (D("1.24"), 31)


@pytest.mark.parametrize(
    ("quantities", "owed"),
    [([], "0"), (["0", "0"], "0"), (["0", "-4"], "0"), (["0.5"], "4.40"), (["50", "0", "0.5"], "48.40")],
)
def test_an_empty_bucket_costs_nothing_flat_fees_included(quantities: list[str], owed: str) -> None:
    daily = price("bucketed", by="day", price={"model": "graduated", "tiers": TIERS})
    assert price_buckets(daily, by_day(quantities)).amount == D(owed)


def test_a_bucket_within_its_free_units_still_has_usage_and_pays_the_base_fee() -> None:
    daily = price("bucketed", by="day", price={"model": "graduated", "tiers": TIERS}, free_units_per_bucket="10")
    assert price_buckets(daily, by_day(["5"])).amount == D("4.00")


def test_buckets_by_dimension_add_the_rows_of_a_group() -> None:
    packs = price("bucketed", by=["team"], price={"model": "package", "package_size": "10", "package_price": "1"})
    usage = (*rows("4", team="a"), *rows("4", team="b"), *rows("5", team="a"), *rows("2", team="a"))
    priced = price_buckets(packs, usage)
    assert [(dict(bucket.values), bucket.quantity, bucket.amount) for bucket in priced.buckets] == [
        ({"team": "a"}, 11, 2),
        ({"team": "b"}, 4, 1),
    ]


def test_buckets_by_window_need_rows_with_their_window() -> None:
    daily = price("bucketed", by="day", price={"model": "dynamic"})
    with pytest.raises(ValueError, match="usage: rows need their day window"):
        price_buckets(daily, rows("5"))


BLOCKS = [
    {"block_size": "10", "max_blocks": 2, "block_price": "5.00"},
    {"block_size": "100", "max_blocks": 1, "block_price": "30.00"},
]


@pytest.mark.parametrize(
    ("mode", "quantity", "owed", "unpriced"),
    [
        ("all_tiers", "0", "0", None),
        ("all_tiers", "10", "5.00", None),
        ("all_tiers", "10.5", "10.00", None),
        ("all_tiers", "20", "10.00", None),
        ("all_tiers", "21", "40.00", None),
        ("all_tiers", "120", "40.00", None),
        ("all_tiers", "125", "40.00", "5"),
        ("top_tier", "0", "0", None),
        ("top_tier", "20", "10.00", None),
        ("top_tier", "21", "30.00", None),
        ("top_tier", "120", "60.00", None),
        ("top_tier", "125", "60.00", "5"),
    ],
)
def test_tiered_blocks_fill_tiers_or_price_all_in_the_tier_that_reaches(
    mode: str, quantity: str, owed: str, unpriced: str | None
) -> None:
    blocks = price("tiered_blocks", components={"gib": BLOCKS}, mode=mode)
    priced = price_blocks(blocks, {"gib": D(quantity)})
    assert priced.amount == D(owed)
    assert priced.unpriced == ({} if unpriced is None else {"gib": D(unpriced)})


@pytest.mark.parametrize(
    ("readings", "owed", "is_priced"),
    [
        ({}, "10", True),
        ({"cpu": "4", "gib": "16"}, "10", True),
        ({"cpu": "4.01", "gib": "16"}, "25", True),
        ({"cpu": "4", "gib": "17"}, "25", True),
        ({"cpu": "9", "gib": "64"}, "0", False),
    ],
)
def test_capacity_takes_the_first_tier_whose_limits_all_hold(
    readings: dict[str, str], owed: str, is_priced: bool
) -> None:
    capacity = price(
        "capacity", tiers=[{"max": {"cpu": "4", "gib": "16"}, "price": "10"}, {"max": {"cpu": "8"}, "price": "25"}]
    )
    priced = price_capacity(capacity, {name: D(limit) for name, limit in readings.items()})
    assert (priced.amount, not priced.unpriced) == (D(owed), is_priced)
