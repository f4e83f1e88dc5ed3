"""The example catalogues: every aggregation, price model and modifier once, valid for the check and for an editor."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import get_args

import jsonschema
import pytest

from agents.catalogue_files import example_folder
from agents.catalogue_schema import catalogue_schema
from pipeline.catalogue.loading import Loaded, load_catalogue
from pipeline.rating.rate_request import RateRequest, rate_request
from schemas.meter import Aggregation
from schemas.plan import Interval, Plan, RateCard
from schemas.price import AnyPrice

FOLDER = example_folder() / "models"
FILES = {file.name: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.toml"))}
MODIFIERS = (
    "unit_conversion", "free_units", "percentage_discount", "maximum", "minimum", "commitment", "interval", "tax_rates",
)  # fmt: skip


def loaded() -> Loaded:
    found = load_catalogue(FILES)
    assert found.faults == ()
    return found


def cards() -> list[RateCard]:
    return [card for plan in loaded().plans for card in plan.rate_cards]


@pytest.mark.parametrize("name", FILES)
def test_an_editor_marks_nothing_in_an_example(name: str) -> None:
    validator = jsonschema.Draft202012Validator(catalogue_schema())
    content = tomllib.loads(FILES[name], parse_float=Decimal)
    assert [error.message for error in validator.iter_errors(content)] == []


def test_every_aggregation_has_a_meter() -> None:
    assert {meter.aggregation for meter in loaded().meters} == set(get_args(Aggregation))


def test_every_price_model_has_a_rate_card() -> None:
    assert {card.price.model for card in cards()} == {kind.model_fields["model"].default for kind in get_args(AnyPrice)}


def test_every_modifier_has_a_rate_card() -> None:
    found = cards()
    assert [name for name in MODIFIERS if not any(getattr(card, name) for card in found)] == []
    assert {card.free_units_reset for card in found} >= {"period", "day"}
    assert {card.timing for card in found} == {"advance", "arrears"}
    assert any(card.one_time for card in found)
    assert {card.proration.basis if card.proration else False for card in found} == {"day", "second", False}
    commitments = [card.commitment for card in found if card.commitment is not None]
    assert {held.amount is None for held in commitments} == {True, False}
    assert {"term" if isinstance(held.per, Interval) else held.per for held in commitments} == {"period", "day", "term"}


def test_a_plan_shows_what_stands_around_the_prices() -> None:
    plan: Plan = next(plan for plan in loaded().plans if plan.id == "every-modifier")
    assert (plan.billing_day, len(plan.thresholds), plan.recurring_threshold) == (31, 2, Decimal(1000))
    assert plan.commitment is not None
    assert [listed.currency for listed in plan.price_lists] == ["JPY"]
    assert {rate.compound for rate in loaded().tax_rates} == {True, False}
    assert {coupon.type for coupon in loaded().coupons} == {"percentage", "fixed"}


@pytest.mark.parametrize("card", [pytest.param(card, id=card.id) for card in cards()])
def test_every_example_is_priced_without_usage(card: RateCard) -> None:
    answer = rate_request(RateRequest(rate_card=card))
    owed = {"platform": "49", "setup": "99", "requests": "4", "turnover": "1", "size": "20", "bounded": "20",
            "committed-amount": "200", "committed-units": "50", "fee-by-seconds": "60",
            "fee-in-full": "10"}  # fmt: skip
    assert answer.amount == Decimal(owed.get(card.id, "0"))
