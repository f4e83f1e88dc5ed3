"""Requests as events: three modes, one form; addresses that strangers reach; whose a subject is, and when."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi import Request
from starlette.datastructures import Headers

from agents.logs import LogRecord
from agents.owners import Owners
from agents.settings import Settings
from agents.tokens import Tokens
from agents.web.access import is_loopback
from agents.web.bodies import Body, Room
from agents.web.modes import EVENTS_MAX, events_of
from agents.web.problems import Problem
from agents.web.server import ServerRefused, check
from schemas.command import Attribution
from schemas.token import EVERYTHING
from tests.builders import moment

BINARY = [
    ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/test"), ("ce-type", "call"),
    ("ce-subject", "Z%C3%BCrich"), ("content-type", "application/json"),
]  # fmt: skip


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])


def kind(name: str) -> Headers:
    return headers(("content-type", name))


def test_a_binary_event_keeps_its_payload_byte_for_byte_and_of_a_repeated_header_the_first() -> None:
    pairs = [*BINARY, ("ce-id", "2"), ("ce-sequence", "17"), ("ce-traceparent", '"00-4bf9"'), ("ce-data", "{}")]
    (event,) = events_of(headers(*pairs), b' {"n": 1.50} ')
    assert json.loads(event) == {
        "specversion": "1.0", "id": "1", "source": "/test", "type": "call", "subject": "Zürich", "sequence": "17",
        "traceparent": "00-4bf9", "datacontenttype": "application/json", "data": {"n": 1.5},
    }  # fmt: skip
    assert b'"data":{"n": 1.50}' in event


def test_a_binary_event_without_a_payload_has_no_data() -> None:
    (event,) = events_of(headers(*BINARY), b"")
    assert "data" not in json.loads(event)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{}, "subject": "neighbour"', "invalid_json"),
        (b'{"a": ', "invalid_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_a_payload_that_is_no_json_never_gets_an_envelope_around_it(body: bytes, reason: str) -> None:
    with pytest.raises(Problem) as problem:
        events_of(headers(*BINARY), body)
    assert [each["reason"] for each in problem.value.members["errors"]] == [reason]
    assert problem.value.status is HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_batch_is_taken_apart_without_reading_its_events() -> None:
    batch = kind("application/cloudevents-batch+json; charset=utf-8")
    assert events_of(batch, b' [{"a": 1.50}, 7,"x"] ') == [b'{"a": 1.50}', b"7", b'"x"']
    assert events_of(batch, b"[]") == []
    assert len(events_of(batch, b"[" + b"1," * (EVENTS_MAX - 1) + b"1]")) == EVENTS_MAX


@pytest.mark.parametrize(
    ("given", "body", "status"),
    [
        (kind("application/cloudevents-batch+json"), b"{}", 400),
        (kind("application/cloudevents-batch+json"), b"[1", 400),
        (kind("application/cloudevents-batch+json"), b"[" + b"1," * EVENTS_MAX + b"1]", 400),
        (kind("application/json"), b"{}", 415),
        (kind("text/plain"), b"{}", 415),
        (headers(), b"", 415),
        (headers(("ce-specversion", "1.0"), ("content-type", "application/cloudevents+xml")), b"", 415),
    ],
)
def test_what_does_not_say_that_it_holds_events_or_does_not_is_refused_as_a_whole(
    given: Headers, body: bytes, status: int
) -> None:
    with pytest.raises(Problem) as problem:
        events_of(given, body)
    assert problem.value.status == status


def request(*parts: bytes, **given: str) -> Request:
    """A request whose body comes in parts."""

    async def receive() -> dict[str, object]:
        return await anext(messages)

    async def coming() -> AsyncIterator[dict[str, object]]:
        for number, part in enumerate(parts):
            yield {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}

    messages = coming()
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


ZIPPED = gzip.compress(b"x" * 1_000)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (lambda: request(b"ab", b"", b"c"), b"abc"),
        (lambda: request(b"x" * 1_000), b"x" * 1_000),
        (lambda: request(b"x" * 1_000, b"x"), 413),
        (lambda: request(b"", content_length="1001"), 413),
        (lambda: request(ZIPPED[:5], ZIPPED[5:], content_encoding="gzip"), b"x" * 1_000),
        (lambda: request(gzip.compress(b"x" * 1_001), content_encoding="gzip"), 413),
        (lambda: request(ZIPPED[:-3], content_encoding="gzip"), 400),
        (lambda: request(ZIPPED + b"rest", content_encoding="gzip"), 400),
        (lambda: request(b"plain", content_encoding="gzip"), 400),
        (lambda: request(b"plain", content_encoding="br"), 415),
    ],
)
async def test_a_body_is_read_within_its_limit_also_after_decompression(
    asked: Callable[[], Request], found: bytes | int
) -> None:
    room = Room(10_000)
    try:
        async with Body(asked(), room, limit=1_000, within_s=5) as body:
            assert body == found
            assert room.held == len(body)
    except Problem as problem:
        assert problem.status == found
    assert room.held == 0


async def test_all_bodies_together_have_a_limit_and_give_their_room_back() -> None:
    room = Room(1_500)
    async with Body(request(b"x" * 1_000), room, limit=1_000, within_s=5):
        with pytest.raises(Problem) as problem:
            async with Body(request(b"x" * 501), room, limit=1_000, within_s=5):
                pass
    assert (problem.value.status, problem.value.retry_after_s) == (429, 1)
    async with Body(request(b"x" * 1_000), room, limit=1_000, within_s=5) as body:
        assert len(body) == 1_000


@pytest.mark.parametrize(
    ("host", "yes"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("localhost.example", False)],
)  # fmt: skip
def test_an_address_that_others_reach_needs_a_token_to_exist(tmp_path: Path, host: str, yes: bool) -> None:
    assert is_loopback(host) is yes
    settings = Settings(serve_host=host, tokens=tmp_path / "tokens.json")
    if not yes:
        with pytest.raises(ServerRefused, match="no token exists"):
            check(settings)
        Tokens(tmp_path / "tokens.json").create("all", EVERYTHING, at=moment("2026-11-03 10:00"))
    check(settings)


def attributed(offset: int, customer: str, since: str) -> LogRecord:
    value = Attribution(
        subject="key-1", customer=customer, effective_from=moment(since), request_id="r", actor="test", reason=""
    )
    return LogRecord(0, offset, 0, b"key-1", value.model_dump_json().encode(), ())


def test_a_subject_belongs_to_whom_the_newest_attribution_from_the_latest_time_names() -> None:
    owners = Owners()
    for record in (
        attributed(0, "acme", "2026-10-05 00:00"), attributed(1, "umbrella", "2026-10-07 00:00"),
        attributed(2, "other", "2026-10-05 00:00"), LogRecord(0, 3, 0, None, b"{", ()),
    ):  # fmt: skip
        owners.take(record)

    def at(time: str) -> str:
        return owners.of("key-1", int(moment(time).timestamp() * 1000))

    assert at("2026-10-04 23:59:59.999") == "key-1"
    assert at("2026-10-05 00:00") == "other"
    assert at("2026-10-06 23:59") == "other"
    assert at("2026-10-07 00:00") == "umbrella"
    assert owners.of("key-2", 0) == "key-2"
