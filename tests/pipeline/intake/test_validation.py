"""The verdict on a record: one definition of validity, whoever asks, alone or in company, now or in a replay."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.record_batch import RecordBatch
from pipeline.intake.usage_block import TOGETHER, UsageBlock, _judge_together, judge
from pipeline.intake.validation import BROKER_TIME, KEY_DIFFERS, ROUNDED, Correction, Event, Rejection, validate
from schemas.dead_letter import Reason
from schemas.event_time import milliseconds
from schemas.usage_event import CORRECTION_TYPE, RECORD_MAX, UsageEvent
from tests.pipeline.records import BROKER_MS, CORRECTION, SEEDS, event, mutated

HOUR_MS = 3_600_000
often = settings(
    max_examples=max(200, settings.default.max_examples if settings.default else 0),
    suppress_health_check=[HealthCheck.too_slow],
)
"""At least 200 examples; 10,000 with `pytest --hypothesis-profile=long`."""
Verdict = Event | Correction | Rejection


def verdict(value: bytes | None, **asked: Any) -> Verdict:
    given = {"key": b"acme/key-7", "headers": (), "broker_ms": BROKER_MS, "wall_clock": False} | asked
    return validate(value, given["key"], given["headers"], given["broker_ms"], wall_clock=given["wall_clock"])


def correction(data: str) -> bytes:
    return event(type=f'"{CORRECTION_TYPE}"', data=data)


def accepted(value: bytes, **asked: Any) -> Event:
    found = verdict(value, **asked)
    assert isinstance(found, Event), found
    return found


def reason(value: bytes | None, **asked: Any) -> Reason:
    found = verdict(value, **asked)
    assert isinstance(found, Rejection), found
    return found.reason


def batch(values: list[bytes | None], **columns: Any) -> RecordBatch:
    count = len(values)
    found: dict[str, Any] = {"keys": [b"acme/key-7"] * count, "headers": [()] * count} | columns
    return RecordBatch("t", 3, 10, 10 + count, list(range(10, 10 + count)), [BROKER_MS] * count, found["keys"],
                       found["headers"], values)  # fmt: skip


def rows(block: UsageBlock) -> dict[int, Verdict]:
    """Offset -> verdict, as the block's columns say."""
    found: dict[int, Verdict] = {row.offset: row.correction for row in block.corrections}
    found |= {each.offset: Rejection(each.reason, each.detail, each.source) for each in block.dead_letters}
    columns = block.events
    found |= {
        columns.offset[i]: Event(
            columns.type[i], columns.subject[i], columns.ts_ms[i], columns.source[i], columns.id[i],
            columns.payload[i], columns.exact[i], columns.flags[i], columns.sequence[i],
        )
        for i in range(len(columns))
    }  # fmt: skip
    return found


def agree(record: bytes) -> Verdict:
    """Asserts that the model says what the validator says; gives the verdict."""
    found = verdict(record)
    try:
        model: UsageEvent | None = UsageEvent.parse(record)
    except ValueError:
        model = None
    assert (model is None) == isinstance(found, Rejection), (record[:2000], found, model)
    if model is None or isinstance(found, Rejection):
        return found
    if isinstance(found, Correction):
        said = model.correction()
        assert (found.target_source, found.target_id, found.reason) == (said.source, said.id, said.reason)
        assert (found.event is None) == (said.event is None)
        return found
    assert (found.type, found.subject, found.source, found.id) == (model.type, model.subject, model.source, model.id)
    assert found.sequence == ("" if model.sequence is None else str(model.sequence))
    if model.time is not None:
        assert found.ts_ms == milliseconds(model.time.isoformat())
    assert counted(found) == numbers(dict(model.payload()))
    return found


def counted(found: Event) -> Any:
    """What a meter reads of an event: of a repeated name the first, numbers and numeric texts as decimals."""
    text = found.exact or found.payload.decode()
    return numbers(json.loads(text, parse_float=Decimal, object_pairs_hook=lambda pairs: dict(reversed(pairs))))


def numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [numbers(part) for part in value]
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except ArithmeticError:
            return value
        return (
            value
            if not value.is_finite() or value.adjusted() > 14
            else value.quantize(Decimal("1e-12"), "ROUND_HALF_UP")
        )
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    return value


# -- one definition ----------------------------------------------------------------------------------


@pytest.mark.parametrize("record", SEEDS)
def test_what_the_contract_allows_is_accepted(record: bytes) -> None:
    assert not isinstance(agree(record), Rejection)


@often
@given(st.integers(min_value=0, max_value=2**64))
def test_validator_and_model_come_to_one_verdict_on_damaged_records(seed: int) -> None:
    agree(mutated(random.Random(seed)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def as_json(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{as_json(part)}" for name, part in value.items()) + "}"
    return f"[{','.join(map(as_json, value))}]" if isinstance(value, list) else json.dumps(value)


@often
@given(
    st.fixed_dictionaries(
        {},
        optional={name: JSON | st.text(max_size=30) for name in
                  ("id", "source", "type", "subject", "time", "sequence", "data", "data_base64", "other")},
    )
)  # fmt: skip
def test_validator_and_model_come_to_one_verdict_on_generated_attributes(attributes: dict[str, Any]) -> None:
    agree(event(**{name: as_json(value) for name, value in attributes.items()}))


@often
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_binary_mode_means_the_structured_event_of_the_same_attributes_and_payload(payload: dict[str, Any]) -> None:
    data = as_json(payload)
    attributes = {"specversion": "1.0", "id": "a-1", "source": "/s", "type": "t", "subject": "acme/key-7",
                  "time": "2026-11-03T10:15:30.123Z", "sequence": "7"}  # fmt: skip
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    structured = event(**{name: json.dumps(value) for name, value in attributes.items()}, data=data)
    binary, plain = verdict(data.encode(), headers=headers), verdict(structured)
    assert binary == plain or (
        isinstance(binary, Rejection) and isinstance(plain, Rejection) and binary.reason == plain.reason
    )


STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


@pytest.mark.parametrize("headers", [(), STRUCTURED, (("trace", None),), (("ce_specversion", b"1.0"),)])
def test_a_record_is_judged_alike_alone_and_in_company(headers: Any) -> None:
    rnd = random.Random(7)
    reached = Counter[bool]()
    for _ in range(20):
        values: list[bytes | None] = [
            mutated(rnd) if rnd.random() < 0.002 else rnd.choice(SEEDS[:1] + SEEDS[5:8]) for _ in range(600)
        ]
        keys = [rnd.choice((b"acme/key-7", b"acme/key-7", b"other", None)) for _ in values]
        sent = [headers if rnd.random() < 0.999 else (("ce_specversion", b"1.0"),) for _ in values]
        everything = batch(values, keys=keys, headers=sent)
        for start in range(0, len(values), TOGETHER):
            some = slice(start, start + TOGETHER)
            reached[_judge_together(UsageBlock(), everything, some, False)] += 1
        alone = {
            10 + place: verdict(value, key=key, headers=each)
            for place, (value, key, each) in enumerate(zip(values, keys, sent, strict=True))
        }
        assert rows(judge("t", [everything], wall_clock=False)) == alone
    assert reached[False] and (reached[True] or headers == (("ce_specversion", b"1.0"),)), "both ways were gone"


def test_a_hundred_thousand_damaged_records_end_as_event_correction_or_dead_letter() -> None:
    rnd = random.Random(2026)
    pool = [mutated(rnd) for _ in range(20_000)]
    values: list[bytes | None] = [rnd.choice(pool) for _ in range(100_000)]
    block = judge(
        "t", [batch(values[start : start + 5_000]) for start in range(0, len(values), 5_000)], wall_clock=True
    )
    ended = Counter(events=len(block.events), corrections=len(block.corrections), dead=len(block.dead_letters))
    assert ended.total() == 100_000
    assert min(ended.values()) > 1_000
    assert {letter.reason for letter in block.dead_letters} >= set(Reason) - {
        Reason.TOO_LARGE,
        Reason.EMPTY_RECORD,
        Reason.TIME_AHEAD,
    }


# -- where each condition ends -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"", Reason.EMPTY_RECORD),
        (None, Reason.EMPTY_RECORD),
        (b"tokens=7", Reason.INVALID_JSON),
        (event()[:-1], Reason.INVALID_JSON),
        (event() + b"}", Reason.INVALID_JSON),
        (event(data='{"a":NaN}'), Reason.INVALID_JSON),
        (event(data='{"a":"\\ud800"}'), Reason.INVALID_JSON),
        (event().replace(b"large", b"la\xffge"), Reason.INVALID_UTF8),
        (event(other='"\xff"').replace("\xff".encode(), b"\xff"), Reason.INVALID_UTF8),
        (b"[]", Reason.NOT_AN_EVENT),
        (event(specversion=None), Reason.NOT_AN_EVENT),
        (event(specversion='"0.3"'), Reason.NOT_AN_EVENT),
        (event(specversion='"1.0\\n"'), Reason.NOT_AN_EVENT),
        (event(id=None), Reason.MISSING_ATTRIBUTE),
        (event(subject=None), Reason.MISSING_ATTRIBUTE),
        (event(id='""'), Reason.INVALID_ATTRIBUTE),
        (event(id="5"), Reason.INVALID_ATTRIBUTE),
        (event(id='"' + "x" * 1001 + '"'), Reason.INVALID_ATTRIBUTE),
        (event(sequence="-1"), Reason.INVALID_ATTRIBUTE),
        (event(time="5"), Reason.INVALID_TIME),
        (event(time='""'), Reason.INVALID_TIME),
        (event(time='"2026-11-03T10:15:30"'), Reason.INVALID_TIME),
        (event(time='"2026-02-29T10:15:30Z"'), Reason.INVALID_TIME),
        (event(time='"1999-12-31T23:59:59.999Z"'), Reason.TIME_OUT_OF_RANGE),
        (event(time='"2100-01-01T00:00:00Z"'), Reason.TIME_OUT_OF_RANGE),
        (event(data="[1]"), Reason.INVALID_PAYLOAD),
        (event(data='"x"'), Reason.INVALID_PAYLOAD),
        (event(data_base64='"eyJ"'), Reason.INVALID_PAYLOAD),
        (event(data=None, data_base64='"eyJ"'), Reason.INVALID_PAYLOAD),
        (event(data=None, data_base64='"größe"'), Reason.INVALID_PAYLOAD),
        (event(data='{"a":1000000000000000}'), Reason.NUMBER_OUT_OF_RANGE),
        (event(data='{"a":-1e15}'), Reason.NUMBER_OUT_OF_RANGE),
        (event(data='{"a":999999999999999.9999999999995}'), Reason.NUMBER_OUT_OF_RANGE),
        (event(data='{"a":1e99999999999999999999}'), Reason.NUMBER_OUT_OF_RANGE),
        (correction('{"action":"retract"}'), Reason.INVALID_CORRECTION),
        (correction('{"action":"replace","source":"s","id":"i"}'), Reason.INVALID_CORRECTION),
        (correction(CORRECTION.replace('"id"', '"id":"other","id"')), Reason.INVALID_CORRECTION),
    ],
)  # fmt: skip
def test_a_refusal_has_its_reason_and_the_model_refuses_too(record: bytes | None, expected: Reason) -> None:
    assert reason(record) is expected
    if record:
        agree(record)


