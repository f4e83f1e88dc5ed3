"""The public contract of usage.events: a CloudEvent 1.0 of usage, or a correction of one. Identity is (source, id)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.event_time import EARLIEST_MS, LATEST_MS, milliseconds, moment
from schemas.record_text import BLANKS, Literally, Repeated, read_json
from schemas.usage_number import fitted

CORRECTION_TYPE = "tally.usage.correction.v1"
DEPTH_MAX = 32
"""How deep a payload may nest; a structured record one level more."""
RECORD_MAX = 1024 * 1024


def _event_time(value: object) -> object:
    if not isinstance(value, str):
        return value if isinstance(value, datetime) or value is None else "not a text"
    ms = milliseconds(value)
    if not EARLIEST_MS <= ms < LATEST_MS:
        raise ValueError("is not between 2000 and 2100")
    return moment(ms)


Attribute = Annotated[str, Field(min_length=1, max_length=1000)]
EventTime = Annotated[AwareDatetime, BeforeValidator(_event_time)]
Whole = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Sequence_ = Annotated[str, Field(max_length=1000)] | Whole
Label = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]


class UsageEvent(BaseModel):
    """One CloudEvent of usage. `time` absent: the broker's time of the record. Other attributes are allowed and kept
    in the log only.

    `data` is an object of measures and dimensions, at most 32 levels deep. A JSON number is taken at its literal
    decimal value, rounded to 12 decimals, and must then be below 10^15; amounts beyond 15 digits are safer as strings.
    Of a name that `data` repeats, the first counts; of a repeated attribute, the last, and each must have its type.
    A correction repeats no name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: Attribute
    source: Attribute
    type: Attribute
    subject: Attribute
    time: EventTime | None = None
    datacontenttype: Label = Field(None, description="not looked at: what `data` is decides, not what it is called")
    sequence: Sequence_ | None = Field(None, description="CloudEvents extension, per source: lets gaps be found")
    data: dict[str, Any] | None = None
    data_base64: str | None = Field(None, description="the same object as JSON, in base64; then without `data`")

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """The event of a structured record. Raises ValueError where the record is none, whatever is wrong with it."""
        if len(record) > RECORD_MAX:
            raise ValueError("larger than 1 MiB")
        content = read_json(record, DEPTH_MAX + 1)
        if not isinstance(content, dict):
            raise ValueError("is not an object")
        attributes = {name: value for name, value in content.items() if not isinstance(name, Repeated)}
        for name, value in content.items():
            if isinstance(name, Repeated):
                cls._check_alone(name.of, attributes[name.of])
                attributes[name.of] = value
        event = cls.model_validate(attributes)
        if event.type == CORRECTION_TYPE:
            event.correction()
        return event

    def payload(self) -> Mapping[str, Any]:
        """Measures and dimensions; numbers are int or Decimal, as they are counted."""
        return self.data or {}

    def correction(self) -> CorrectionPayload:
        """What an event of type `tally.usage.correction.v1` says. Raises ValueError."""
        return CorrectionPayload.model_validate(self.payload())

    @classmethod
    def _check_alone(cls, name: str, value: object) -> None:
        """An earlier value of a repeated attribute does not count, but must have its type and size."""
        if name in ("time", "data_base64") and not isinstance(value, str | None):
            raise ValueError(f"{name}: must be a text")
        if name in cls.model_fields and name not in ("time", "data", "data_base64"):
            alone = {"specversion": "1.0", "id": "-", "source": "-", "type": "-", "subject": "-", name: value}
            cls.model_validate(alone)

    @model_validator(mode="before")
    @classmethod
    def _decoded(cls, content: object) -> object:
        if not isinstance(content, dict) or content.get("data_base64") is None:
            return content
        if content.get("data") is not None or not isinstance(content["data_base64"], str):
            raise ValueError("data_base64: must be a text and stands alone, without data")
        payload = base64.b64decode(content["data_base64"], validate=True)  # what it raises is a ValueError
        return {**content, "data": read_json(payload, DEPTH_MAX) if payload.strip(BLANKS) else None}

    @field_validator("data", mode="before")
    @classmethod
    def _counted(cls, value: object, info: ValidationInfo) -> object:
        if info.data.get("type") == CORRECTION_TYPE and _repeats(value):
            raise ValueError("repeats a name: which of them is meant?")
        return _with_numbers(value)


class ReplacingEvent(BaseModel):
    """The event that stands in the place of a corrected one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Attribute
    subject: Attribute
    time: EventTime
    data: dict[str, Any] | None = None


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

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.action == "replace") != (self.event is not None):
            raise ValueError("event: a replacement needs one, a retraction has none")
        return self


def _with_numbers(value: object) -> object:
    """A payload with its numbers as they are counted. Raises ValueError where one is out of range, also where its name
    is repeated and does not count."""
    if isinstance(value, dict):
        judged = {name: _with_numbers(part) for name, part in value.items()}
        return {name: part for name, part in judged.items() if not isinstance(name, Repeated)}
    if isinstance(value, list):
        return [_with_numbers(part) for part in value]
    if isinstance(value, Literally):
        return fitted(value.text)[0]
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        number, rounded = fitted(Decimal(value))
        return number if rounded else value
    return value


def _repeats(value: object) -> bool:
    if isinstance(value, dict):
        return any(isinstance(name, Repeated) or _repeats(part) for name, part in value.items())
    return isinstance(value, list) and any(map(_repeats, value))
