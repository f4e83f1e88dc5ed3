"""Late and broken usage ends where the contract says, with its reason, and the record after it is always counted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest

from agents.clock import TickLog, wall_time
from schemas.dead_letter import Reason
from schemas.usage_event import CORRECTION_TYPE, RECORD_MAX
from tests.builders import attributes
from tests.deployments import Deployment
from tests.stories import october

pytestmark = pytest.mark.services

ROUNDED, KEY_DIFFERS, BROKER_TIME = 1, 2, 4
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Row:
    """A record as it is sent, and where it must end: refused for a reason, or stored with flags."""

    name: str
    value: bytes | None
    refused: Reason | None = None
    flags: int = 0
    key: bytes | None = b"a"
    headers: Headers = ()


def sent(**changed: object) -> bytes:
    return json.dumps({**attributes("a", "2026-10-05 10:00", {"tokens": 1}), **changed}, separators=(",", ":")).encode()


def without(name: str) -> bytes:
    kept = {each: value for each, value in attributes("a", "2026-10-05 10:00", {}).items() if each != name}
    return json.dumps(kept).encode()


def data(text: str) -> bytes:
    return sent(data="DATA").replace(b'"DATA"', text.encode())


def of_length(length: int) -> bytes:
    short = sent(data={"text": ""})
    return short.replace(b'"text":""', b'"text":"' + b"x" * (length - len(short)) + b'"')


def nested(levels: int) -> bytes:
    return data('{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}")


def binary(**changed: str) -> Headers:
    named = {"specversion": "1.0", "id": "binary", "source": "/test", "type": "call", "subject": "a"} | changed
    return tuple((f"ce_{name}", value.encode()) for name, value in named.items() if value)


REFUSED = (
    Row("no value", None, Reason.EMPTY_RECORD),
    Row("an empty value", b"", Reason.EMPTY_RECORD),
    Row("no JSON", b"tokens=1", Reason.INVALID_JSON),
    Row("JSON cut off", sent()[:-3], Reason.INVALID_JSON),
    Row("NaN", data('{"tokens":NaN}'), Reason.INVALID_JSON),
    Row("Infinity", data('{"tokens":Infinity}'), Reason.INVALID_JSON),
    Row("no UTF-8", sent().replace(b"tokens", b"tok\xffns"), Reason.INVALID_UTF8),
    Row("a list", b"[1]", Reason.NOT_AN_EVENT),
    Row("no specversion", without("specversion"), Reason.NOT_AN_EVENT),
    Row("another specversion", sent(specversion="0.3"), Reason.NOT_AN_EVENT),
    Row("no id", without("id"), Reason.MISSING_ATTRIBUTE),
    Row("no source", without("source"), Reason.MISSING_ATTRIBUTE),
    Row("no type", without("type"), Reason.MISSING_ATTRIBUTE),
    Row("no subject", without("subject"), Reason.MISSING_ATTRIBUTE),
    Row("an empty id", sent(id=""), Reason.INVALID_ATTRIBUTE),
    Row("an empty subject", sent(subject=""), Reason.INVALID_ATTRIBUTE),
    Row("an id that is a number", sent(id=17), Reason.INVALID_ATTRIBUTE),
    Row("a source that is an object", sent(source={}), Reason.INVALID_ATTRIBUTE),
    Row("a time without zone", sent(time="2026-10-05T10:00:00"), Reason.INVALID_TIME),
    Row("a time that is a number", sent(time=1790000000), Reason.INVALID_TIME),
    Row("the last millisecond before 2000", sent(time="1999-12-31T23:59:59.999Z"), Reason.TIME_OUT_OF_RANGE),
    Row("the first millisecond of 2100", sent(time="2100-01-01T00:00:00Z"), Reason.TIME_OUT_OF_RANGE),
    Row("data that is a list", data("[1]"), Reason.INVALID_PAYLOAD),
    Row("data that is a text", data('"1"'), Reason.INVALID_PAYLOAD),
    Row("10^15", data('{"tokens":1000000000000000}'), Reason.NUMBER_OUT_OF_RANGE),
    Row("-10^15", data('{"tokens":-1000000000000000}'), Reason.NUMBER_OUT_OF_RANGE),
    Row("1e15", data('{"tokens":1e15}'), Reason.NUMBER_OUT_OF_RANGE),
    Row("33 levels", nested(33), Reason.TOO_DEEP),
    Row("a byte more than a mebibyte", of_length(RECORD_MAX + 1), Reason.TOO_LARGE),
    Row("a correction of nothing", sent(type=CORRECTION_TYPE, data={"action": "retract"}), Reason.INVALID_CORRECTION),
    Row("binary mode without an id", b"{}", Reason.MISSING_ATTRIBUTE, headers=binary(id="")),
    Row("binary mode with broken JSON", b"{", Reason.INVALID_JSON, headers=binary()),
)
STORED = (
    Row("the first millisecond of 2000", sent(time="2000-01-01T00:00:00Z")),
    Row("the last millisecond of 2099", sent(time="2099-12-31T23:59:59.999Z")),
    Row("just below 10^15", data('{"tokens":999999999999999}')),
    Row("12 decimals", data('{"tokens":0.123456789012}')),
    Row("13 decimals", data('{"tokens":0.1234567890123}'), flags=ROUNDED),
    Row("32 levels", nested(32)),
    Row("a mebibyte", of_length(RECORD_MAX)),
    Row("a type that no meter counts", sent(type="unheard of")),
    Row("no key", sent(), flags=KEY_DIFFERS, key=None),
    Row("another key", sent(), flags=KEY_DIFFERS, key=b"b"),
    Row("no time", without("time"), flags=BROKER_TIME),
    Row("no data", without("data")),
    Row("a value that is no number", data('{"tokens":"many"}')),
    Row("binary mode", b'{"tokens":1}', flags=BROKER_TIME, headers=binary()),
)


def test_every_reason_has_a_row() -> None:
    assert {row.refused for row in REFUSED} == set(Reason) - {Reason.TIME_AHEAD}


async def test_every_record_ends_where_the_contract_says_and_the_one_after_it_is_counted(
    deployment: Deployment,
) -> None:
    deployment.worker("ingest")
    await deployment.begin(october.BEGINS)
    ended: dict[int, Row] = {}
    for row in (*REFUSED, *STORED):
        position = await deployment.logs.append("usage.events", row.key, row.value, partition=0, headers=row.headers)
        ended[position[1]] = row
        await deployment.logs.append("usage.events", b"a", sent(id=f"after {row.name}"), partition=0)
    await deployment.stored()
    dead = deployment.rows("SELECT k_offset, reason, payload FROM dead_letters FINAL ORDER BY k_offset")
    refused = {offset: row for offset, row in ended.items() if row.refused}
    assert {ended[offset].name: reason for offset, reason, _ in dead} == {row.name: row.refused for row in REFUSED}
    for offset, _, payload in dead:  # bytes that are no UTF-8 come back as hex
        value = refused[offset].value or b""
        assert payload in (value.decode(errors="replace"), value.hex()), refused[offset].name
    found = deployment.rows("SELECT k_offset, flags FROM events FINAL WHERE NOT startsWith(id, 'after ')")
    assert {ended[offset].name: flags for offset, flags in found} == {row.name: row.flags for row in STORED}
    after = deployment.rows("SELECT count() FROM events FINAL WHERE startsWith(id, 'after ')")
    assert after == [(len(REFUSED) + len(STORED),)]
    copies = await deployment.records("usage.dead-letters")
    assert {(dict(copy.headers)["tally_offset"], copy.value) for copy in copies} == {
        (str(offset).encode(), row.value) for offset, row in refused.items()
    }


async def test_on_a_wall_clock_usage_may_be_an_hour_ahead_of_the_broker_and_no_more(deployment: Deployment) -> None:
    now = wall_time()
    await TickLog(deployment.logs).append(time=now, clock="wall")
    deployment.worker("ingest")
    ahead = {"within": now + timedelta(minutes=59), "beyond": now + timedelta(minutes=70)}
    for name, time in ahead.items():
        await deployment.logs.append("usage.events", b"a", sent(id=name, time=time.isoformat()), partition=0)
    await deployment.stored()
    assert deployment.rows("SELECT id FROM events FINAL") == [("within",)]
    assert deployment.rows("SELECT k_offset, reason FROM dead_letters FINAL") == [(1, Reason.TIME_AHEAD)]
