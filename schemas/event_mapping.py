"""How rows of a file become usage events: which column is which attribute, measure or dimension. A TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Template = Annotated[str, Field(min_length=1, max_length=1000)]
"""A text in which `{column}` stands for the value of that column."""
Column = Annotated[str, Field(min_length=1, max_length=200)]
PLACE = re.compile(r"\{([^{}]+)\}")


class EventMapping(BaseModel):
    """One event per row.

    Without `id` the identity is derived from the whole row and from how many equal rows came before it, so sending a
    file again, or a later copy that holds the same rows, repeats the ids; rows must then have a time, and come within a
    day of their order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Template
    type: Template
    subject: Template
    time: Template | None = Field(None, description="absent: the broker's time of the record")
    time_format: str | None = Field(None, description="as in strptime; absent: ISO 8601, with a T or a space")
    time_zone: str = Field("UTC", description="of times that name none")
    id: tuple[Column, ...] = Field((), description="columns that name what happened, once and for ever")
    measures: Mapping[str, Template] = Field({}, description="numbers; a row whose text is none is refused")
    dimensions: Mapping[str, Template] = Field({}, description="texts; an empty one is left out")

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {name!r}") from None
        return name

    @model_validator(mode="after")
    def _names_its_events(self) -> Self:
        if not self.id and self.time is None:
            raise ValueError("id: name the columns of the identity, or a time")
        if twice := self.measures.keys() & self.dimensions.keys():
            raise ValueError(f"dimensions: {min(twice)!r} is a measure already")
        return self

    def columns(self) -> frozenset[str]:
        """Every column that the mapping reads."""
        templates = (self.source, self.type, self.subject, self.time or "", *self.measures.values(),
                     *self.dimensions.values())  # fmt: skip
        return frozenset(self.id).union(*(PLACE.findall(template) for template in templates))


ACCESS_LOG = EventMapping(
    source="/access-log",
    type="http.request",
    subject="{host}",
    time="{time}",
    time_format="%d/%b/%Y:%H:%M:%S %z",
    measures={"bytes": "{bytes}"},
    dimensions={"method": "{method}", "path": "{path}", "status": "{status}", "user": "{user}"},
)
"""What a line of an access log is unless a mapping says otherwise: a request of its client, with its bytes."""
