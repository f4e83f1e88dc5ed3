"""Billing time as a record: a tick has a number, a time and a vector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.period import Instant

Clock = Literal["wall", "test"]

USAGE = "usage.events"
ATTRIBUTIONS = "billing.attributions"
CATALOGUE = "billing.catalogue"
ERASURES = "billing.erasures"
INPUT_LOGS = (USAGE, ATTRIBUTIONS, CATALOGUE, ERASURES)


class Vector(BaseModel):
    """The `next_offset` (exclusive) of each partition of each input log at one moment, by topic name without prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ends: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)

    def of(self, topic: str) -> tuple[int, ...]:
        """End offsets of one log, by partition; empty for a log that did not exist."""
        return tuple(self.ends.get(topic, ()))

    def end(self, topic: str, partition: int) -> int:
        """End offset of one partition; 0 for one that did not exist."""
        ends = self.of(topic)
        return ends[partition] if partition < len(ends) else 0

    def covers(self, other: Vector) -> bool:
        """Whether everything below `other` lies below this vector, in every log that `other` names."""
        return all(
            self.end(topic, partition) >= end
            for topic, ends in other.ends.items()
            for partition, end in enumerate(ends)
        )


def whole_milliseconds(time: datetime) -> datetime:
    """A time rounded down to milliseconds, as tables keep it: what is read back must be what was decided on."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Tick(BaseModel):
    """A record of billing.ticks. Billing time is the time of the last tick; the first record of a number wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    time: Annotated[Instant, AfterValidator(whole_milliseconds)]
    clock: Clock
    vector: Vector
    engine: str = "3"
    """The rules by which everything that is due at it is rated: part of the record, so that workers of two versions,
    and a rebuild years later, rate alike."""
