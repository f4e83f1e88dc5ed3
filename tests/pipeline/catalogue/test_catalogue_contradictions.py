"""A catalogue that can never be meant is refused at load: file, field, what is wrong, what would be right."""

from __future__ import annotations

import pytest

from pipeline.catalogue.loading import load_catalogue

METER = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "sum"
value = "n"
group_by = ["region"]
match = { region = ["eu", "us"] }
"""
PLAN = """
[plan]
id = "p"
currency = "EUR"
[[plan.rate_cards]]
id = "use"
meter = "calls"
"""
COMMITTED = PLAN.replace('currency = "EUR"', 'currency = "EUR"\ncommitment = { amount = "100" }')
PER_UNIT = 'price = { model = "per_unit", unit_price = "1" }\n'
MATRIX = 'price = { model = "matrix", prices = [{ match = { region = ["%s"] }, unit_price = "1" }] }\n'
BLOCKS = 'price = { model = "tiered_blocks", components = { %s = [{ block_size = "1", block_price = "1" }] } }\n'
USERS = METER.replace('"sum"', '"unique_count"')


def faults(text: str) -> list[str]:
    return [f"{fault.path}: {fault.problem}" for fault in load_catalogue({"a.toml": text}).faults]


@pytest.mark.parametrize("text", [
    METER,
    METER + 'exclude = [{ region = ["eu"] }]',
    METER + PLAN + MATRIX % "eu",
    METER + PLAN + MATRIX % "*",
    METER + PLAN + (BLOCKS % "eu"),
    METER + PLAN + PER_UNIT + 'free_units = "1"\nfree_units_reset = "day"',
    METER + PLAN + PER_UNIT + 'commitment = { amount = "1", per = "day" }',
    USERS + PLAN + 'price = { model = "bucketed", by = "day", price = { model = "per_unit", unit_price = "1" } }',
])  # fmt: skip
def test_what_can_be_meant_is_accepted(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(("text", "fault"), [
    (METER.replace('"call"', '"call", "tally.usage.correction.v1"'),
     "meters[0].event_types[1]: no usage event has the type 'tally.usage.correction.v1': corrections have it"),
    (METER + 'exclude = [{ tier = ["x"] }, { region = ["us", "eu", "uk"] }]',
     "meters[0].exclude[1]: takes away every event that `match` lets in"),
    (METER.replace('region = ["eu", "us"]', "n = [{ absent = true }]"),
     "meters[0].match.n: lets in only events without the value that the meter combines"),
    (USERS.replace('"n"', '"operation"'),
     "meters[0].value: must not be 'operation': that says whether the value is added or removed"),
    (METER + PLAN + MATRIX % "uk",
     "plan.rate_cards[0].price.prices[0].match.region: no event can have this: meter calls counts only region eu,"
     " us"),
    (METER + PLAN + (BLOCKS % "uk"),
     "plan.rate_cards[0].price.components.uk: no event can have this: meter calls counts only region eu, us"),
    (METER.replace('["region"]', '["region", "tier"]') + PLAN + (BLOCKS % "eu"),
     "plan.rate_cards[0].meter: must be grouped by exactly one dimension, whose values are eu; calls is grouped by"
     " region, tier"),
    (USERS + PLAN + PER_UNIT + 'free_units = "1"\nfree_units_reset = "day"',
     'plan.rate_cards[0].free_units_reset: must be "period": unique_count does not add up over windows'),
    (METER.replace('"sum"', '"max"') + PLAN + PER_UNIT + 'commitment = { amount = "1", per = "day" }',
     'plan.rate_cards[0].commitment.per: must be "period": max does not add up over windows'),
    (METER + "carry_over = true" + PLAN + PER_UNIT + 'commitment = { amount = "1", per = "week" }',
     'plan.rate_cards[0].commitment.per: must be "period": sum with carry_over does not add up over windows'),
    (METER + PLAN + PER_UNIT + 'commitment = { amount = "1", per = { unit = "week", count = 6 } }',
     "plan.rate_cards[0].commitment.per: must be made of whole periods of the rate card, 1 month each"),
    (METER + PLAN + PER_UNIT + 'interval.unit = "quarter"\ncommitment = { amount = "1", per = { unit = "month" } }',
     "plan.rate_cards[0].commitment.per: must be made of whole periods of the rate card, 1 quarter each"),
    (METER + COMMITTED + PER_UNIT + 'interval = { unit = "year" }',
     "plan.rate_cards[0].interval: must fit into 1 month, the plan's: its commitment counts fees of whole periods"),
    (METER + COMMITTED + PER_UNIT + 'interval = { unit = "week", count = 2 }',
     "plan.rate_cards[0].interval: must fit into 1 month, the plan's: its commitment counts fees of whole periods"),
    (METER + COMMITTED.replace('"use"', '"commitment"') + PER_UNIT,
     "plan.rate_cards[0].id: must be another: the true-up of the plan's commitment has it"),
])  # fmt: skip
def test_what_can_never_be_is_refused_with_its_place(text: str, fault: str) -> None:
    assert faults(text) == [fault]
