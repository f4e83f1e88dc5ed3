"""The page for producers: it explains every reason, and what it shows as right is right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

import schemas
from pipeline.intake.validation import Correction, Event, validate
from schemas.dead_letter import EXPLANATIONS, Reason
from schemas.usage_event import UsageEvent

PAGE = (Path(schemas.__path__[0]) / "USAGE_EVENTS.md").read_text("utf-8")
STRUCTURED = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
(BINARY,) = re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL)
BROKER_MS = 1_793_701_000_000


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_stands_once_in_the_table_and_has_an_explanation(reason: Reason) -> None:
    assert len(re.findall(rf"^\|.*\| dead letter \| `{reason}` \|", PAGE, re.MULTILINE)) == 1
    assert EXPLANATIONS[reason]


def test_the_table_names_no_reason_that_does_not_exist() -> None:
    assert set(re.findall(r"\| dead letter \| `(\w+)` \|", PAGE)) == {reason.value for reason in Reason}


def test_the_examples_are_an_event_both_corrections_and_one_that_settles_a_reservation() -> None:
    kinds = [
        type(validate(text.strip().encode(), b"acme/key-7", (), BROKER_MS, wall_clock=True)) for text in STRUCTURED
    ]
    assert kinds == [Event, Correction, Correction, Event]


@pytest.mark.parametrize("text", STRUCTURED)
def test_an_example_is_accepted_by_the_model_and_by_the_json_schema(text: str) -> None:
    UsageEvent.parse(text.encode())
    schema = json.loads((Path(schemas.__path__[0]) / "json" / "usage-event.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(text), schema)


def test_the_binary_example_is_the_structured_one_without_its_sequence() -> None:
    head, payload = BINARY.strip().split("\n\n")
    headers = [(name, value.encode()) for name, value in (line.split(": ", 1) for line in head.splitlines())]
    binary = validate(payload.encode(), b"acme/key-7", headers, BROKER_MS, wall_clock=True)
    structured = validate(STRUCTURED[0].encode(), b"acme/key-7", (), BROKER_MS, wall_clock=True)
    assert isinstance(binary, Event)
    assert isinstance(structured, Event)
    assert structured.sequence == "1042"
    assert binary == structured._replace(sequence="")


@pytest.mark.parametrize("text", re.findall(r"`(20\d\d-[^`]+)`", PAGE))
def test_every_time_on_the_page_is_a_time(text: str) -> None:
    record = json.dumps(json.loads(STRUCTURED[0]) | {"time": text}).encode()
    assert isinstance(validate(record, None, (), BROKER_MS, wall_clock=False), Event)
