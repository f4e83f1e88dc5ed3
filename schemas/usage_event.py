"""The public contract of usage.events: a CloudEvent 1.0 of usage, or a correction of one. Identity is (source, id)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Attribute = Annotated[str, Field(min_length=1, max_length=1000)]

CORRECTION_TYPE = "tally.usage.correction.v1"


class UsageEvent(BaseModel):
    """One CloudEvent of usage. `time` absent: the broker's time of the record. Other attributes are allowed and kept
    in the log only.

    `data` is an object of measures and dimensions. A JSON number is taken at its literal decimal value; amounts beyond
    15 digits are safer as strings.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"]
    id: Attribute
    source: Attribute
    type: Attribute
    subject: Attribute
    time: AwareDatetime | None = None
    datacontenttype: str | None = None
    sequence: str | int | None = Field(None, description="CloudEvents extension, per source: lets gaps be found")
    data: dict[str, Any] | None = None


class ReplacingEvent(BaseModel):
    """The event that stands in the place of a corrected one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Attribute
    subject: Attribute
    time: AwareDatetime
    data: dict[str, Any] = Field(default_factory=dict)


class CorrectionPayload(BaseModel):
    """`data` of an event of type `tally.usage.correction.v1`: names an identity, and retracts or replaces it.

    Of several corrections of one identity the last appended counts, in whatever order original and corrections come.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["retract", "replace"]
    source: Attribute
    id: Attribute
    reason: str = Field("", max_length=2000)
    event: ReplacingEvent | None = None
