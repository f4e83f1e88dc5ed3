"""The contract as an AsyncAPI 3 document: every topic a channel, every message with its key and its JSON Schema.

It is generated from the table of topics and the table of messages, and refers to the schemas beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agents.topics import FOR_EVER, TOPICS, Topic

VERSION = "1.0.0"
FILE = "asyncapi.json"
WRITTEN_BY_OTHERS = frozenset({"usage.events", "billing.commands", "billing.attributions"})
"""Topics that producers and operators write; every other one is written by Tally and read by consumers."""

INFO = {
    "title": "Tally",
    "version": VERSION,
    "description": "Usage metering and billing. Delivery is at least once with identical bytes: consumers keep the ids "
    "they have booked. Records of one key are in order. Topic names may have a deployment's prefix.",
}


def asyncapi_document(messages: Mapping[str, tuple[str, str]]) -> str:
    """The document for messages (name -> (topic, type)), as text with sorted keys."""
    by_topic: dict[str, list[str]] = {}
    for message, (topic, _) in messages.items():
        by_topic.setdefault(topic, []).append(message)
    document = {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, by_topic.get(topic.name, [])) for topic in TOPICS},
        "operations": {
            f"{_action(topic.name)}-{topic.name}": _operation(topic.name, by_topic[topic.name])
            for topic in TOPICS
            if topic.name in by_topic
        },
        "components": {"messages": {message: _message(message, messages[message][0]) for message in messages}},
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _channel(topic: Topic, messages: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    if not topic.compacted and topic.retention_ms != FOR_EVER:
        config["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "description": f"{topic.value}; key: {topic.key}",
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": config, "bindingVersion": "0.5.0"}},
    }


def _action(topic: str) -> str:
    """What Tally does with a topic, as AsyncAPI says it: it receives what others write, and sends the rest."""
    return "receive" if topic in WRITTEN_BY_OTHERS else "send"


def _operation(topic: str, messages: list[str]) -> dict[str, Any]:
    channel = f"#/channels/{topic}"
    return {
        "action": _action(topic),
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{message}"} for message in messages],
    }


def _message(name: str, topic: str) -> dict[str, Any]:
    keys = {each.name: each.key for each in TOPICS}
    key: dict[str, Any] = {"type": "null"} if keys[topic] == "none" else {"type": "string", "description": keys[topic]}
    return {
        "name": name,
        "contentType": "application/cloudevents+json" if topic == "usage.events" else "application/json",
        "payload": {"$ref": f"./{name}.schema.json"},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }
