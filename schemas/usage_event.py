"""The public contract of usage.events: a CloudEvent 1.0 of usage, or a correction of one. Identity is (source, id)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from schemas.event_time import milliseconds, moment

CORRECTION_TYPE = "tally.usage.correction.v1"
DEPTH_MAX = 32
NUMBER_DIGITS_MAX = 15
RECORD_MAX = 1024 * 1024


def _event_time(value: object) -> object:
    if isinstance(value, str):
        return moment(milliseconds(value))
    return value if isinstance(value, datetime) or value is None else "not a text"


Attribute = Annotated[str, Field(min_length=1, max_length=1000)]
EventTime = Annotated[AwareDatetime, BeforeValidator(_event_time)]
Whole = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Sequence_ = Annotated[str, Field(max_length=1000)] | Whole


class UsageEvent(BaseModel):
    """One CloudEvent of usage. `time` absent: the broker's time of the record. Other attributes are allowed and kept
    in the log only.

    `data` is an object of measures and dimensions, at most 32 levels deep. A JSON number is taken at its literal
    decimal value and must be below 10^15; amounts beyond 15 digits are safer as strings. Of a name that an object
    repeats, the first counts; of a repeated attribute, the last.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"]
    id: Attribute
    source: Attribute
    type: Attribute
    subject: Attribute
    time: EventTime | None = None
    datacontenttype: str | None = None
    sequence: Sequence_ | None = Field(None, description="CloudEvents extension, per source: lets gaps be found")
    data: dict[str, Any] | None = None
    data_base64: str | None = Field(None, description="the same object as JSON, in base64; then without `data`")

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """The event of a structured record. Raises ValueError where the record is none, whatever is wrong with it."""
        if len(record) > RECORD_MAX:
            raise ValueError("larger than 1 MiB")
        content = _read(record, DEPTH_MAX + 1)
        event = cls.model_validate(content)
        return event if event.type != CORRECTION_TYPE else event._with_correction()

    def payload(self) -> Mapping[str, Any]:
        """Measures and dimensions; numbers are int or Decimal."""
        return self.data or {}

    def correction(self) -> CorrectionPayload:
        """What an event of type `tally.usage.correction.v1` says. Raises ValueError."""
        return CorrectionPayload.model_validate(self.payload())

    @model_validator(mode="before")
    @classmethod
    def _decoded(cls, content: object) -> object:
        if not isinstance(content, dict) or content.get("data_base64") is None:
            return content
        if content.get("data") is not None or not isinstance(content["data_base64"], str):
            raise ValueError("data_base64: must be a text and stands alone, without data")
        try:
            decoded = base64.b64decode(content["data_base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"data_base64: {error}") from None
        return {**content, "data": _read(decoded, DEPTH_MAX) if decoded else None}

    @field_validator("data", mode="before")
    @classmethod
    def _readable(cls, value: object) -> object:
        _check_numbers(value)
        return value

    def _with_correction(self) -> Self:
        self.correction()
        return self


class ReplacingEvent(BaseModel):
    """The event that stands in the place of a corrected one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Attribute
    subject: Attribute
    time: EventTime
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

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.action == "replace") != (self.event is not None):
            raise ValueError("event: a replacement needs one, a retraction has none")
        return self


class _Repeated(str):
    """The name under which an earlier value of a repeated name is kept, so that it is judged too."""


def _read(text: bytes, depth_max: int) -> Any:
    """JSON with literal numbers, in UTF-8, of a bounded depth. Raises ValueError."""
    try:
        content = json.loads(
            text.decode(), parse_float=Decimal, parse_int=_whole, parse_constant=_refuse, object_pairs_hook=_members
        )
    except RecursionError:
        raise ValueError("nests too deep") from None
    if _depth(content) > depth_max:
        raise ValueError(f"nests deeper than {depth_max}")
    return content


def _whole(literal: str) -> int | Decimal:
    return int(literal) if len(literal) <= 20 else Decimal(literal)


def _refuse(literal: str) -> None:
    raise ValueError(f"{literal} is no JSON number")


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for index, (name, value) in enumerate(pairs):
        (name + repr(value) if isinstance(value, str) else name).encode()  # lone surrogates are no text
        if name in members:
            members[_Repeated(f"{name}\0{index}")] = members[name]
        members[name] = value
    return members


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(part) for part in value.values()), default=0)
    return 1 + max((_depth(part) for part in value), default=0) if isinstance(value, list) else 0


def _check_numbers(value: object) -> None:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_numbers(part)
    elif isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        number = Decimal(value)
        if number and number.adjusted() >= NUMBER_DIGITS_MAX:
            raise ValueError("a number is 10^15 or more: use a larger unit, or a string for identifiers")
