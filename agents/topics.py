"""The topics: name, key, partitions, retention, in one table; created, compared, never weakened. Source: design.md §4.

A topic that is missing is created. A setting that keeps less than the table says is drift, and can be repaired. Where
the cluster keeps *more* than the table says, following the table would lose records: that is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from agents.settings import Settings

FOR_EVER = -1
NO_LIMIT = 2**63
DAYS_2 = 2 * 24 * 3600 * 1000  # a reservation ends within an hour
DAYS_400 = 400 * 24 * 3600 * 1000
# Refusing a record above 1 MiB is the ingester's verdict, with a reason: so the broker must let it through to us.
RECORD_MAX = 4 * 1024 * 1024
HEADERS_MAX = 64 * 1024
TOPIC_EXISTS = 36  # CreateTopics: another command was faster, which is what we wanted
SET_ON_TOPIC = 1  # DescribeConfigs: the setting was made on the topic itself, not inherited


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
    record_max: int = RECORD_MAX

    def config(self) -> dict[str, str]:
        """The settings that we ask of the broker."""
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime" if self.broker_time else "CreateTime",
            "max.message.bytes": str(self.record_max),
        }


USAGE_EVENTS = "usage.events"
DEAD_LETTERS = "usage.dead-letters"
EPOCHS = "usage.epochs"
TICKS = "billing.ticks"
ATTRIBUTIONS = "billing.attributions"
CATALOGUE = "billing.catalogue"
ERASURES = "billing.erasures"
COMMANDS = "billing.commands"
OUTCOMES = "billing.command-outcomes"
PERIODS = "billing.periods"
FINALISATIONS = "billing.finalisations"
INVOICES = "billing.invoices"
INVOICES_LATEST = "billing.invoices-latest"
PAYMENT_REQUESTS = "billing.payment-requests"
ALERTS = "billing.alerts"
RESERVATIONS = "billing.reservations"

TOPICS: tuple[Topic, ...] = (
    Topic(USAGE_EVENTS, "subject", "usage", "usage and corrections as CloudEvents", DAYS_400, broker_time=True),
    Topic(
        DEAD_LETTERS,
        "as received",
        "usage",
        "refused records, bytes and headers as received",
        DAYS_400,
        broker_time=True,
        record_max=RECORD_MAX + HEADERS_MAX,
    ),
    Topic(EPOCHS, "none", 1, "which log the positions of a partition of usage.events lie in", broker_time=True),
    Topic(TICKS, "none", 1, "billing time: number, time, vector", broker_time=True),
    Topic(ATTRIBUTIONS, "subject", 1, "subject to customer, effective-dated", broker_time=True),
    Topic(CATALOGUE, "kind/name@version", 1, "versions of meters and plans", compacted=True, broker_time=True),
    Topic(ERASURES, "none", 1, "subjects whose bytes are to go, by hash", broker_time=True),
    Topic(COMMANDS, "customer", "billing", "what changes a customer's state, and the ticks", broker_time=True),
    Topic(OUTCOMES, "customer", "billing", "accepted or refused, with the reason"),
    Topic(PERIODS, "customer", "billing", "PeriodClosed"),
    Topic(FINALISATIONS, "none", 1, "the order in which documents became final", broker_time=True),
    Topic(INVOICES, "customer", "billing", "transitions of documents and subscriptions, as CloudEvents"),
    Topic(INVOICES_LATEST, "document id", "billing", "the whole document, latest revision", compacted=True),
    Topic(PAYMENT_REQUESTS, "customer", "billing", "what a payment service consumes"),
    Topic(ALERTS, "customer", "billing", "what a notifier consumes"),
    Topic(RESERVATIONS, "customer", "billing", "what callers reserve, and balances", DAYS_2, broker_time=True),
)


@dataclass(frozen=True, slots=True)
class Present:
    """A topic as the cluster has it; `overrides` are the settings that were made on the topic itself."""

    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic, compared with the table. `drift`: settings that keep too little; `detail`: why it is refused."""

    name: str
    partitions: int
    status: Literal["present", "missing", "created", "drift", "repaired", "refused"]
    drift: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


class KafkaUnavailable(Exception):
    """The broker cannot be reached or does not answer."""


class TopicMissing(KafkaUnavailable):
    """The broker answers and has no such topic: `tally topics` creates it."""


class KafkaRefused(Exception):
    """The broker understood and refused: our request or our rights are wrong. Retrying cannot help."""


async def reach(settings: Settings) -> None:
    """Returns if a broker answers. Raises KafkaUnavailable."""
    async with _admin(settings):
        return


async def reconcile_topics(
    settings: Settings, *, dry_run: bool = False, repair: bool = False
) -> tuple[TopicState, ...]:
    """Creates what is missing and compares the rest. Nothing is shrunk, no retention is shortened.

    With `repair`, settings that keep too little are brought up to the table, and usage topics grow to the partitions
    asked for. Raises KafkaUnavailable, KafkaRefused.
    """
    async with _admin(settings) as admin:
        present = await _present(admin, settings)
        states = [compare(topic, present.get(topic.name), settings) for topic in TOPICS]
        if dry_run:
            return tuple(states)
        await _create(admin, settings, [topic for topic in TOPICS if topic.name not in present])
        states = [replace(state, status="created") if state.status == "missing" else state for state in states]
        if repair:
            states = [await _repair(admin, settings, state, present.get(state.name)) for state in states]
        return tuple(states)


