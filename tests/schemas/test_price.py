"""rating.md §2, "Refused": what a price may not say."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.price import Graduated, Price

PRICE: TypeAdapter[Any] = TypeAdapter(Price)

TIERS = [{"up_to": "50", "unit_price": "0.80", "flat_fee": "4.00"}, {"unit_price": "0.30"}]


def faults(price: dict[str, Any]) -> dict[str, str]:
    """Path below the model's tag -> message."""
    with pytest.raises(ValidationError) as caught:
        PRICE.validate_python(price)
    return {".".join(map(str, error["loc"][1:])): error["msg"] for error in caught.value.errors()}


def test_defaults_are_those_of_the_table() -> None:
    price = PRICE.validate_python({"model": "graduated", "tiers": [{"up_to": "0"}, {}]})
    assert isinstance(price, Graduated)
    assert [(tier.unit_price, tier.flat_fee) for tier in price.tiers] == [(0, 0), (0, 0)]


def test_prices_go_over_the_wire_as_strings() -> None:
    price = PRICE.validate_python({"model": "graduated", "tiers": TIERS})
    text = PRICE.dump_json(price)
    assert b'"unit_price":"0.8","flat_fee":"4"' in text
    assert PRICE.validate_json(text) == price


@pytest.mark.parametrize("model", ["graduated", "volume", "graduated_percentage"])
@pytest.mark.parametrize(
    ("tiers", "path", "message"),
    [
        ([], "tiers", "at least 1"),
        ([{"up_to": "500"}, {"up_to": "500"}, {}], "tiers.1.up_to", "must be greater than 500 (tiers ascend)"),
        ([{"up_to": "500"}, {"up_to": "400"}, {}], "tiers.1.up_to", "must be greater than 500 (tiers ascend)"),
        ([{}, {"up_to": "400"}, {}], "tiers.0.up_to", "is missing: only the last tier is open"),
        ([{"up_to": "400"}], "tiers.0.up_to", "must be left out: the last tier is open"),
        ([{"up_to": "-1"}, {}], "tiers.0.up_to", "greater than or equal to 0"),
        ([{"flat_fee": "-1"}], "tiers.0.flat_fee", "greater than or equal to 0"),
        ([{"up_too": "1"}], "tiers.0.up_too", "not permitted"),
    ],
)
def test_tiers_that_contradict_each_other_are_refused(
    model: str, tiers: list[dict[str, str]], path: str, message: str
) -> None:
    assert message in faults({"model": model, "tiers": tiers})[path]


def test_all_faults_of_tiers_come_together() -> None:
    found = faults({"model": "volume", "tiers": [{"up_to": "5"}, {"up_to": "5", "unit_price": "-1"}, {"up_to": "3"}]})
    assert sorted(found) == ["tiers.1.unit_price", "tiers.1.up_to", "tiers.2.up_to"]


def test_a_first_tier_up_to_zero_is_a_free_one() -> None:
    PRICE.validate_python({"model": "graduated", "tiers": [{"up_to": "0"}, {"flat_fee": "5"}]})


@pytest.mark.parametrize(
    ("price", "path"),
    [
        ({"model": "flat", "amount": "-1"}, "amount"),
        ({"model": "flat", "amount": "1", "quantity": "-1"}, "quantity"),
        ({"model": "per_unit", "unit_price": "-0.01"}, "unit_price"),
        ({"model": "package", "package_size": "0", "package_price": "1"}, "package_size"),
        ({"model": "package", "package_size": "-3", "package_price": "1"}, "package_size"),
        ({"model": "package", "package_size": "3", "package_price": "-1"}, "package_price"),
        ({"model": "package", "package_size": "3", "package_price": "1", "free_units": "-1"}, "free_units"),
        ({"model": "package", "package_size": "3", "package_price": "1", "rounding": "half_up"}, "rounding"),
        ({"model": "graduated_percentage", "tiers": [{"rate_percent": "-1"}]}, "tiers.0.rate_percent"),
        ({"model": "dynamic", "multiplier": "-1"}, "multiplier"),
        ({"model": "percentage", "rate_percent": "-1"}, "rate_percent"),
        ({"model": "percentage", "rate_percent": "1", "fixed_fee": "-1"}, "fixed_fee"),
        ({"model": "percentage", "rate_percent": "1", "free_events": -1}, "free_events"),
        ({"model": "percentage", "rate_percent": "1", "free_events": 1.5}, "free_events"),
        ({"model": "percentage", "rate_percent": "1", "free_amount": "-1"}, "free_amount"),
        ({"model": "percentage", "rate_percent": "1", "min_per_event": "2", "max_per_event": "1"}, "max_per_event"),
        ({"model": "matrix", "prices": []}, "prices"),
        ({"model": "matrix", "prices": [{"match": {}, "unit_price": "1"}]}, "prices.0.match"),
        ({"model": "matrix", "prices": [{"match": {"region": []}, "unit_price": "1"}]}, "prices.0.match.region"),
        ({"model": "bucketed", "by": "day", "price": {"model": "matrix", "prices": []}}, "price"),
        ({"model": "bucketed", "by": "day", "price": {"model": "bucketed"}}, "price"),
        ({"model": "bucketed", "by": "day", "price": {"model": "percentage", "rate_percent": "1"}}, "price"),
        (
            {
                "model": "bucketed",
                "by": "day",
                "price": {"model": "flat", "amount": "1"},
                "free_units_per_bucket": "-1",
            },
            "free_units_per_bucket",
        ),
        ({"model": "tiered_blocks", "components": {}}, "components"),
        ({"model": "capacity", "tiers": []}, "tiers"),
    ],
)
def test_prices_that_cannot_be_meant_are_refused(price: dict[str, Any], path: str) -> None:
    assert any(found == path or found.startswith(f"{path}.") for found in faults(price))


def test_a_float_price_is_refused() -> None:
    assert "must be a decimal, as a string" in faults({"model": "per_unit", "unit_price": 0.1})["unit_price"]
