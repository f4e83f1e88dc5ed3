"""What a close must freeze for a price, and what happens to usage that cannot be rated: never silently free."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.meters.usage_needed import UsageNeeded, usage_needed
from pipeline.rating.charge_lines import Usage, rate_usage
from pipeline.rating.explain import recompute
from schemas.customer_state import DuePeriod
from schemas.meter import Meter
from schemas.period import Period
from schemas.plan import RateCard
from schemas.rated_line import RatedLine
from tests.pipeline.rate_cards import MARCH, TIERS, D, card, day

DUE = DuePeriod(
    subscription="s", plan="team", plan_version="1", currency="EUR", time_zone="UTC", period=MARCH, service=MARCH
)
REGIONS = {"prices": [{"match": {"region": ["eu"]}, "unit_price": "1"}]}
BY_DAY = {"by": "day", "price": {"model": "per_unit", "unit_price": "0.04"}, "free_units_per_bucket": "100"}


def meter(aggregation: str = "sum", *dimensions: str) -> Meter:
    value = None if aggregation == "count" else "n"
    return Meter.model_validate(
        {"id": "requests", "event_types": ["call"], "aggregation": aggregation, "value": value, "group_by": dimensions}
    )


def lines(rated: RateCard, counted: Meter, *usage: Usage) -> list[tuple[str, str, str | None]]:
    found = rate_usage(rated, DUE, counted, "1", usage)
    assert all(recompute(line) == line for line in found if line.price.model != "percentage")
    return [(line.kind, str(line.amount), line.problem) for line in found]


@pytest.mark.parametrize(
    ("rated", "needed"),
    [
        (card(unit_price="1"), UsageNeeded()),
        (card("graduated", tiers=TIERS), UsageNeeded()),
        (card("matrix", **REGIONS), UsageNeeded(("region",))),
        (card("dynamic", group_by=["region"]), UsageNeeded(("region",))),
        (card("dynamic"), UsageNeeded()),
        (card("percentage", rate_percent="1"), UsageNeeded(transactions=True)),
        (card("bucketed", **BY_DAY), UsageNeeded(windows=("day",))),
        (card("bucketed", **(BY_DAY | {"by": ["region"]})), UsageNeeded(("region",))),
        (
            card(unit_price="1", modifiers={"free_units": "5", "free_units_reset": "day",
                                            "commitment": {"amount": "1", "per": "week"}}),
            UsageNeeded(windows=("day", "week")),
        ),
    ],
)  # fmt: skip
def test_a_rate_card_says_which_rows_it_needs(rated: RateCard, needed: UsageNeeded) -> None:
    assert usage_needed(rated, meter("sum", "region")) == needed


def test_groups_are_priced_together_and_shown_on_the_line() -> None:
    (line,) = rate_usage(
        card("graduated", tiers=TIERS), DUE, meter("sum", "region"), "7",
        [Usage(("eu",), D(50), 4), Usage(("us",), D(10), 2, 1)],
    )  # fmt: skip
    assert (line.quantity, line.amount, line.events, line.invalid_events) == (60, D("52.00"), 6, 1)
    assert [(dict(group.values), group.quantity) for group in line.groups] == [
        ({"region": "eu"}, 50),
        ({"region": "us"}, 10),
    ]
    assert (line.meter_version, line.aggregation) == ("7", "sum")
    assert recompute(line) == line


def test_usage_without_a_price_has_a_line_per_group_that_stops_finalisation() -> None:
    found = rate_usage(
        card("matrix", **REGIONS), DUE, meter("sum", "region"), "1",
        [Usage(("eu",), D(7), 1), Usage(("us",), D(5), 2), Usage((None,), D(3), 1)],
    )  # fmt: skip
    assert [(line.kind, dict(line.dimensions), line.quantity, line.amount) for line in found] == [
        ("usage", {}, 7, 7),
        ("unpriced", {"region": "us"}, 5, 0),
        ("unpriced", {"region": None}, 3, 0),
    ]
    assert all('"kind":"unpriced"' in line.model_dump_json() for line in found[1:])


def windows(*quantities: str) -> list[Usage]:
    return [
        Usage((), D(quantity), 1, 0, Period(day(index), day(index + 1)))
        for index, quantity in enumerate(quantities, start=1)
    ]


def test_a_price_by_day_is_rated_from_rows_by_day() -> None:
    assert lines(card("bucketed", **BY_DAY), meter(), *windows("130", "60", "0", "101")) == [("usage", "1.24", None)]


@pytest.mark.parametrize(
    ("rated", "counted", "usage", "problem"),
    [
        (card("bucketed", **BY_DAY), meter(), [Usage((), D(130), 9)], "the price counts by day"),
        (
            card(unit_price="1", modifiers={"commitment": {"amount": "1", "per": "day"}}),
            meter(), [Usage((), D(130), 9)], "the price counts by day",
        ),
        (card("percentage", rate_percent="1"), meter(), [Usage((), D(130), 9)], "needs every transaction"),
        (
            card(unit_price="1"), meter("max", "region"), [Usage(("eu",), D(3), 1), Usage(("us",), D(4), 1)],
            "max does not add up over groups",
        ),
        (
            card(unit_price="1", modifiers={"commitment": {"amount": "1", "per": {"unit": "month", "count": 3}}}),
            meter(), [Usage((), D(130), 9)], "the cost of the term's earlier periods is not known",
        ),
    ],
)  # fmt: skip
def test_usage_in_a_shape_that_a_price_cannot_take_is_unpriced_with_the_reason(
    rated: RateCard, counted: Meter, usage: list[Usage], problem: str
) -> None:
    *_, (kind, amount, said) = lines(rated, counted, *usage)
    assert (kind, amount) == ("unpriced", "0.00")
    assert said is not None
    assert problem in said


def test_transactions_in_order_are_priced_and_negative_ones_are_told() -> None:
    rated = card("percentage", rate_percent="1.8", fixed_fee="0.25", free_events=4, free_amount="120")
    amounts = [Usage((), D(amount), 1) for amount in ("40", "60", "-5", "35", "90")]
    charged, refused = lines(rated, meter(), *amounts)
    assert charged == ("usage", "2.39", None)
    assert refused[0] == "unpriced"


@pytest.mark.parametrize("model", ["tiered_blocks", "capacity"])
def test_units_above_the_last_tier_are_unpriced_and_not_dropped(model: str) -> None:
    keys: dict[str, Any] = {
        "tiered_blocks": {"components": {"eu": [{"block_size": "10", "max_blocks": 1, "block_price": "5"}]}},
        "capacity": {"tiers": [{"max": {"eu": "10"}, "price": "5"}]},
    }
    found = rate_usage(card(model, **keys[model]), DUE, meter("max", "region"), "1", [Usage(("eu",), D(12), 1)])
    assert isinstance(found[-1], RatedLine)
    assert (found[-1].kind, found[-1].quantity) == ("unpriced", 2 if model == "tiered_blocks" else 12)
