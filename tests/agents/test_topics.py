"""Topics: one table; what is missing is created, what keeps too little is drift, what would lose records is refused."""

from __future__ import annotations

import pytest

from agents.settings import Settings
from agents.topics import TOPICS, Present, Topic, compare, wanted_config, wanted_partitions

SETTINGS = Settings(usage_partitions=8, billing_partitions=4)
DAY_MS = 86_400_000


def topic(name: str) -> Topic:
    return next(topic for topic in TOPICS if topic.name == name)


def present(name: str, *, partitions: int | None = None, **changed: str) -> Present:
    declared = topic(name)
    config = {**wanted_config(declared, SETTINGS), **{key.replace("_", "."): value for key, value in changed.items()}}
    return Present(partitions or wanted_partitions(declared, SETTINGS), config)


def test_the_table_is_that_of_the_contract() -> None:
    assert {topic.name: (wanted_partitions(topic, SETTINGS), topic.retention_ms // DAY_MS) for topic in TOPICS} == {
        "usage.events": (8, 400),
        "usage.dead-letters": (8, 400),
        "usage.epochs": (1, -1),
        "billing.ticks": (1, -1),
        "billing.attributions": (1, -1),
        "billing.catalogue": (1, -1),
        "billing.erasures": (1, -1),
        "billing.commands": (4, -1),
        "billing.command-outcomes": (4, -1),
        "billing.periods": (4, -1),
        "billing.finalisations": (1, -1),
        "billing.invoices": (4, -1),
        "billing.invoices-latest": (4, -1),
        "billing.payment-requests": (4, -1),
        "billing.alerts": (4, -1),
        "billing.reservations": (4, 2),
    }


def test_only_topics_that_lose_nothing_by_it_are_compacted() -> None:
    assert {topic.name for topic in TOPICS if topic.compacted} == {"billing.catalogue", "billing.invoices-latest"}


def test_usage_carries_the_brokers_time_and_records_above_the_limit_reach_the_ingester() -> None:
    assert topic("usage.events").config()["message.timestamp.type"] == "LogAppendTime"
    assert int(topic("usage.events").config()["max.message.bytes"]) > 1024 * 1024
    dead, usage = (int(topic(name).config()["max.message.bytes"]) for name in ("usage.dead-letters", "usage.events"))
    assert dead > usage


@pytest.mark.parametrize("declared", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_as_declared_needs_nothing_and_a_missing_one_is_missing(declared: Topic) -> None:
    assert compare(declared, present(declared.name), SETTINGS).status == "present"
    assert compare(declared, None, SETTINGS).status == "missing"


@pytest.mark.parametrize(
    ("name", "changed", "status", "said"),
    [
        ("usage.events", {"retention_ms": str(399 * DAY_MS)}, "drift", "retention.ms"),
        ("usage.events", {"retention_ms": str(401 * DAY_MS)}, "refused", "retention.ms"),
        ("usage.events", {"retention_ms": "-1"}, "refused", "retention.ms"),
        ("usage.events", {"retention_bytes": "1000000"}, "drift", "retention.bytes"),
        ("billing.ticks", {"retention_ms": str(9999 * DAY_MS)}, "drift", "retention.ms"),
        ("usage.events", {"message_timestamp_type": "CreateTime"}, "drift", "message.timestamp.type"),
        ("billing.periods", {"cleanup_policy": "compact"}, "drift", "cleanup.policy"),
        ("billing.catalogue", {"cleanup_policy": "delete"}, "drift", "cleanup.policy"),
        ("usage.events", {"max_message_bytes": "1048588"}, "drift", "max.message.bytes"),
        ("usage.events", {"max_message_bytes": "99999999"}, "present", ""),
        ("usage.events", {"min_insync_replicas": "2"}, "present", ""),
    ],
)
def test_a_setting_that_keeps_less_is_drift_and_one_that_keeps_more_is_never_taken_back(
    name: str, changed: dict[str, str], status: str, said: str
) -> None:
    state = compare(topic(name), present(name, **changed), SETTINGS)
    assert state.status == status
    assert said in " ".join(state.drift)
    assert status != "refused" or said in state.detail


@pytest.mark.parametrize(
    ("name", "partitions", "status"),
    [
        ("usage.events", 7, "drift"),
        ("usage.events", 8, "present"),
        ("usage.events", 9, "refused"),
        ("billing.commands", 3, "refused"),
        ("billing.commands", 4, "present"),
        ("billing.commands", 5, "refused"),
    ],
)
def test_usage_may_grow_and_never_shrink_and_billing_never_changes(name: str, partitions: int, status: str) -> None:
    state = compare(topic(name), present(name, partitions=partitions), SETTINGS)
    assert state.status == status
    assert (status == "present") == ("partitions" not in state.drift)


def test_one_of_several_replicas_may_be_down_and_one_of_one_may_not() -> None:
    for replicas, in_sync in ((1, "1"), (2, "1"), (3, "2")):
        config = wanted_config(topic("usage.events"), Settings(replication=replicas))
        assert config["min.insync.replicas"] == in_sync
