"""A meter: which events count, with which value, how they add up, in which groups. Source: rating.md §9."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$")]
Dimension = Annotated[str, Field(min_length=1, max_length=200)]
Values = Annotated[tuple[str | None, ...], Field(min_length=1)]


class Meter(BaseModel):
    """Counts events, or sums one of their measures.

    `match` keeps events whose dimensions have a listed value (values OR, dimensions AND; `null` in a list means
    absent); `exclude` drops events that match all keys of one entry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    event_types: Annotated[tuple[str, ...], Field(min_length=1)]
    aggregation: Literal["count", "sum"]
    value: Dimension | None = Field(None, description="the measure that is summed")
    group_by: tuple[Dimension, ...] = ()
    match: Mapping[Dimension, Values] = Field(default_factory=dict)
    exclude: tuple[Annotated[Mapping[Dimension, Values], Field(min_length=1)], ...] = ()
    unit: str = Field("", description="what one unit is called on an invoice, such as tokens")

    @model_validator(mode="after")
    def _fields_agree(self) -> Meter:
        if self.aggregation == "sum" and self.value is None:
            raise ValueError('value: a sum needs the measure that it sums, such as value = "tokens_in"')
        if self.aggregation == "count" and self.value is not None:
            raise ValueError(f"value: a count takes no measure; remove value = {self.value!r} or use aggregation = sum")
        if len(set(self.group_by)) != len(self.group_by):
            raise ValueError("group_by: a dimension stands in it twice")
        return self
