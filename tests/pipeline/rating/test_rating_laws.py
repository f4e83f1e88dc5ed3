"""rating.md §0 as laws over generated rate cards and usage: slices change no sum, billed = rated, lines add up."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.rating.charge_lines import rate_slice
from pipeline.rating.pricing import UsageRow, price_quantity, price_transactions
from schemas.period import Period
from schemas.plan import RateCard
from schemas.price import Price
from tests.pipeline.generated import MODELS, PRICES, cards, decimals, percentage, usage
from tests.pipeline.rate_cards import D, day, terms

PRICE: TypeAdapter[Any] = TypeAdapter(Price)
SERVICE = terms(Period(day(4), day(9)))


@given(cards(), usage(), st.lists(st.integers(0, 12), max_size=4))
def test_splitting_a_period_into_slices_never_changes_the_sum(
    card: RateCard, rows: tuple[UsageRow, ...], cuts: list[int]
) -> None:
    whole = rate_slice(card, rows, SERVICE)
    previous = None
    billed = D(0)
    for end in [*sorted(cuts), len(rows)]:
        is_last = end == len(rows)
        found = rate_slice(card, rows[:end], SERVICE, previous=previous, final=is_last)
        assert sum((line.amount for line in found.lines), D(0)) == found.billed.total
        billed += found.billed.total
        previous = found.stages
    assert billed == whole.billed.total


@given(cards(), st.lists(usage(), min_size=1, max_size=4))
def test_billed_is_rated_whatever_was_corrected_between_runs(card: RateCard, runs: list[tuple[UsageRow, ...]]) -> None:
    previous = None
    billed = D(0)
    for rows in runs:
        found = rate_slice(card, rows, SERVICE, previous=previous)
        billed += sum((line.amount for line in found.lines), D(0))
        assert billed == rate_slice(card, rows, SERVICE).billed.total
        previous = found.stages
    again = rate_slice(card, runs[-1], SERVICE, previous=previous)
    assert (again.billed.total, [line.amount for line in again.lines if line.amount]) == (0, [])


@given(cards(), usage(), st.booleans())
def test_law_rating_again_what_was_rated_bills_nothing(
    card: RateCard, rows: tuple[UsageRow, ...], is_final: bool
) -> None:
    once = rate_slice(card, rows, SERVICE, final=is_final)
    again = rate_slice(card, rows, SERVICE, previous=once.stages, final=is_final)
    assert again.stages == once.stages
    assert [line.amount for line in again.lines if line.amount] == []
    assert rate_slice(card, rows, SERVICE, final=is_final) == once


@given(cards(), st.lists(usage(), min_size=1, max_size=4))
def test_law_credits_never_exceed_what_was_billed(card: RateCard, runs: list[tuple[UsageRow, ...]]) -> None:
    previous = None
    debits = credits = D(0)
    for rows in runs:
        found = rate_slice(card, rows, SERVICE, previous=previous)
        debits += sum((line.amount for line in found.lines if line.amount > 0), D(0))
        credits -= sum((line.amount for line in found.lines if line.amount < 0), D(0))
        assert credits <= debits
        previous = found.stages


@given(cards(), usage())
def test_a_line_is_its_gross_less_its_discounts_at_the_minor_unit(card: RateCard, rows: tuple[UsageRow, ...]) -> None:
    for line in rate_slice(card, rows, SERVICE).lines:
        assert line.amount == line.gross - sum(discount.amount for discount in line.discounts)
        assert line.amount.as_tuple().exponent == -2
        if line.commitment is None and line.kind != "top_up":
            # Half a unit of its gross, and less than one of a discount that was allocated to several lines.
            assert abs(line.amount - line.amount_exact) < D("0.015")


@given(cards(), usage())
def test_parts_of_a_commitment_add_up_to_the_amount(card: RateCard, rows: tuple[UsageRow, ...]) -> None:
    rated = rate_slice(card, rows, SERVICE)
    use = rated.stages.commitment
    assert (use is None) is (card.commitment is None)
    if use is not None:
        assert use.utilized + use.overage + use.true_up == rated.billed.total


@given(cards(), usage())
def test_a_zero_length_span_costs_nothing(card: RateCard, rows: tuple[UsageRow, ...]) -> None:
    nothing = rate_slice(card, rows, terms(Period(day(4), day(4))))
    assert (nothing.billed.total, nothing.lines) == (0, ())


@given(cards(with_commitment=False), usage())
def test_no_final_amount_is_below_the_minimum_or_above_the_maximum(card: RateCard, rows: tuple[UsageRow, ...]) -> None:
    rated = rate_slice(card, rows, terms())
    if card.maximum is not None:
        assert rated.billed.capped <= card.maximum + D("0.005")
    if card.minimum is not None:
        assert rated.billed.total >= card.minimum - D("0.005")
    assert rated.billed.total >= 0


MONOTONE = ["flat", "per_unit", "graduated", "package", "graduated_percentage", "dynamic"]


@pytest.mark.parametrize("model", MONOTONE)
def test_more_usage_never_costs_less_in_models_other_than_volume(model: str) -> None:
    @given(MODELS[model], st.lists(decimals(0, 4000), min_size=2, max_size=5))
    def law(written: dict[str, Any], quantities: list[str]) -> None:
        price = PRICE.validate_python(written)
        costs = [price_quantity(price, quantity).amount for quantity in sorted(map(D, quantities))]
        assert all(less <= more for less, more in pairwise(costs))

    law()


@given(percentage, st.lists(decimals(0, 900, 2).map(D), max_size=8))
def test_percentage_adds_up_over_transactions_and_more_of_them_never_cost_less(
    written: dict[str, Any], amounts: list[Decimal]
) -> None:
    price = PRICE.validate_python(written)
    priced = price_transactions(price, amounts)
    assert priced.amount == sum(priced.per_event, D(0))
    assert priced.per_event[:-1] == price_transactions(price, amounts[:-1]).per_event
    assert priced.use.free_amount <= (price.free_amount if price.free_amount is not None else sum(amounts, D(0)))


@given(
    st.sampled_from(["graduated", "volume"]), PRICES, decimals(-10, 4000), st.lists(st.integers(1, 3000), unique=True)
)
def test_tiers_at_one_price_are_no_tiers(model: str, unit_price: str, quantity: str, bounds: list[int]) -> None:
    tiers = [{"up_to": str(bound), "unit_price": unit_price} for bound in sorted(bounds)] + [{"unit_price": unit_price}]
    tiered = price_quantity(PRICE.validate_python({"model": model, "tiers": tiers}), D(quantity)).amount
    assert tiered == max(D(0), D(quantity)) * D(unit_price)


@given(cards(), usage(), st.randoms())
def test_the_order_of_windows_and_groups_changes_no_total(
    card: RateCard, rows: tuple[UsageRow, ...], random: Any
) -> None:
    if card.price.model == "percentage" or (card.price.model == "matrix" and card.free_units is not None):
        return  # what is free depends on the order of transactions, and free units of a matrix on that of its lines
    if card.price.model == "bucketed" or not card.commitment:
        shuffled = list(rows)
        random.shuffle(shuffled)
        assert rate_slice(card, shuffled, SERVICE).billed.total == rate_slice(card, rows, SERVICE).billed.total
