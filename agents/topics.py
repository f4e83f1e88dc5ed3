"""The topics of a deployment as one table, and how a cluster is brought to it without losing a record.

Rules (design.md §4): a topic that is missing is created; a setting that keeps less than declared is drift and can be
repaired; a cluster that keeps *more* than declared is left alone, because following the declaration would shrink
partitions or weaken retention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agents.settings import Settings
from schemas.tick import ATTRIBUTIONS, CATALOGUE, USAGE

DEAD_LETTERS = "usage.dead-letters"
TICKS = "billing.ticks"
COMMANDS = "billing.commands"
OUTCOMES = "billing.command-outcomes"
PERIODS = "billing.periods"
FINALISATIONS = "billing.finalisations"
INVOICES = "billing.invoices"
INVOICES_LATEST = "billing.invoices-latest"
PAYMENT_REQUESTS = "billing.payment-requests"
ALERTS = "billing.alerts"

FOR_EVER = -1
NO_LIMIT = 2**63
DAY_MS = 86_400_000
USAGE_RETENTION_MS = 400 * DAY_MS
# Refusing a record above 1 MiB is the ingester's verdict, with a reason; so the broker must let it through to us.
USAGE_RECORD_BYTES = 4 * 1024 * 1024
DEAD_LETTER_BYTES = USAGE_RECORD_BYTES + 64 * 1024

Policy = Literal["delete", "compact"]
Verdict = Literal["same", "create", "repair", "refuse"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as declared: `name` without prefix, `key` in words, `retention_ms` -1 for ever."""

    name: str
    key: str
    partitions: int
    retention_ms: int
    policy: Policy
    record_bytes: int
    replication: int
    may_grow: bool

    def config(self) -> dict[str, str]:
        """The settings of the topic as Kafka spells them.

        LogAppendTime everywhere: no producer's clock decides what is kept. With several replicas, one may be down.
        """
        return {
            "cleanup.policy": self.policy,
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.record_bytes),
            "min.insync.replicas": str(max(1, self.replication - 1)),
            "unclean.leader.election.enable": "false",
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the cluster has it; `overrides` are the settings that were set on the topic itself."""

    partitions: int
    config: Mapping[str, str]
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one topic or one of its settings needs."""

    topic: str
    setting: str
    declared: str
    found: str
    verdict: Verdict
    why: str = ""


def declared(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of the deployment, in the order of the contract (design.md §4)."""
    usage, fixed = settings.usage_partitions, settings.billing_partitions

    def topic(
        name: str,
        key: str,
        partitions: int,
        *,
        retention_ms: int = FOR_EVER,
        policy: Policy = "delete",
        record_bytes: int = 4 * 1024 * 1024,
        may_grow: bool = False,
    ) -> Topic:
        return Topic(name, key, partitions, retention_ms, policy, record_bytes, settings.replication, may_grow)

    kept = USAGE_RETENTION_MS
    return (
        topic(USAGE, "subject", usage, retention_ms=kept, record_bytes=USAGE_RECORD_BYTES, may_grow=True),
        topic(DEAD_LETTERS, "as received", usage, retention_ms=kept, record_bytes=DEAD_LETTER_BYTES, may_grow=True),
        topic(TICKS, "none", 1),
        topic(ATTRIBUTIONS, "subject", 1),
        topic(CATALOGUE, "name@version", 1, policy="compact"),
        topic(COMMANDS, "customer", fixed),
        topic(OUTCOMES, "customer", fixed),
        topic(PERIODS, "customer", fixed),
        topic(FINALISATIONS, "none", 1),
        topic(INVOICES, "customer", fixed),
        topic(INVOICES_LATEST, "document id", fixed, policy="compact"),
        topic(PAYMENT_REQUESTS, "customer", fixed),
        topic(ALERTS, "customer", fixed),
    )


def compare(topics: Sequence[Topic], found: Mapping[str, Found]) -> tuple[Finding, ...]:
    """What each declared topic needs; `found` is keyed by name without prefix. One finding per difference."""
    findings: list[Finding] = []
    for topic in topics:
        there = found.get(topic.name)
        if there is None:
            findings.append(Finding(topic.name, "topic", f"{topic.partitions} partitions", "missing", "create"))
            continue
        differences = [*_partitions(topic, there), *_settings(topic, there)]
        findings += differences or [Finding(topic.name, "topic", _words(topic), _words(topic), "same")]
    return tuple(findings)


def _words(topic: Topic) -> str:
    return f"{topic.partitions} partitions"


def _partitions(topic: Topic, there: Found) -> list[Finding]:
    if there.partitions == topic.partitions:
        return []
    want, have = str(topic.partitions), str(there.partitions)
    if there.partitions > topic.partitions:
        return [Finding(topic.name, "partitions", want, have, "refuse", "partitions cannot be taken away")]
    if topic.may_grow:
        why = "new keys go to other partitions; the auditor finds copies across them"
        return [Finding(topic.name, "partitions", want, have, "repair", why)]
    return [
        Finding(topic.name, "partitions", want, have, "refuse", "the partition count of billing logs never changes")
    ]


def _settings(topic: Topic, there: Found) -> list[Finding]:
    findings: list[Finding] = []
    for setting, want in topic.config().items():
        have = there.config.get(setting, "")
        if have != want:
            verdict, why = _judge(setting, want=want, have=have)
            findings.append(Finding(topic.name, setting, want, have, verdict, why))
    return findings


def _judge(setting: str, *, want: str, have: str) -> tuple[Verdict, str]:
    if setting in ("retention.ms", "retention.bytes"):
        if _limit(have) > _limit(want):
            return "refuse", "the cluster keeps records longer; weakening retention would delete them"
        return "repair", "records would be deleted too early"
    if setting in ("max.message.bytes", "min.insync.replicas") and have.isdigit() and int(have) > int(want):
        return "same", "stricter or wider than declared: left alone"
    if setting == "cleanup.policy" and want == "delete":
        return "repair", "compaction would drop records that this log must keep"
    return "repair", "weaker than declared"


def _limit(text: str) -> int:
    """Kafka's -1 means without limit."""
    value = int(text) if text.lstrip("-").isdigit() else 0
    return NO_LIMIT if value < 0 else value
