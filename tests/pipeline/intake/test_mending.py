"""A refused record is mended: what was not touched stays what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.intake.mending import field_value, mended, mended_binary

BROKER = datetime(2026, 10, 5, 10, 0, 0, 123456, tzinfo=UTC)


def test_a_mended_record_keeps_every_other_field_to_the_digit() -> None:
    value = b'{"id":"","time":"2026-10-04T00:00:00Z","data":{"a":12345678901234567890.123456789,"b":"1.10","c":1e2}}'
    assert mended(value, BROKER, {"id": "x"}) == (
        b'{"id":"x","time":"2026-10-04T00:00:00Z","data":{"a":12345678901234567890.123456789,"b":"1.10","c":1E+2}}'
    )


def test_an_event_without_a_time_keeps_the_brokers() -> None:
    assert mended(b"{}", BROKER, {}) == b'{"time":"2026-10-05T10:00:00.123Z"}'
    assert mended(b'{"time":"now"}', BROKER, {"time": "2026-10-05T09:00:00Z"}) == b'{"time":"2026-10-05T09:00:00Z"}'


def test_a_change_reaches_into_the_payload_and_none_removes() -> None:
    value = b'{"time":"t","data":{"tokens":"NaN","model":"large"},"extra":1}'
    assert mended(value, BROKER, {"data.tokens": 5, "extra": None}) == (
        b'{"time":"t","data":{"tokens":5,"model":"large"}}'
    )


def test_in_binary_mode_attributes_are_headers_and_the_payload_is_the_value() -> None:
    headers = (("ce_id", b"a"), ("ce_id", b"later"), ("ce_type", b"call"), ("traceparent", b"t"), ("empty", None))
    value, mended_headers = mended_binary(b'{"a":1.10}', headers, BROKER, {"id": "b", "type": None, "data.b": 2})
    assert value == b'{"a":1.10,"b":2}'
    assert dict(mended_headers) == {"ce_id": b"b", "traceparent": b"t", "ce_time": b"2026-10-05T10:00:00.123Z"}
    kept, same = mended_binary(b"{", headers, BROKER, {})
    assert (kept, dict(same)["ce_id"], dict(same)["ce_time"]) == (b"{", b"a", b"2026-10-05T10:00:00.123Z")
    assert mended_binary(b"{", headers, BROKER, {"data": {"a": 1}})[0] == b'{"a":1}'
    with pytest.raises(ValueError, match="whole new value"):
        mended_binary(b"{", headers, BROKER, {"data.a": 1})


@pytest.mark.parametrize("value", [b"", b"{", b"[1]", b'"text"', b"\xff"])
def test_what_is_no_json_object_needs_a_whole_new_value(value: bytes) -> None:
    with pytest.raises(ValueError, match="whole new value"):
        mended(value, BROKER, {"id": "x"})


def test_nothing_can_be_changed_inside_what_is_no_object() -> None:
    with pytest.raises(ValueError, match="data: is not an object"):
        mended(b'{"data":5}', BROKER, {"data.tokens": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ('"5"', "5"), ("true", True), ("acme", "acme"), ("", None), ("NaN", "NaN"), ("{}", {})],
)
def test_a_typed_value_is_json_where_it_is_json(text: str, value: Any) -> None:
    assert field_value(text) == value
