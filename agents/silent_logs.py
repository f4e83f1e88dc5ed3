"""Logs of a worker that must leave no trace outside its own tables: it reads, and what it would send goes nowhere.

A rebuild computes again what the logs already hold. Its outputs are there, in the bytes that it would send; sending
them again would be allowed, and useless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.logs import Logs
from agents.settings import Settings


@dataclass(frozen=True, slots=True)
class NotSent:
    """Where a record would stand; nobody may ask for it."""

    partition: int = -1
    offset: int = -1


class SilentLogs(Logs):
    """Reads as ever; sends nothing."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Any:
        """A future that is done."""
        done: asyncio.Future[NotSent] = asyncio.get_running_loop().create_future()
        done.set_result(NotSent())
        return done


def logs_of(settings: Settings) -> Logs:
    """The logs of a worker: silent where its outputs are off."""
    return SilentLogs(settings) if settings.outputs == "off" else Logs(settings)