def test_a_record_of_a_mebibyte_is_read_and_one_byte_more_is_not() -> None:
    def record(size: int) -> bytes:
        bare = len(event(data='{"a":""}'))
        return event(data='{"a":"' + "x" * (size - bare) + '"}')

    assert len(record(RECORD_MAX)) == RECORD_MAX
    agree(record(RECORD_MAX))
    accepted(record(RECORD_MAX))
    assert reason(record(RECORD_MAX + 1)) is Reason.TOO_LARGE
    agree(record(RECORD_MAX + 1))


@pytest.mark.parametrize(("levels", "fits"), [(31, True), (32, True), (33, False), (100_000, False)])
def test_a_payload_nests_at_most_32_levels(levels: int, fits: bool) -> None:
    nested = '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    for record in (
        event(data=nested),
        event(data=None, data_base64=json.dumps(base64.b64encode(nested.encode()).decode())),
    ):
        assert isinstance(agree(record), Event) is fits
    assert isinstance(agree(event(other=nested)), Event) is fits
    assert fits or reason(event(data=nested)) is Reason.TOO_DEEP


def test_brackets_inside_texts_are_not_depth() -> None:
    assert isinstance(agree(event(data='{"a":"' + "[{" * 100 + '","b":"\\"[[["}')), Event)


