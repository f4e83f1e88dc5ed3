"""A plan in several currencies: one price list each, everything else the plan's."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pipeline.catalogue.loading import load_catalogue
from pipeline.subscriptions.fold import decide
from schemas.catalogue_entry import ENTRY, Catalogue, PlanEntry, catalogue_of
from schemas.command import Subscribe
from schemas.customer_state import CustomerState
from schemas.money import Currency
from schemas.plan import Plan
from schemas.tick import Tick, Vector

D = Decimal

CATALOGUE = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"

[[plans]]
id = "team"
currency = "EUR"
thresholds = ["500"]

[[plans.rate_cards]]
id = "fee"
price = { model = "flat", amount = "49.00" }

[[plans.rate_cards]]
id = "use"
meter = "calls"
unit_conversion = { factor = "1000" }
minimum = "5.00"
maximum = "900"
price = { model = "per_unit", unit_price = "0.10" }

[[plans.price_lists]]
currency = "JPY"
thresholds = ["80000"]
rate_cards.fee = { price = { model = "flat", amount = "7900" } }
rate_cards.use = { minimum = "800", maximum = "150000", price = { model = "per_unit", unit_price = "16" } }

[[plans.price_lists]]
currency = "TOK"
minor_units = 4
thresholds = ["1000"]
rate_cards.fee = { price = { model = "flat", amount = "100" } }
rate_cards.use = { minimum = "1", maximum = "900", price = { model = "per_unit", unit_price = "0.2" } }
"""


def team(text: str = CATALOGUE) -> Plan:
    loaded = load_catalogue({"plans.toml": text})
    assert loaded.faults == ()
    return loaded.plans[0]


def test_a_plan_has_the_prices_of_the_currency_and_all_else_of_its_own() -> None:
    plan = team()
    assert plan.currencies == ("EUR", "JPY", "TOK")
    yen = plan.in_currency("JPY")
    fee, use = yen.rate_cards
    assert (yen.money, fee.price.amount, use.price.unit_price) == (Currency("JPY", 0), D(7900), D(16))  # type: ignore[union-attr]
    assert (use.minimum, use.maximum, yen.thresholds) == (D(800), D(150000), (D(80000),))
    assert (use.meter, use.unit_conversion) == ("calls", plan.rate_cards[1].unit_conversion)
    assert yen.currencies == ("JPY",)
    assert plan.in_currency("TOK").money == Currency("TOK", 4)
    assert plan.in_currency("EUR") is plan


def test_a_plan_survives_the_wire_with_its_price_lists() -> None:
    entry = PlanEntry.of(team(), {"calls": "v1"})
    assert ENTRY.validate_json(entry.model_dump_json()) == entry


def test_a_currency_that_is_not_offered_is_refused() -> None:
    with pytest.raises(LookupError, match="plan team is not offered in USD; EUR, JPY, TOK"):
        team().in_currency("USD")


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"JPY"', '"EUR"', "plans[0].price_lists[0].currency: must differ: the plan has prices in EUR already"),
        ('"JPY"', '"JPX"',
         "plans[0].price_lists[0].currency: unknown code 'JPX'; use an ISO 4217 code such as \"EUR\" or define a unit"),
        ('rate_cards.fee = { price = { model = "flat", amount = "7900" } }\n', "",
         "plans[0].price_lists[0].rate_cards.fee: is missing: the rate card needs a price in JPY"),
        ("rate_cards.fee", "rate_cards.fees",
         "plans[0].price_lists[0].rate_cards.fees: no rate card of the plan has this id"),
        ('minimum = "800", ', "",
         "plans[0].price_lists[0].rate_cards.use.minimum: must be given in JPY if and only if the rate card has one"),
        ('amount = "7900" }', 'amount = "7900" }, minimum = "1"',
         "plans[0].price_lists[0].rate_cards.fee.minimum: must be given in JPY if and only if the rate card has one"),
        ('thresholds = ["80000"]', "",
         "plans[0].price_lists[0].thresholds: must be given in JPY if and only if the plan has one"),
        ('minimum = "800"', 'minimum = "150001"',
         "plans[0].price_lists[0].rate_cards.use.minimum: must be at most the maximum, 150000"),
        ('amount = "7900"', 'amount = "-1"',
         "plans[0].price_lists[0].rate_cards.fee.price.amount: must be at least 0, not '-1'"),
        ('{ model = "flat", amount = "7900" }', '{ model = "per_unit", unit_price = "1" }',
         "plans[0].price_lists[0].rate_cards.fee.price: a per_unit price needs a meter; a fee without one is flat"),
        ('{ model = "per_unit", unit_price = "16" }', '{ model = "dynamic" }',
         "plans[0].price_lists[0].rate_cards.use.meter: must be a sum of amounts for a dynamic price; calls is count"),
        ("minor_units = 4\n", "",
         "plans[0].price_lists[1].currency: unknown code 'TOK'; use an ISO 4217 code such as \"EUR\" or define a unit"),
    ],
)  # fmt: skip
def test_refused_price_lists(before: str, after: str, fault: str) -> None:
    assert before in CATALOGUE
    loaded = load_catalogue({"plans.toml": CATALOGUE.replace(before, after, 1)})
    assert fault in [f"{found.path}: {found.problem}" for found in loaded.faults]


TICK = Tick(number=1, time=datetime(2027, 6, 1, tzinfo=UTC), clock="test", vector=Vector())


@pytest.mark.parametrize(("asked", "billed"), [(None, "EUR"), ("EUR", "EUR"), ("JPY", "JPY")])
def test_a_subscription_is_billed_in_the_currency_it_asks_for(asked: str | None, billed: str) -> None:
    decision = decide(CustomerState(customer="acme"), subscribe(asked), TICK, offered())
    assert (decision.refusal, [held.currency for held in decision.state.subscriptions]) == ("", [billed])


def test_refused_a_subscription_in_a_currency_that_the_plan_is_not_offered_in() -> None:
    decision = decide(CustomerState(customer="acme"), subscribe("USD"), TICK, offered())
    assert decision.refusal == "currency: plan team is not offered in USD; it is in EUR, JPY, TOK"
    assert decision.state.subscriptions == ()


def offered() -> Catalogue:
    return catalogue_of([PlanEntry.of(team(), {"calls": "v1"}).model_copy(update={"version": "v"})])


def subscribe(currency: str | None) -> Subscribe:
    return Subscribe(
        request_id="r", actor="a", reason="test", customer="acme", subscription="s", plan="team", plan_version="v",
        currency=currency,
    )  # fmt: skip
