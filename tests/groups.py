"""Consumer groups of a deployment, as the broker sees them."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

from tests.deployments import Deployment


async def members(deployment: Deployment, count: int, worker: str = "ingest") -> None:
    """Returns once the group of a kind of worker is settled on so many members."""
    group = f"{deployment.settings.topic_prefix}tally-{worker}"
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    try:
        async with asyncio.timeout(60):
            while await settled(admin, group) != count:
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def settled(admin: AIOKafkaAdminClient, group: str) -> int:
    """How many members hold partitions; 0 while they are being moved."""
    (answer,) = await admin.describe_consumer_groups([group])
    ((_error, _group, state, _kind, _protocol, found, *_),) = answer.groups
    return len(found) if state == "Stable" else 0