@pytest.mark.parametrize(
    ("ahead_ms", "wall_clock", "expected"),
    [(HOUR_MS, True, None), (HOUR_MS + 1, True, Reason.TIME_AHEAD), (HOUR_MS + 1, False, None)],
)
def test_more_than_an_hour_ahead_of_the_broker_is_refused_on_a_wall_clock_alone(
    ahead_ms: int, wall_clock: bool, expected: Reason | None
) -> None:
    at = milliseconds("2026-11-03T10:15:30.123Z") - ahead_ms
    found = verdict(event(), broker_ms=at, wall_clock=wall_clock)
    assert (found.reason if isinstance(found, Rejection) else None) is expected


def test_a_refusal_names_the_source_where_it_can_be_read() -> None:
    found = verdict(event(data="[]"))
    assert isinstance(found, Rejection)
    assert found.source == "/gateway/eu-1"


# -- what an event becomes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", None),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        ("2026-11-03T10:15:30.1239999Z", 1_793_700_930_123),
        ("2026-11-03T10:15:30.123456+00:00", 1_793_700_930_123),
        ("2026-11-03t15:45:30.1+0530", 1_793_700_930_100),
        ("2026-11-03 08:15:30-02:00", 1_793_700_930_000),
        ("2099-12-31T23:59:59.9999Z", 4_102_444_799_999),
        ("2100-01-01T01:00:00+01:00", None),
    ],
)
def test_time_is_floored_to_milliseconds_in_its_zone(text: str, ms: int | None) -> None:
    found = agree(event(time=json.dumps(text)))
    assert (found.ts_ms if isinstance(found, Event) else None) == ms


def test_without_a_time_the_broker_time_is_taken_and_flagged() -> None:
    found = accepted(event(time=None))
    assert (found.ts_ms, found.flags) == (BROKER_MS, BROKER_TIME)


@pytest.mark.parametrize(
    ("key", "flags"), [(b"acme/key-7", 0), (b"acme/key-8", KEY_DIFFERS), (b"", KEY_DIFFERS), (None, KEY_DIFFERS)]
)
def test_a_key_that_is_not_the_subject_is_accepted_and_flagged(key: bytes | None, flags: int) -> None:
    assert accepted(event(), key=key).flags == flags


