"""Epochs: which log the positions of a partition lie in, once a topic was truncated or re-created and adopted."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.period import Instant

Offset = Annotated[int, Field(ge=0)]


class Epoch(BaseModel):
    """A record of usage.epochs: from position `base` on, a partition is read from the log as it is now.

    Positions never go back: a position is the broker's offset plus `shift`, so vectors, coverage and order between
    records hold across the break. The first record of a (partition, number) counts. Before the first, `shift` is 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: Offset
    number: Annotated[int, Field(ge=1)]
    base: Offset = Field(description="the first position of this epoch")
    shift: Offset = Field(description="position minus the broker's offset")
    stored_to: Offset = Field(description="everything below this position was stored when the epoch was adopted")
    missing: str = Field(description="what is in no log any more, as the operator was told")
    actor: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    adopted_at: Instant
