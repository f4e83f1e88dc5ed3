"""What an editor knows of catalogue files: the example is right, and faults are marked while they are typed."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from agents.catalogue_files import example_folder
from agents.catalogue_schema import catalogue_schema
from pipeline.catalogue.loading import load_catalogue

VALIDATOR = jsonschema.Draft202012Validator(catalogue_schema())
METER = """
[[meters]]
id = "calls"
event_types = ["call"]
aggregation = "count"
"""
PLAN = """
[[plans]]
id = "p"
currency = "EUR"
[[plans.rate_cards]]
id = "use"
meter = "calls"
price = { model = "per_unit", unit_price = "0.5" }
"""


def marked(text: str) -> list[str]:
    """What the schema says against a file."""
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text, parse_float=Decimal))]


@pytest.mark.parametrize("file", sorted(example_folder().glob("*.toml")), ids=lambda file: file.name)
def test_the_example_catalogue_is_valid(file: Path) -> None:
    assert marked(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        METER,
        METER.replace('event_types = ["call"]', 'event_type = "call"'),
        METER.replace('["call"]', '"call"'),
        METER + 'match = { region = ["eu", true, 7, { absent = true }] }',
        METER.replace("[[meters]]", "[meter]"),
        METER + PLAN,
        METER + PLAN.replace('"0.5"', "0.5"),
        METER + PLAN.replace('"0.5"', '"5e-7"'),
        METER + PLAN.replace('currency = "EUR"', 'currency = "EUR"\ngrace = "90 min"'),
        METER + PLAN.replace('currency = "EUR"', 'currency = "EUR"\ngrace = "PT6H"'),
        METER + PLAN + "proration = false",
    ],
)
def test_what_the_check_accepts_is_not_marked(text: str) -> None:
    assert load_catalogue({"file": text}).faults == ()
    assert marked(text) == []


@pytest.mark.parametrize(
    "text",
    [
        METER.replace('"count"', '"summ"'),
        METER.replace("aggregation", "agregation"),
        METER.replace('id = "calls"\n', ""),
        METER.replace('event_types = ["call"]\n', ""),
        METER.replace("[[meters]]", "[[metres]]"),
        METER + PLAN.replace('model = "per_unit", ', ""),
        METER + PLAN.replace('"per_unit"', '"per_units"'),
        METER + PLAN.replace('unit_price = "0.5"', "amount = 5"),
        METER + PLAN.replace('"0.5"', '"-0.5"'),
        METER + PLAN.replace('"0.5"', "-0.5"),
        METER + PLAN.replace('"0.5"', '"half"'),
        METER + PLAN.replace('currency = "EUR"', 'currency = "EUR"\ngrace = "soon"'),
        METER + PLAN.replace('currency = "EUR"', 'currency = "EUR"\nrecurring_threshold = "0.00"'),
        METER + PLAN + "percentage_discount = 101",
    ],
)
def test_a_fault_that_needs_no_other_field_is_marked_as_the_check_finds_it(text: str) -> None:
    assert load_catalogue({"file": text}).faults != ()
    assert marked(text) != []
