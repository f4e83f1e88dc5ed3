"""The topics: name, key, partitions, retention, in one table; created, compared, never weakened. Source: design.md §4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from agents.settings import Settings

FOR_EVER = -1
DAYS_400 = 400 * 24 * 3600 * 1000
RECORD_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: what keys it, how many partitions it starts with, and how long it keeps records."""

    name: str
    key: str
    partitions: Literal["usage", "billing"] | int
    value: str
    retention_ms: int = FOR_EVER
    compacted: bool = False
    broker_time: bool = False

    def config(self) -> dict[str, str]:
        """The settings that we ask of the broker."""
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime" if self.broker_time else "CreateTime",
            "max.message.bytes": str(RECORD_MAX),
        }


USAGE_EVENTS = "usage.events"
DEAD_LETTERS = "usage.dead-letters"
TICKS = "billing.ticks"
ATTRIBUTIONS = "billing.attributions"
CATALOGUE = "billing.catalogue"
COMMANDS = "billing.commands"
OUTCOMES = "billing.command-outcomes"
PERIODS = "billing.periods"
FINALISATIONS = "billing.finalisations"
INVOICES = "billing.invoices"
INVOICES_LATEST = "billing.invoices-latest"
PAYMENT_REQUESTS = "billing.payment-requests"
ALERTS = "billing.alerts"

TOPICS: tuple[Topic, ...] = (
    Topic(USAGE_EVENTS, "subject", "usage", "usage and corrections as CloudEvents", DAYS_400, broker_time=True),
    Topic(DEAD_LETTERS, "as received", "usage", "refused records, bytes and headers as received", DAYS_400),
    Topic(TICKS, "none", 1, "billing time: number, time, vector", broker_time=True),
    Topic(ATTRIBUTIONS, "subject", 1, "subject to customer, effective-dated", broker_time=True),
    Topic(CATALOGUE, "kind/name@version", 1, "versions of meters and plans", compacted=True, broker_time=True),
    Topic(COMMANDS, "customer", "billing", "what changes a customer's state, and the ticks", broker_time=True),
    Topic(OUTCOMES, "customer", "billing", "accepted or refused, with the reason"),
    Topic(PERIODS, "customer", "billing", "PeriodClosed"),
    Topic(FINALISATIONS, "none", 1, "the order in which documents became final", broker_time=True),
    Topic(INVOICES, "customer", "billing", "every transition of an invoice, as CloudEvents"),
    Topic(INVOICES_LATEST, "document id", "billing", "the whole document, latest revision", compacted=True),
    Topic(PAYMENT_REQUESTS, "customer", "billing", "what a payment service consumes"),
    Topic(ALERTS, "customer", "billing", "what a notifier consumes"),
)


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic, compared with the table. `drift` names settings that differ; `refused` what we will not do."""

    name: str
    partitions: int
    status: Literal["present", "missing", "created", "grown", "drift", "refused"]
    drift: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


class KafkaUnavailable(Exception):
    """The broker cannot be reached or does not answer."""


async def reconcile_topics(settings: Settings, *, dry_run: bool = False) -> tuple[TopicState, ...]:
    """Creates what is missing and compares the rest. Nothing is shrunk, no retention is shortened.

    `usage.events` and its dead letters grow when the settings ask for more partitions. Raises KafkaUnavailable.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=20_000)
    try:
        await admin.start()
        present = await _present(admin, settings)
        configs = await _configs(admin, [settings.topic_prefix + t.name for t in TOPICS if t.name in present])
        states = [_compare(t, present.get(t.name), configs.get(settings.topic_prefix + t.name), settings) for t in TOPICS]
        if not dry_run:
            states = await _create(admin, settings, states)
        return tuple(states)
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(f"Kafka at {settings.kafka}: {error}") from error
    finally:
        await admin.close()


def wanted_partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions the settings ask for."""
    if topic.partitions == "usage":
        return settings.usage_partitions
    return settings.billing_partitions if topic.partitions == "billing" else topic.partitions


async def _present(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, int]:
    names = set(await admin.list_topics())
    ours = [settings.topic_prefix + topic.name for topic in TOPICS if settings.topic_prefix + topic.name in names]
    if not ours:
        return {}
    described = await admin.describe_topics(ours)
    cut = len(settings.topic_prefix)
    return {topic["topic"][cut:]: len(topic["partitions"]) for topic in described}


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found = {}
    for answer in answers:
        for _error, _message, _kind, name, entries in answer.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _compare(topic: Topic, partitions: int | None, config: Mapping[str, str] | None, settings: Settings) -> TopicState:
    wanted = wanted_partitions(topic, settings)
    if partitions is None:
        return TopicState(topic.name, wanted, "missing")
    drift = {
        key: f"is {(config or {}).get(key)}, wanted {value}"
        for key, value in topic.config().items()
        if (config or {}).get(key) != value
    }
    if partitions != wanted:
        drift["partitions"] = f"is {partitions}, wanted {wanted}"
    if topic.partitions != "usage" and partitions != wanted:
        detail = "partition counts of billing topics never change: the order per customer depends on them"
        return TopicState(topic.name, partitions, "refused", drift, detail)
    if partitions > wanted:
        return TopicState(topic.name, partitions, "refused", drift, "partitions are never taken away")
    kept = (config or {}).get("retention.ms", "0")
    if _shorter(topic.retention_ms, int(kept)):
        detail = f"retention.ms is {kept}, longer than {topic.retention_ms}: it is never shortened"
        return TopicState(topic.name, partitions, "refused", drift, detail)
    return TopicState(topic.name, partitions, "drift" if drift else "present", drift)


def _shorter(wanted_ms: int, kept_ms: int) -> bool:
    return wanted_ms != FOR_EVER and (kept_ms == FOR_EVER or kept_ms > wanted_ms)


async def _create(admin: AIOKafkaAdminClient, settings: Settings, states: list[TopicState]) -> list[TopicState]:
    missing = {state.name for state in states if state.status == "missing"}
    new = [
        NewTopic(
            settings.topic_prefix + topic.name,
            wanted_partitions(topic, settings),
            settings.replication,
            topic_configs={**topic.config(), **_safety(settings)},
        )
        for topic in TOPICS
        if topic.name in missing
    ]
    if new:
        answer = await admin.create_topics(new)
        for name, code, *rest in answer.topic_errors:
            if code not in {0, 36}:  # 36: another command created it meanwhile
                raise KafkaUnavailable(f"topic {name} could not be created: error {code} {rest}")
    return [
        TopicState(state.name, state.partitions, "created") if state.name in missing else state for state in states
    ]


def _safety(settings: Settings) -> dict[str, str]:
    return {"min.insync.replicas": str(max(1, settings.replication - 1))}
