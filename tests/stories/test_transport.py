"""The batch transport on a real broker: every codec, transactions, both content modes; nothing lost or skipped."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from agents.topics import USAGE_EVENTS
from tests.deployments import Deployment

pytestmark = pytest.mark.services

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
EACH = 40
CODECS = (None, "gzip", "snappy", "lz4", "zstd")
BINARY = (("ce_specversion", b"1.0"), ("ce_source", b"/test"), ("ce_type", b"llm.request"), ("ce_subject", b"acme"),
          ("ce_time", b"2026-10-05T10:00:00Z"), ("content-type", b"application/json"))  # fmt: skip


def structured(event_id: str) -> bytes:
    return json.dumps({
        "specversion": "1.0", "id": event_id, "source": "/test", "type": "llm.request", "subject": "acme",
        "time": "2026-10-05T10:00:00Z", "data": {"tokens": 7},
    }).encode()  # fmt: skip


def ids(name: str) -> list[str]:
    return [f"{name}-{number}" for number in range(EACH)]


@asynccontextmanager
async def producer(deployment: Deployment, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    opened = AIOKafkaProducer(bootstrap_servers=deployment.settings.kafka, acks="all", **options)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


async def send(deployment: Deployment, client: AIOKafkaProducer, names: Sequence[str], **binary: Any) -> None:
    topic = deployment.settings.topic_prefix + USAGE_EVENTS
    for number, name in enumerate(names):
        headers = [*BINARY, ("ce_id", name.encode())] if binary else []
        value = b'{"tokens": 7}' if binary else structured(name)
        await client.send(topic, value, key=b"acme", partition=number % 3, headers=headers)
    await client.flush()


async def test_every_codec_transaction_and_content_mode_is_stored_once_and_accounted_for(
    deployment: Deployment,
) -> None:
    await deployment.begin(OCTOBER)
    wanted: set[str] = set()
    for codec in CODECS:
        async with producer(deployment, compression_type=codec) as client:
            await send(deployment, client, ids(f"plain-{codec}"))
            await send(deployment, client, ids(f"binary-{codec}"), binary=True)
        wanted |= {*ids(f"plain-{codec}"), *ids(f"binary-{codec}")}
    worker = deployment.worker("ingest", instance="ingest")
    name = f"{deployment.settings.topic_prefix}producer"
    async with producer(deployment, transactional_id=name, compression_type="lz4") as client:
        async with client.transaction():
            await send(deployment, client, ids("committed"))
        await client.begin_transaction()
        await send(deployment, client, ids("aborted"))
        await client.abort_transaction()
        async with client.transaction():
            await send(deployment, client, ids("after"))
        wanted |= {*ids("committed"), *ids("after")}
        await deployment.stored()  # to the end of the log: what trails is a marker, which holds no record
        worker.kill()
        await client.begin_transaction()
        await send(deployment, client, ids("last"))
        deployment.worker("ingest", instance="ingest")
        await client.abort_transaction()  # its markers are written later, and what can be read ends before them
    controls = 2 * EACH + 4 * 3  # two aborted transactions, and a marker of each of the four in each partition
    await deployment.until(
        lambda: sum(deployment.billing.coverage(USAGE_EVENTS).values()) == len(wanted) + controls, "all is covered"
    )
    coverage = await deployment.stored()
    found = deployment.rows("SELECT id, count() FROM events GROUP BY id")
    assert dict(found) == dict.fromkeys(wanted, 1)
    assert deployment.rows("SELECT count() FROM dead_letters") == [(0,)]
    counts = deployment.rows("SELECT max(events), max(controls), max(next_offset) FROM ledger "
                             "WHERE topic = 'usage.events' GROUP BY k_partition ORDER BY k_partition")  # fmt: skip
    assert [end for _, _, end in counts] == [coverage[partition] for partition in range(3)]
    assert all(events + skipped == end for events, skipped, end in counts)
    assert sum(skipped for _, skipped, _ in counts) == controls
