"""The contract as files: one JSON Schema per message, and a difference between code and files is named."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agents.contract import MESSAGES, differences, export, json_schemas
from agents.topics import TOPICS

COMMITTED = Path(__file__).parents[2] / "schemas" / "json"


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_each_schema_is_valid_and_has_its_name(name: str) -> None:
    schema = json.loads(json_schemas()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:tally:{name.removesuffix('.schema.json')}"


@pytest.mark.parametrize("message", sorted(MESSAGES))
def test_each_message_names_its_topic(message: str) -> None:
    schema = json.loads(json_schemas()[f"{message}.schema.json"])
    assert schema["x-topic"] in {topic.name for topic in TOPICS}


def test_the_committed_schemas_are_what_the_code_says() -> None:
    assert differences(COMMITTED) == (), "run `tally schemas` and commit schemas/json"


def test_every_message_names_a_topic_of_the_table() -> None:
    assert {topic for topic, _ in MESSAGES.values()} <= {topic.name for topic in TOPICS}


def test_exported_files_agree_and_each_kind_of_difference_is_named(tmp_path: Path) -> None:
    export(tmp_path)
    assert differences(tmp_path) == ()
    (tmp_path / "tick.schema.json").write_text("{}")
    (tmp_path / "command.schema.json").unlink()
    (tmp_path / "forgotten.schema.json").write_text("{}")
    (tmp_path / "asyncapi.json").write_text("{}")
    assert differences(tmp_path) == (
        "asyncapi.json: differs",
        "tick.schema.json: differs",
        "command.schema.json: missing",
        "forgotten.schema.json: nothing of the contract has this name",
    )
