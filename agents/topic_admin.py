"""Reads and changes the topics of a cluster; what is to change was decided by `agents.topics.compare`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from agents.broker import addresses, sorted_failures
from agents.settings import Settings
from agents.topics import Finding, Found, Topic

TOPIC_SOURCE = 1  # DescribeConfigs: the setting was made on the topic, not inherited
EXISTS = 36  # CreateTopics: somebody else was faster, which is what we wanted


async def inspect(settings: Settings, topics: Sequence[Topic]) -> dict[str, Found]:
    """The declared topics that exist, as the cluster has them; keyed by name without prefix."""
    names = {settings.topic_prefix + topic.name: topic.name for topic in topics}
    async with _admin(settings) as admin:
        listed = {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics()}
        counts = {name: count for name, count in listed.items() if name in names}
        if not counts:
            return {}
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in counts])
    return {
        names[resource[3]]: _found(counts[resource[3]], resource[4])
        for answer in answers
        for resource in answer.resources
    }


def _found(partitions: int, entries: Sequence[Sequence[Any]]) -> Found:
    return Found(
        partitions=partitions,
        config={entry[0]: str(entry[1]) for entry in entries},
        overrides={entry[0]: str(entry[1]) for entry in entries if entry[3] == TOPIC_SOURCE},
    )


async def create(settings: Settings, topics: Sequence[Topic]) -> None:
    """Creates topics; one that exists by now is left as it is. Raises `BrokerRefused` with the topic's name."""
    wanted = [
        NewTopic(settings.topic_prefix + topic.name, topic.partitions, topic.replication, topic_configs=topic.config())
        for topic in topics
    ]
    if not wanted:
        return
    async with _admin(settings) as admin:
        answer = await admin.create_topics(wanted)
        for name, code, message in answer.topic_errors:
            if code not in (0, EXISTS):
                raise for_code(code)(f"{name}: {message}")


async def repair(
    settings: Settings, topics: Sequence[Topic], found: Mapping[str, Found], findings: Sequence[Finding]
) -> None:
    """Brings settings up to the declaration and adds partitions, as far as the findings say `repair`."""
    by_name = {topic.name: topic for topic in topics}
    async with _admin(settings) as admin:
        for name, wanted in _repairs(findings).items():
            full = settings.topic_prefix + name
            if "partitions" in wanted:
                await admin.create_partitions({full: NewPartitions(by_name[name].partitions)})
            changes = {setting: value for setting, value in wanted.items() if setting != "partitions"}
            if changes:
                # The request replaces all settings of the topic, so what was set before is sent again.
                whole = {**found[name].overrides, **changes}
                answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, full, whole)])
                _raise_on_error(answers)


def _repairs(findings: Sequence[Finding]) -> dict[str, dict[str, str]]:
    wanted: dict[str, dict[str, str]] = {}
    for finding in findings:
        if finding.verdict == "repair":
            wanted.setdefault(finding.topic, {})[finding.setting] = finding.declared
    return wanted


def _raise_on_error(answers: Sequence[Any]) -> None:
    for answer in answers:
        for code, message, _, name in answer.resources:
            if code:
                raise for_code(code)(f"{name}: {message}")


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[Any]:
    with sorted_failures(settings):
        admin = AIOKafkaAdminClient(bootstrap_servers=addresses(settings))
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
