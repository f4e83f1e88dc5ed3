"""What became of a dead letter: sent again, mended or as it was, or waived. A record of usage.dead-letters."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

HEADER = "tally_resolution"
"""The header that tells a resolution from a dead letter in the same topic."""


class LogPosition(BaseModel):
    """A place in a log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Resolution(BaseModel):
    """A dead letter and how it was settled: `replayed` names the record that stands for it, `waived` a reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: Literal["replayed", "waived"]
    letter: LogPosition
    replayed_as: LogPosition | None = None
    actor: Annotated[str, Field(min_length=1, max_length=200)]
    reason: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.resolution == "replayed") != (self.replayed_as is not None):
            raise ValueError("replayed_as: a replayed dead letter names its new record, a waived one has none")
        if self.resolution == "waived" and not self.reason.strip():
            raise ValueError("reason: to waive usage needs a reason")
        return self
