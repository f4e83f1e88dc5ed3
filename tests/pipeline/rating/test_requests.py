"""`tally aggregate` and `tally rate`: an example of every aggregation and every price, errors per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.contract import json_schemas
from pipeline.meters.aggregate_request import aggregate_answers
from pipeline.rating.rate_request import answers
from schemas.meter import Aggregation
from schemas.price import AnyPrice

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
JUNE = {"start": "2027-06-01T00:00:00Z", "end": "2027-07-01T00:00:00Z"}
SUM = {"id": "m", "event_types": ["use"], "aggregation": "sum", "value": "v", "group_by": ["region"]}

# What rating.md §9 and the README of the meters say, worked out by hand.
QUANTITIES = {
    "count": ["4"],
    "sum": ["0.3"],
    "sum by group, each identity once": ["1", "2"],
    "sum of an expression": ["1.15"],  # 1.5 s x 0.5 GB + 0.2 s x 2 GB
    "min": ["-1"],
    "max by local day": ["5", "4"],  # 18:15Z is midnight in Kathmandu
    "avg": ["1.333333333333"],
    "latest": ["6"],
    "unique_count": ["2"],
    "weighted_sum": ["113.333333333333"],
    "percentile": ["48"],  # rank 3.8 of 10, 20, 30, 40, 50
    "prorated_sum": ["13"],
    "prorated_unique_count": ["1.4"],
}
AMOUNTS = {
    "flat, prorated": ["110.55"],
    "per_unit": ["35.18"],
    "graduated": ["147.00"],
    "volume": ["30.28"],
    "package": ["7.20"],
    "graduated_percentage": ["105.25"],
    "dynamic": ["1.15"],
    "percentage": ["2.39"],
    "matrix": ["0.50", "0.30", "0.90"],
    "bucketed": ["1.24"],
    "tiered_blocks": ["35.00"],  # 2 blocks of 5 at 10, and one of 10 at 15
    "capacity": ["50.00"],
    "discount and maximum, second slice": ["31.40"],
    "minimum, prorated": ["31.26", "7.45"],
    "commitment": ["200.00"],
    "commitment per day": ["6.10"],
    "conversion and free units, yen": ["33"],  # 110 s are 2 min, 1 is free
}


def requests(name: str) -> list[str]:
    return (EXAMPLES / name).read_text(encoding="utf-8").splitlines()


def aggregated(*asked: object) -> list[Any]:
    return [json.loads(told) for told in aggregate_answers(json.dumps(each) for each in asked)]


def test_every_aggregation_has_an_example_that_comes_to_what_section_9_says() -> None:
    found = [json.loads(told) for told in aggregate_answers(requests("aggregate.jsonl"))]
    assert {each["id"]: [row["quantity"] for row in each["usage"]] for each in found} == QUANTITIES
    named = {json.loads(line)["meter"]["aggregation"] for line in requests("aggregate.jsonl")}
    assert named == set(get_args(Aggregation))


def test_every_price_has_an_example_that_comes_to_what_sections_2_to_4_say() -> None:
    found = [json.loads(told) for told in answers(requests("rate.jsonl"))]
    assert {each["id"]: [line["amount"] for line in each["lines"]] for each in found} == AMOUNTS
    asked = [json.loads(line) for line in requests("rate.jsonl")]
    named = {(each.get("price") or each["rate_card"]["price"])["model"] for each in asked}
    assert named == {kind.model_fields["model"].default for kind in get_args(AnyPrice)}


@pytest.mark.parametrize("name", ["aggregate", "rate"])
def test_requests_and_answers_of_the_examples_are_those_of_the_schemas(name: str) -> None:
    schemas = {each: json.loads(json_schemas()[f"{each}.schema.json"]) for each in (name, f"{name}-answer")}
    asked = requests(f"{name}.jsonl")
    told = list(aggregate_answers(asked) if name == "aggregate" else answers(asked))
    for each, lines in zip(schemas.values(), (asked, told), strict=True):
        validator = jsonschema.Draft202012Validator(each)
        assert [error.message for line in lines for error in validator.iter_errors(json.loads(line))] == []


def test_the_rows_of_an_aggregation_are_the_usage_of_a_price() -> None:
    (told,) = aggregated({
        "meter": SUM, "period": JUNE, "window": "day", "events": [
            {"type": "use", "time": "2027-06-02T10:00:00Z", "data": {"v": 130, "region": "eu"}},
            {"type": "use", "time": "2027-06-03T10:00:00Z", "data": {"v": "101", "region": "us"}},
        ],
    })  # fmt: skip
    price = {"model": "bucketed", "by": "day", "price": {"model": "per_unit", "unit_price": "0.04"},
             "free_units_per_bucket": "100"}  # fmt: skip
    (rated,) = answers([json.dumps({"price": price, "period": JUNE, "usage": told["usage"]})])
    assert json.loads(rated)["amount"] == "1.24"


def test_what_became_of_every_event_adds_up() -> None:
    event = {"type": "use", "source": "/a", "id": "1", "time": "2027-06-02T10:00:00Z", "data": {"v": "1"}}
    meter = SUM | {"carry_over": True, "match": {"region": ["eu", None]}}
    (told,) = aggregated({"meter": meter, "period": JUNE, "events": [
        event, event, event | {"data": {"v": "2"}},                             # counted, duplicate, conflict
        event | {"id": "2", "data": {"v": "many"}},                             # counted, invalid
        event | {"id": "3", "time": "2027-05-31T23:59:59.999Z"},                # carried
        event | {"id": "4", "time": "2027-07-01T00:00:00Z"},                    # outside
        event | {"id": "5", "type": "other"}, event | {"id": "6", "data": {"v": 1, "region": "us"}},  # filtered
    ]})  # fmt: skip
    names = ("counted", "invalid", "carried", "outside", "filtered", "duplicates", "conflicts")
    assert {name: told[name] for name in names} == dict(zip(names, (2, 1, 1, 1, 2, 2, 1), strict=True))


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"meter": SUM | {"aggregation": "total"}}, "meter.aggregation", "must be 'count', 'sum'"),
        ({"meter": SUM | {"value": None}}, "meter.value", "is missing: sum needs the field"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "unknown zone 'Mars/Olympus'"),
        ({"window": "fortnight"}, "window", "must be 'minute', 'hour', 'day', 'week' or 'month'"),
        ({"period": {"start": JUNE["end"], "end": JUNE["start"]}}, "period", "is before the start"),
        ({"period": {"start": "2027-06-01T00:00:00", "end": JUNE["end"]}}, "period", "has no time zone"),
        ({"full_period": JUNE | {"start": "2027-06-02T00:00:00Z"}}, "full_period", "must enclose the period"),
        ({"events": [{"type": "use", "time": "2027-06-02T10:00:00"}]}, "events[0].time", "time zone"),
        ({"events": [{"time": "2027-06-02T10:00:00Z"}]}, "events[0].type", "is missing"),
        ({"colour": "red"}, "colour", "unknown key"),
    ],
)  # fmt: skip
def test_refused_aggregations_name_the_field_and_do_not_stop_the_next_line(
    changed: dict[str, Any], field: str, reason: str
) -> None:
    right = {"id": "a", "meter": SUM, "period": JUNE}
    refused, answered = aggregated(right | changed, right)
    assert [(error["field"], reason in error["reason"]) for error in refused["errors"]] == [(field, True)], refused
    assert (refused["id"], answered["id"], answered["usage"]) == ("a", "a", [])


def test_what_is_no_json_or_no_number_of_json_is_refused_per_line() -> None:
    lines = ["{", '{"meter": NaN}', "[]", json.dumps({"meter": SUM, "period": JUNE})]
    told = [json.loads(each) for each in aggregate_answers(lines)]
    assert [each["errors"][0]["reason"].split(":")[0] if "errors" in each else "" for each in told] == [
        "is not JSON", "is not JSON", "must be an object with meter, events and period", "",
    ]  # fmt: skip


def test_a_quantity_of_ten_to_the_26th_is_refused_and_never_wrapped() -> None:
    meter = {"id": "m", "event_types": ["use"], "aggregation": "sum", "value": "v * w"}
    event = {"type": "use", "time": "2027-06-02T10:00:00Z", "data": {"v": "999999999999999", "w": "1"}}
    (told,) = aggregated({"meter": meter, "period": JUNE, "events": [event]})
    assert told["usage"][0]["quantity"] == "999999999999999"
    level = {"id": "m", "event_types": ["use"], "aggregation": "sum", "value": "v"}
    (told,) = aggregated({"meter": level, "period": JUNE, "events": [event | {"data": {"v": "1e15"}}]})
    assert (told["usage"][0]["quantity"], told["invalid"]) == ("0", 1)


EVENTS = st.lists(
    st.tuples(st.integers(-10, 35), st.integers(-99, 99), st.sampled_from(["eu", "us", None]), st.integers(0, 5)),
    max_size=10,
)
PLAIN = [name for name in get_args(Aggregation) if name != "percentile"]


def events_of(found: list[tuple[int, int, str | None, int]]) -> list[dict[str, Any]]:
    return [
        {"type": "use", "source": "/a", "id": str(number),
         "time": f"2027-{6 + (day > 30) - (day < 1):02d}-{(day - 1) % 30 + 1:02d}T{hour:02d}:00:00Z",
         "data": {"v": str(value)} | ({} if region is None else {"region": region})}
        for number, (day, value, region, hour) in enumerate(found)
    ]  # fmt: skip


@given(EVENTS, st.sampled_from(PLAIN), st.randoms())
def test_law_doubling_every_event_changes_nothing(
    found: list[tuple[int, int, str | None, int]], aggregation: str, random: Any
) -> None:
    meter = SUM | {"aggregation": aggregation, "value": None if aggregation == "count" else "v"}
    events = events_of(found)
    copies = list(events)
    random.shuffle(copies)
    once, doubled = aggregated(
        {"meter": meter, "period": JUNE, "events": events}, {"meter": meter, "period": JUNE, "events": events + copies}
    )
    assert doubled["usage"] == once["usage"]
    assert (doubled["counted"], doubled["duplicates"], doubled["conflicts"]) == (once["counted"], len(events), 0)


@given(EVENTS, st.sampled_from(["count", "sum"]), st.integers(1, 30))
def test_law_splitting_a_period_changes_no_sum(
    found: list[tuple[int, int, str | None, int]], aggregation: str, day: int
) -> None:
    meter = SUM | {"aggregation": aggregation, "value": None if aggregation == "count" else "v", "group_by": []}
    cut = f"2027-06-{day:02d}T00:00:00Z"
    whole, before, after = aggregated(*(
        {"meter": meter, "period": period, "events": events_of(found)}
        for period in (JUNE, JUNE | {"end": cut}, JUNE | {"start": cut})
    ))  # fmt: skip
    parts = [int(each["usage"][0]["quantity"]) for each in (before, after)]
    assert sum(parts) == int(whole["usage"][0]["quantity"])
    assert before["counted"] + after["counted"] == whole["counted"]
