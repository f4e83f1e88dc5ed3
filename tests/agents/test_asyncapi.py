"""The AsyncAPI document: every topic a channel, every message on its channel, nothing that it refers to is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.asyncapi import WRITTEN_BY_OTHERS, asyncapi_document
from agents.contract import MESSAGES, json_schemas
from agents.topics import TOPICS

SCHEMAS = json_schemas()
DOCUMENT: dict[str, Any] = json.loads(asyncapi_document(MESSAGES))


def references(part: object) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def found(reference: str) -> object:
    """What a reference of the document leads to."""
    if reference.startswith("./"):
        return SCHEMAS[reference.removeprefix("./")]
    place: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def test_it_has_what_asyncapi_3_requires() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    allowed = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert DOCUMENT.keys() <= allowed
    for channel in DOCUMENT["channels"].values():
        assert channel.keys() <= {"address", "description", "messages", "bindings"}
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert set(operation) == {"action", "channel", "messages"}
    for message in DOCUMENT["components"]["messages"].values():
        assert {"name", "payload", "contentType"} <= message.keys()


def test_everything_that_it_refers_to_is_there() -> None:
    all_references = set(references(DOCUMENT))
    assert len(all_references) > 20
    for reference in all_references:
        assert found(reference)


def test_every_topic_is_a_channel_and_every_message_is_on_its_own() -> None:
    assert set(DOCUMENT["channels"]) == {topic.name for topic in TOPICS}
    for name, (topic, _) in MESSAGES.items():
        assert name in DOCUMENT["channels"][topic]["messages"]
    assert set(DOCUMENT["components"]["messages"]) == set(MESSAGES)


def test_an_operation_names_messages_of_its_channel_alone() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["messages"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


@pytest.mark.parametrize("topic", sorted({topic for topic, _ in MESSAGES.values()}))
def test_what_producers_write_is_received_and_the_rest_is_sent(topic: str) -> None:
    action = "receive" if topic in WRITTEN_BY_OTHERS else "send"
    assert f"{action}-{topic}" in DOCUMENT["operations"]


def test_a_topic_that_keeps_records_for_ever_says_no_retention() -> None:
    channels = DOCUMENT["channels"]
    config = {name: channel["bindings"]["kafka"]["topicConfiguration"] for name, channel in channels.items()}
    assert config["billing.invoices"] == {"cleanup.policy": ["delete"]}
    assert config["billing.invoices-latest"] == {"cleanup.policy": ["compact"]}
    assert config["usage.events"]["retention.ms"] == 400 * 24 * 3600 * 1000


def test_a_message_that_joins_the_contract_is_in_the_document() -> None:
    more = json.loads(asyncapi_document({**MESSAGES, "new": ("billing.alerts", "schemas.tick:Tick")}))
    assert more["channels"]["billing.alerts"]["messages"]["new"] == {"$ref": "#/components/messages/new"}