def wanted_partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions the settings ask for."""
    if topic.partitions == "usage":
        return settings.usage_partitions
    return settings.billing_partitions if topic.partitions == "billing" else topic.partitions


def wanted_config(topic: Topic, settings: Settings) -> dict[str, str]:
    """The table's settings, and that one replica of several may be down without losing what was acknowledged."""
    return {**topic.config(), "min.insync.replicas": str(max(1, settings.replication - 1))}


def compare(topic: Topic, present: Present | None, settings: Settings) -> TopicState:
    """What one topic needs."""
    wanted = wanted_partitions(topic, settings)
    if present is None:
        return TopicState(topic.name, wanted, "missing")
    drift = _weaker(wanted_config(topic, settings), present.config)
    if present.partitions != wanted:
        drift["partitions"] = f"is {present.partitions}, wanted {wanted}"
    refused = _refusal(topic, present, wanted)
    if refused:
        return TopicState(topic.name, present.partitions, "refused", drift, refused)
    return TopicState(topic.name, present.partitions, "drift" if drift else "present", drift)


def _refusal(topic: Topic, present: Present, wanted: int) -> str:
    if topic.partitions != "usage" and present.partitions != wanted:
        return "partitions: counts of billing topics never change, the order per customer depends on them"
    if present.partitions > wanted:
        return "partitions: they are never taken away"
    for setting, value in topic.config().items():
        kept = present.config.get(setting, value)
        if setting.startswith("retention.") and _limit(kept) > _limit(value):
            return f"{setting}: is {kept}, longer than {value}; it is never shortened"
    return ""


def _weaker(wanted: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    return {
        setting: f"is {present.get(setting)}, wanted {value}"
        for setting, value in wanted.items()
        if present.get(setting) != value and not _at_least(setting, present.get(setting, ""), value)
    }


def _at_least(setting: str, present: str, wanted: str) -> bool:
    """Whether a differing setting is stricter or wider than wanted, and so left alone."""
    return setting in ("max.message.bytes", "min.insync.replicas") and _limit(present) > _limit(wanted)


def _limit(text: str) -> int:
    """A number of Kafka's; -1 means without limit."""
    value = int(text) if text.lstrip("-").isdigit() else 0
    return NO_LIMIT if value < 0 else value


async def _present(admin: Any, settings: Settings) -> dict[str, Present]:
    names = {settings.topic_prefix + topic.name: topic.name for topic in TOPICS}
    counts = {
        topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics() if topic["topic"] in names
    }
    if not counts:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in counts])
    found = {}
    for answer in answers:
        for _error, _message, _kind, name, entries in answer.resources:
            config = {entry[0]: str(entry[1]) for entry in entries}
            overrides = {entry[0]: str(entry[1]) for entry in entries if entry[3] == SET_ON_TOPIC}
            found[names[name]] = Present(counts[name], config, overrides)
    return found


async def _create(admin: Any, settings: Settings, missing: Sequence[Topic]) -> None:
    new = [
        NewTopic(
            settings.topic_prefix + topic.name,
            wanted_partitions(topic, settings),
            settings.replication,
            topic_configs=wanted_config(topic, settings),
        )
        for topic in missing
    ]
    if new:
        answer = await admin.create_topics(new)
        for name, code, message in answer.topic_errors:
            if code not in (0, TOPIC_EXISTS):
                raise KafkaRefused(f"topic {name} could not be created: {message or for_code(code).__name__}")


async def _repair(admin: Any, settings: Settings, state: TopicState, present: Present | None) -> TopicState:
    if state.status != "drift" or present is None:
        return state
    topic = next(topic for topic in TOPICS if topic.name == state.name)
    name = settings.topic_prefix + topic.name
    if "partitions" in state.drift:
        await admin.create_partitions({name: NewPartitions(wanted_partitions(topic, settings))})
    changes = {setting: value for setting, value in wanted_config(topic, settings).items() if setting in state.drift}
    if changes:
        # The request replaces every setting of the topic, so those made before are sent again.
        whole = {**present.overrides, **changes}
        for answer in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, whole)]):
            for code, message, *_ in answer.resources:
                if code:
                    raise KafkaRefused(f"topic {name} could not be changed: {message or for_code(code).__name__}")
    return replace(state, status="repaired", partitions=wanted_partitions(topic, settings))


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=20_000)
    try:
        await admin.start()
        yield admin
    except (TimeoutError, KafkaError, OSError) as error:
        raise KafkaUnavailable(f"Kafka at {settings.kafka}: {error or type(error).__name__}") from error
    finally:
        await admin.close()
