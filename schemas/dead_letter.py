"""Records refused: why, and what a producer does about it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Reason(StrEnum):
    """Why a record is not an event; every refusal has exactly one."""

    EMPTY_RECORD = "empty_record"
    TOO_LARGE = "too_large"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    NOT_AN_EVENT = "not_an_event"
    MISSING_ATTRIBUTE = "missing_attribute"
    INVALID_ATTRIBUTE = "invalid_attribute"
    INVALID_TIME = "invalid_time"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    TIME_AHEAD = "time_ahead"
    INVALID_PAYLOAD = "invalid_payload"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    INVALID_CORRECTION = "invalid_correction"


EXPLANATIONS: dict[Reason, str] = {
    Reason.EMPTY_RECORD: "The record has no value. Send the event as the value of the record.",
    Reason.TOO_LARGE: "The record is larger than 1 MiB. Send measures, not documents.",
    Reason.INVALID_UTF8: "The record is not UTF-8. Encode the JSON as UTF-8.",
    Reason.INVALID_JSON: "The record is not JSON (NaN and Infinity are not). Serialise with a JSON library.",
    Reason.TOO_DEEP: "The payload nests deeper than 32 levels. Flatten it.",
    Reason.NOT_AN_EVENT: "The record is not a CloudEvent: no specversion 1.0, in the body or as ce_ headers.",
    Reason.MISSING_ATTRIBUTE: "id, source, type and subject are needed. The detail names the one that is missing.",
    Reason.INVALID_ATTRIBUTE: "An attribute has the wrong type, is empty or longer than 1,000 characters.",
    Reason.INVALID_TIME: "time is not an RFC 3339 time with a zone, such as 2026-11-03T10:15:30.123Z.",
    Reason.TIME_OUT_OF_RANGE: "time lies outside 2000 to 2100. Check the unit: seconds, not milliseconds.",
    Reason.TIME_AHEAD: "time is more than an hour ahead of the broker. Check the producer's clock.",
    Reason.INVALID_PAYLOAD: "data is not a JSON object. Wrap measures and dimensions in an object.",
    Reason.NUMBER_OUT_OF_RANGE: "A number in data is 10^15 or more. Use a larger unit, or a string for identifiers.",
    Reason.INVALID_CORRECTION: "The correction does not say what it corrects. The detail names the field.",
}


class DeadLetter(BaseModel):
    """A refused record, with its position and its bytes as received."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    partition: int
    offset: int
    reason: Reason
    detail: str
    source: str = ""
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    appended_at_ms: int
