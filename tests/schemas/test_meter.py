"""rating.md §9, "Refused": what a meter may not say."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.meter import Meter


def meter(**changed: Any) -> dict[str, Any]:
    return {"id": "tokens", "event_types": ["llm.request"], "aggregation": "sum", "value": "tokens_in"} | changed


def test_one_event_type_may_be_written_without_a_list() -> None:
    raw = meter(event_type="llm.request")
    del raw["event_types"]
    assert Meter.model_validate(raw).event_types == ("llm.request",)


def test_values_of_dimensions_are_text_and_absent_has_a_spelling_in_toml() -> None:
    found = Meter.model_validate(meter(match={"cached": [False, {"absent": True}], "region": ["eu", None, 7]}))
    assert found.match == {"cached": ("false", None), "region": ("eu", None, "7")}
    assert Meter.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    "aggregation", ["sum", "unique_count", "weighted_sum", "prorated_sum", "prorated_unique_count"]
)
def test_meters_with_a_state_may_carry_it_over(aggregation: str) -> None:
    assert Meter.model_validate(meter(aggregation=aggregation, carry_over=True)).carry_over


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"aggregation": "median"}, "aggregation"),
        ({"window": "year"}, "window"),
        ({"value": None}, "value"),
        ({"value": ""}, "value"),
        ({"aggregation": "count"}, "value"),
        ({"aggregation": "max", "carry_over": True}, "carry_over"),
        ({"aggregation": "latest", "carry_over": True}, "carry_over"),
        ({"initial_value": "5"}, "initial_value"),
        ({"aggregation": "percentile"}, "p"),
        ({"aggregation": "percentile", "p": "100.5"}, "p"),
        ({"aggregation": "percentile", "p": "-1"}, "p"),
        ({"p": "95"}, "p"),
        ({"match": {"region": []}}, "match.region"),
        ({"exclude": [{"region": []}]}, "exclude.0.region"),
        ({"exclude": [{}]}, "exclude.0"),
        ({"group_by": ["model", "model"]}, "group_by"),
        ({"event_types": []}, "event_types"),
        ({"id": "no spaces"}, "id"),
        ({"groupby": ["model"]}, "groupby"),
    ],
)
def test_meters_that_contradict_themselves_are_refused(changed: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Meter.model_validate(meter(**changed))
    assert path in {".".join(map(str, error["loc"])) for error in caught.value.errors()}
