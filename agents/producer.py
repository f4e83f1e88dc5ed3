"""A producer of usage for Python programs: ids that repeat when what happened is sent again, and an answer that counts.

    async with Producer("127.0.0.1:9092", source="/gateway/eu-1") as usage:
        await usage.send("llm.request", subject="acme/key-7", of=("req-8f1c",), time=at, data={"tokens_in": 4808})

`send` returns once every in-sync replica has the event. If it raises, or if the process dies before it returns, send
the same thing again: the id is derived from `of`, so it is the same event, and counts once. Sends that run at the same
time share batches, so a busy program simply awaits many at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import msgspec

from agents.clock import wall_time
from agents.intake import Intake
from agents.logs import Logs
from agents.settings import Settings
from agents.topics import USAGE_EVENTS
from pipeline.intake.validation import Rejection, validate
from schemas.dead_letter import EXPLANATIONS, Reason
from schemas.identity import derived_id

Measure = str | int | Decimal | bool | None
PENDING_BYTES = 64 * 1024 * 1024


class EventRefused(ValueError):
    """An event that would be a dead letter; nothing was sent. The program that made it must be mended."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}. {EXPLANATIONS[reason]}")
        self.reason, self.detail = reason, detail


def event_id(source: str, *of: str | int) -> str:
    """The id of the event that `of` names within a source: the same names, the same id, on every machine, for ever."""
    return str(derived_id("usage", source, *of))


def usage_event(
    kind: str, *, source: str, subject: str, of: Sequence[str | int], time: datetime, data: Mapping[str, Measure],
    sequence: int | None = None,
) -> bytes:  # fmt: skip
    """A CloudEvent of usage; equal arguments give equal bytes. Raises EventRefused.

    `of` names what happened: a request id, or a machine and its minute. A Decimal goes out as text, so that no software
    on the way makes a float of it; a float is refused, because its value is not the one that was written down.
    """
    if time.tzinfo is None:
        raise EventRefused(Reason.INVALID_TIME, "time: has no zone")
    for name, value in data.items():
        if isinstance(value, float):
            raise EventRefused(Reason.INVALID_PAYLOAD, f"data.{name}: is a float; use Decimal, int or text")
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id(source, *of),
        "source": source,
        "type": kind,
        "subject": subject,
        "time": time.astimezone(UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": {name: str(value) if isinstance(value, Decimal) else value for name, value in sorted(data.items())},
    }
    if sequence is not None:
        attributes["sequence"] = str(sequence)
    event = msgspec.json.encode(attributes)
    verdict = validate(event, subject.encode(), (), int(wall_time().timestamp() * 1000), wall_clock=False)
    if isinstance(verdict, Rejection):
        raise EventRefused(verdict.reason, verdict.detail)
    return event


class Producer:
    """Sends the usage of one source."""

    def __init__(
        self, kafka: str | None = None, *, source: str, settings: Settings | None = None, ack_within_s: float = 60.0
    ) -> None:
        """`kafka` are bootstrap servers; without them the settings of the deployment decide (`TALLY_KAFKA`)."""
        self._settings = settings or Settings()
        if kafka is not None:
            self._settings = self._settings.model_copy(update={"kafka": kafka})
        self._source, self._ack_within_s = source, ack_within_s
        self._intake: Intake | None = None

    async def __aenter__(self) -> Self:
        """Connects. Raises KafkaUnavailable, TopicMissing."""
        async with Logs(self._settings) as logs:
            partitions = await logs.partitions(USAGE_EVENTS)
        self._intake = Intake(
            self._settings, partitions=partitions, pending_bytes=PENDING_BYTES, ack_within_s=self._ack_within_s
        )
        await self._intake.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._intake is not None:
            await self._intake.stop(self._ack_within_s)
        self._intake = None

    async def send(
        self, kind: str, *, subject: str, of: Sequence[str | int], time: datetime, data: Mapping[str, Measure],
        sequence: int | None = None,
    ) -> str:  # fmt: skip
        """Sends one event; returns its id once the broker has it. Raises EventRefused, IntakeFull, KafkaUnavailable."""
        if self._intake is None:
            raise RuntimeError("the producer is not connected: use it in `async with`")
        event = usage_event(kind, source=self._source, subject=subject, of=of, time=time, data=data, sequence=sequence)
        await self._intake.send([(subject.encode(), event)])
        return event_id(self._source, *of)
