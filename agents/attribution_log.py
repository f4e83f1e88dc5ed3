"""Attributions published: which customer a subject belongs to, from a time on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from agents.logs import Logs
from agents.topics import ATTRIBUTIONS, KafkaUnavailable
from schemas.command import Attribution


async def attribute(logs: Logs, attributions: Sequence[Attribution]) -> None:
    """Appends attributions in order; returns once the broker has all of them. They count from the next tick on."""
    sent = []
    for attribution in attributions:
        key, value = attribution.subject.encode(), attribution.model_dump_json().encode()
        sent.append(await logs.send(ATTRIBUTIONS, key, value))
    try:
        await asyncio.gather(*sent)
    except KafkaError as error:
        raise KafkaUnavailable(f"not every attribution was acknowledged; send them again: {error}") from error
