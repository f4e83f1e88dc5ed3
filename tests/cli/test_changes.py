"""What people may write for seats, terms and prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import typer

from agents.cli.adjustments import price_of
from agents.cli.simulate import rounded_up
from agents.cli.subscriptions import contract_of, quantities_of


def test_seats_are_written_as_card_and_number() -> None:
    assert quantities_of(["seats=5", "admins=0.5"]) == {"seats": "5", "admins": "0.5"}
    with pytest.raises(typer.BadParameter, match="such as seats=5"):
        quantities_of(["5"])


@pytest.mark.parametrize(
    ("text", "renews", "contract"),
    [
        ("", False, None),
        ("1year", False, {"term": {"unit": "year", "count": 1}, "renews": False}),
        ("6 months", True, {"term": {"unit": "month", "count": 6}, "renews": True}),
    ],
)
def test_a_contract_is_written_as_a_number_of_units(text: str, renews: bool, contract: dict[str, Any] | None) -> None:
    assert contract_of(text, renews=renews) == contract


@pytest.mark.parametrize("text", ["year", "0month", "1 fortnight", "-1year"])
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="such as 1year"):
        contract_of(text, renews=False)


@pytest.mark.parametrize(
    "text", ['model = "per_unit"; unit_price = 0.10', '{ model = "per_unit", unit_price = 0.10 }']
)  # fmt: skip
def test_a_price_is_toml_with_numbers_at_their_literal_value(text: str) -> None:
    assert price_of(text) == {"model": "per_unit", "unit_price": Decimal("0.10")}


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="is no TOML"):
        price_of("per unit")


def test_ticks_of_a_simulation_are_at_whole_steps_at_or_after_what_is_due() -> None:
    hour = timedelta(hours=1)
    assert rounded_up(datetime(2027, 1, 1, 2, 30, tzinfo=UTC), hour) == datetime(2027, 1, 1, 3, tzinfo=UTC)
    assert rounded_up(datetime(2027, 1, 1, 3, tzinfo=UTC), hour) == datetime(2027, 1, 1, 3, tzinfo=UTC)
