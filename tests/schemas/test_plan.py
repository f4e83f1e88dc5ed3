"""rating.md §3, §4, §5: the shape of a plan, its defaults, and what is refused."""

import tomllib
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.money import Currency
from schemas.plan import Interval, Plan, Proration, RateCard
from schemas.price import Bucketed, Graduated, Matrix, Percentage

D = Decimal

PER_UNIT = {"model": "per_unit", "unit_price": "0.08"}
FLAT = {"model": "flat", "amount": "49.00"}
PACKAGE = {"model": "package", "package_size": "1", "package_price": "1", "free_units": "1"}
BUCKETED = {"model": "bucketed", "by": "day", "price": PER_UNIT, "free_units_per_bucket": "1"}

# The example of rating.md §3.
TEAM = """
[plan]
id = "team"
version = 3
currency = "EUR"
interval = { unit = "month", count = 1 }
anchor = "subscription"
thresholds = ["500.00", "1500.00"]
recurring_threshold = "1000.00"

[[plan.rate_cards]]
id = "platform"
timing = "advance"
price = { model = "flat", amount = "49.00" }
proration = { basis = "day" }

[[plan.rate_cards]]
id = "requests"
meter = "api_requests"
unit_conversion = { operation = "divide", factor = "1000", rounding = "ceiling" }
free_units = "50"
percentage_discount = "5"
maximum = "900.00"
minimum = "20.00"
price.model = "graduated"
price.tiers = [{ up_to = "500", unit_price = "0.10", flat_fee = "5.00" }, { unit_price = "0.06" }]

[[plan.rate_cards]]
id = "storage"
meter = "stored_gib"
price = { model = "per_unit", unit_price = "0.0285" }
commitment = { amount = "200.00", overage_factor = "1.25", true_up = true }

[[plan.rate_cards]]
id = "egress"
meter = "egress_gib"
price.model = "matrix"
price.default_unit_price = "0.09"
price.prices = [
  { match = { region = ["eu", "uk"] }, unit_price = "0.05", group_by = ["service"] },
  { match = { region = ["eu"], class = ["*"] }, unit_price = "0.03" },
]

[[plan.rate_cards]]
id = "payments"
meter = "payments"
price = { model = "percentage", rate_percent = "1.8", fixed_fee = "0.25", free_events = 4, free_amount = "120" }

[[plan.rate_cards]]
id = "exports"
meter = "peak_exports"
price = { model = "bucketed", by = "day", price = { model = "package", package_size = "24", package_price = "3.60" } }
"""


def plan(**changed: Any) -> dict[str, Any]:
    return {"id": "team", "currency": "EUR", "rate_cards": [{"id": "platform", "price": FLAT}]} | changed


def faults(raw: dict[str, Any], model: type[Plan] | type[RateCard] = Plan) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(raw)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def card(**changed: Any) -> dict[str, Any]:
    return {"id": "usage", "meter": "requests", "price": PER_UNIT} | changed


def test_the_example_of_section_3_is_a_plan() -> None:
    team = Plan.model_validate(tomllib.loads(TEAM, parse_float=D)["plan"])
    assert team.version == 3
    assert team.thresholds == (500, 1500)
    assert [type(one.price) for one in team.rate_cards[3:]] == [Matrix, Percentage, Bucketed]
    requests = team.rate_cards[1]
    assert isinstance(requests.price, Graduated)
    assert requests.unit_conversion is not None
    assert requests.unit_conversion.precision == 0
    assert requests.proration == Proration(basis="day", applies_to=("fee", "minimum", "commitment"))


def test_a_plan_survives_the_wire() -> None:
    team = Plan.model_validate(tomllib.loads(TEAM, parse_float=D)["plan"])
    assert Plan.model_validate_json(team.model_dump_json()) == team


def test_numbers_in_toml_are_read_at_their_literal_value() -> None:
    raw = tomllib.loads(TEAM.replace('"0.0285"', "0.0285"), parse_float=D)["plan"]
    assert Plan.model_validate(raw).rate_cards[2].price.unit_price == D("0.0285")  # type: ignore[union-attr]


def test_a_plan_without_more_is_monthly_from_its_subscription_and_waits_six_hours() -> None:
    plain = Plan.model_validate(plan())
    assert (plain.interval, plain.anchor, plain.grace) == (Interval(unit="month", count=1), None, timedelta(hours=6))
    assert plain.money == Currency("EUR", 2)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("6 h", timedelta(hours=6)),
        ("90 min", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("30 s", timedelta(seconds=30)),
        ("PT6H", timedelta(hours=6)),
        ("0 s", timedelta(0)),
    ],
)
def test_grace_is_a_length_of_time(written: str, meant: timedelta) -> None:
    assert Plan.model_validate(plan(grace=written)).grace == meant


@pytest.mark.parametrize("written", ["-6 h", "-PT6H", "soon", "6 hours or so"])
def test_a_grace_that_is_negative_or_no_length_is_refused(written: str) -> None:
    assert "grace" in faults(plan(grace=written))


@pytest.mark.parametrize("anchor", ["subscription", "calendar", "2027-10-31", date(2027, 10, 31)])
def test_an_anchor_is_the_subscription_the_calendar_or_a_date(anchor: object) -> None:
    found = Plan.model_validate(plan(anchor=anchor)).anchor
    assert found in ("subscription", "calendar", date(2027, 10, 31))