@pytest.mark.parametrize(
    ("literal", "exact", "rounded"),
    [
        ("12345678901234", "", False),
        ("123456789012345", '"123456789012345"', False),
        ("-999999999999999", '"-999999999999999"', False),
        ("0.123456789012", "", False),
        ("0.1234567890125", '"0.123456789013"', True),
        ("-0.1234567890125", '"-0.123456789013"', True),
        ("0.30000000000000004", '"0.3"', True),
        ("999999999999999.999999999999", '"999999999999999.999999999999"', False),
        ("1e3", '"1000"', False),
        ("1E-12", '"0.000000000001"', False),
        ("4e-13", '"0"', True),
        ("-0.0e5", '"0"', False),
        ('"0.1234567890125"', '"0.123456789013"', True),
        ('"5e-13"', '"0.000000000001"', True),
        ('"0.1230000000000000"', "", False),
        ('"1000000000000000.0000000000001"', "", False),
        ('"2026-11-03T10:15:30.123456789012Z"', "", False),
    ],
)
def test_a_number_is_taken_at_its_literal_value_with_twelve_decimals(literal: str, exact: str, rounded: bool) -> None:
    found = accepted(event(data=f'{{"v":{literal},"w":"1e9 [é]"}}'))
    assert found.exact == (exact and f'{{"v":{exact},"w":"1e9 [é]"}}')
    assert found.flags == (ROUNDED if rounded else 0)
    agree(event(data=f'{{"v":{literal}}}'))


def test_a_name_is_not_a_number_however_it_looks() -> None:
    assert (
        accepted(event(data='{"0.1234567890125":1, "1e5" : 2, "v":1e2}')).exact
        == '{"0.1234567890125":1, "1e5" : 2, "v":"100"}'
    )


def test_the_payload_is_kept_as_received() -> None:
    assert accepted(event(data='{ "b" : 1,\n"a":  [ ] }')).payload == b'{ "b" : 1,\n"a":  [ ] }'


# -- binary mode -------------------------------------------------------------------------------------

BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"b-1"), ("ce_source", b"/s"), ("ce_type", b"t"),
          ("ce_subject", b"acme/key-7"), ("content-type", b"application/json"),
          ("ce_traceparent", b"\xff"), ("x", None)]  # fmt: skip


def test_binary_mode_has_attributes_in_headers_and_the_payload_as_the_value() -> None:
    found = accepted(b' {"n":1}\n', headers=BINARY)
    assert (found.id, found.source, found.payload, found.ts_ms, found.flags) == (
        "b-1",
        "/s",
        b'{"n":1}',
        BROKER_MS,
        BROKER_TIME,
    )
    assert accepted(b"", headers=BINARY).payload == b"{}"
    assert accepted(None, headers=BINARY).payload == b"{}"


@pytest.mark.parametrize(
    ("headers", "value", "expected"),
    [
        ([*BINARY[:1], *BINARY[2:]], b"{}", Reason.MISSING_ATTRIBUTE),
        ([("ce_specversion", b"0.3"), *BINARY[1:]], b"{}", Reason.NOT_AN_EVENT),
        ([("ce_id", b"\xff"), *BINARY], b"{}", Reason.INVALID_UTF8),
        ([("ce_id", b""), *BINARY], b"{}", Reason.INVALID_ATTRIBUTE),
        ([("ce_id", None), *BINARY[:1], *BINARY[2:]], b"{}", Reason.MISSING_ATTRIBUTE),
        (BINARY, b"{", Reason.INVALID_JSON),
        (BINARY, b"\xff", Reason.INVALID_UTF8),
        (BINARY, b"[]", Reason.INVALID_PAYLOAD),
        (BINARY, b'{"a":' + b"[" * 50 + b"]" * 50 + b"}", Reason.TOO_DEEP),
        (BINARY[1:], b'{"n":1}', Reason.NOT_AN_EVENT),
    ],
)
def test_a_binary_record_is_refused_for_the_same_reasons(headers: Any, value: bytes, expected: Reason) -> None:
    assert reason(value, headers=headers) is expected


def test_a_structured_record_may_carry_any_headers() -> None:
    found = accepted(
        event(),
        headers=[("traceparent", b"00"), *BINARY[:2], ("Content-Type", b"application/cloudevents+json; charset=utf-8")],
    )
    assert found.id == "req-8f1c"