def test_a_custom_unit_brings_its_scale() -> None:
    assert Plan.model_validate(plan(currency="CREDITS", minor_units=0)).money == Currency("CREDITS", 0)
    assert "unknown code 'CREDITS'" in faults(plan(currency="CREDITS"))["currency"]
    assert "ISO 4217" in faults(plan(currency="EUR", minor_units=3))["currency"]


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"interval": {"unit": "fortnight"}}, "interval.unit"),
        ({"interval": {"unit": "month", "count": 0}}, "interval.count"),
        ({"interval": {"unit": "month", "count": D("1.5")}}, "interval.count"),
        ({"billing_day": 0}, "billing_day"),
        ({"billing_day": 32}, "billing_day"),
        ({"billing_day": 5, "interval": {"unit": "day"}}, "billing_day"),
        ({"billing_day": 5, "interval": {"unit": "week"}}, "billing_day"),
        ({"billing_day": 5, "anchor": "calendar"}, "anchor"),
        ({"thresholds": ["500", "500"]}, "thresholds.1"),
        ({"thresholds": ["500", "400"]}, "thresholds.1"),
        ({"thresholds": ["0"]}, "thresholds.0"),
        ({"recurring_threshold": "0"}, "recurring_threshold"),
        ({"rate_cards": []}, "rate_cards"),
        ({"rate_cards": [{"id": "a", "price": FLAT}, {"id": "a", "price": FLAT}]}, "rate_cards.1.id"),
        ({"currency": "EURO"}, "currency"),
        ({"currencies": "USD"}, "currencies"),
        ({"tax_behavior": "none"}, "tax_behavior"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(changed: dict[str, Any], path: str) -> None:
    assert path in faults(plan(**changed))


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        ({"unit_conversion": {"factor": "0"}}, "unit_conversion.factor", "greater than 0"),
        ({"unit_conversion": {"factor": "-1"}}, "unit_conversion.factor", "greater than 0"),
        ({"unit_conversion": {"factor": "1", "precision": D("0.5")}}, "unit_conversion.precision", "integer"),
        ({"percentage_discount": "-1"}, "percentage_discount", "greater than or equal to 0"),
        ({"percentage_discount": "100.01"}, "percentage_discount", "less than or equal to 100"),
        ({"maximum": "10", "minimum": "11"}, "minimum", "at most the maximum, 10"),
        ({"maximum": "-1"}, "maximum", "greater than or equal to 0"),
        ({"minimum": "-1"}, "minimum", "greater than or equal to 0"),
        ({"commitment": {"amount": "1"}, "maximum": "2"}, "commitment", "left out beside maximum"),
        ({"commitment": {"amount": "1"}, "minimum": "2"}, "commitment", "left out beside minimum"),
        ({"commitment": {"amount": "1", "quantity": "1"}}, "commitment.quantity", "either amount or quantity"),
        ({"commitment": {"overage_factor": "1"}}, "commitment.quantity", "either amount or quantity"),
        ({"commitment": {"amount": "1", "overage_factor": "-1"}}, "commitment.overage_factor", "greater than or equal"),
        ({"commitment": {"amount": "-1"}}, "commitment.amount", "greater than or equal to 0"),
        ({"free_units": "5", "free_units_reset": "day", "commitment": {"amount": "1", "per": "hour"}}, "commitment",
         "must be made of whole windows of a day"),
        ({"free_units": "5", "free_units_reset": "week", "commitment": {"amount": "1", "per": "month"}}, "commitment",
         "must be made of whole windows of a week"),
        ({"price": BUCKETED, "commitment": {"amount": "1", "per": "minute"}}, "commitment", "of a day, by which"),
        ({"free_units": "-1"}, "free_units", "greater than or equal to 0"),
        (
            {"free_units": "1", "price": PACKAGE},
            "free_units",
            "free units of its own",
        ),
        (
            {"free_units": "1", "price": BUCKETED},
            "free_units",
            "free units of its own",
        ),
        ({"free_units": "1", "price": FLAT}, "free_units", "a flat price has no quantity"),
        ({"unit_conversion": {"factor": "2"}, "price": FLAT}, "unit_conversion", "a flat price has no quantity"),
        ({"timing": "advance"}, "timing", "usage is known only when its period has ended"),
        ({"timing": "later"}, "timing", "'advance' or 'arrears'"),
        ({"one_time": True}, "one_time", "only fees"),
        ({"proration": {"basis": "hour"}}, "proration.Proration.basis", "'day' or 'second'"),
    ],
)  # fmt: skip
def test_modifiers_that_contradict_the_price_or_each_other_are_refused(
    changed: dict[str, Any], path: str, message: str
) -> None:
    assert message in faults(card(**changed), RateCard)[path]


def test_a_price_of_usage_needs_a_meter() -> None:
    assert "needs a meter" in faults({"id": "x", "price": PER_UNIT}, RateCard)["price"]


def test_a_maximum_equal_to_the_minimum_and_one_finer_than_a_cent_are_legal() -> None:
    RateCard.model_validate(card(maximum="10", minimum="10"))
    RateCard.model_validate(card(maximum="10.005"))


@pytest.mark.parametrize(
    ("commitment", "trues_up"),
    [
        ({"amount": "1"}, True),
        ({"amount": "1", "per": {"unit": "month", "count": 3}}, True),
        ({"amount": "1", "per": "day"}, False),
        ({"amount": "1", "per": "day", "true_up": True}, True),
        ({"amount": "1", "true_up": False}, False),
    ],
)
def test_periods_and_terms_true_up_by_default_and_windows_do_not(commitment: dict[str, Any], trues_up: bool) -> None:
    found = RateCard.model_validate(card(commitment=commitment)).commitment
    assert found is not None
    assert found.trues_up is trues_up
