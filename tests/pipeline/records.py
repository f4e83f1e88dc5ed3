"""Records for tests of the verdict: valid ones, and ways to damage them."""

from __future__ import annotations

import random
from collections.abc import Callable

BROKER_MS = 1_793_701_000_000


def event(**changed: str | None) -> bytes:
    """A structured event; values are JSON texts, None leaves an attribute out."""
    attributes: dict[str, str | None] = {
        "specversion": '"1.0"',
        "id": '"req-8f1c"',
        "source": '"/gateway/eu-1"',
        "type": '"llm.request"',
        "subject": '"acme/key-7"',
        "time": '"2026-11-03T10:15:30.123Z"',
        "datacontenttype": '"application/json"',
        "data": '{"model":"large","tokens_in":4808,"tokens_out":"10.5","cached":false}',
        **changed,
    }
    return (
        "{" + ",".join(f'"{name}":{value}' for name, value in attributes.items() if value is not None) + "}"
    ).encode()


CORRECTION = (
    '{"action":"replace","source":"/gateway/eu-1","id":"req-1","reason":"unit","event":{"type":"llm.request",'
    '"subject":"acme/key-7","time":"2026-11-03T10:15:30Z","data":{"tokens_in":1.0000000000001}}}'
)

SEEDS = (
    event(),
    event(time=None),
    event(data=None),
    event(data=None, data_base64='"eyJ0b2tlbnNfaW4iOjF9"'),
    event(sequence='"1042"', traceparent='"00-4bf9"', extra='[1,{"a":null}]'),
    event(sequence="17", time='"2026-11-03T10:15:30.123456789+05:30"'),
    event(data='{"a":0.1234567890123456,"b":123456789012345,"c":1e-7,"d":["x",{"e":true}]}'),
    event(subject='"Zürich/ключ-7"', data='{"model":"größe","quote":"\\"[{","n":1}'),
    event(type='"tally.usage.correction.v1"', data=CORRECTION),
    event(type='"tally.usage.correction.v1"', data='{"action":"retract","source":"/gateway/eu-1","id":"req-1"}'),
)

Mutation = Callable[[random.Random, bytes], bytes]

LITERALS = (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e99999999999999999999", b"-1E-99999999999999999999",
            b"999999999999999", b"1000000000000000", b"999999999999999.9999999999999", b"0.0000000000005", b"01", b"1.",
            b"-", b"1e5", b"true", b"null", b'""', b'"x"', b"[]", b"{}", b"12345678901234567890.5", b"9" * 5000,
            b'"\\ud800"', b'"\\u0000"', b'"2026-11-03T10:15:30"', b'"1999-12-31T23:59:59.999Z"',
            b'"2000-01-01T00:00:00Z"',
            b'"2099-12-31T23:59:59.999Z"', b'"2100-01-01T00:00:00Z"', b'"2026-02-30T00:00:00Z"',
            b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b'"2026-11-03t10:15:30.5z"',
            b'"2026-11-03 10:15:30+0530"', b'"2026-11-03T10:15:60Z"', b'"1.0\\n"', b'"1e-13"', b'"0.12345678901234"',
            b'"' + b"y" * 1000 + b'"', b'"' + b"y" * 1001 + b'"')  # fmt: skip


def flip(rnd: random.Random, record: bytes) -> bytes:
    """One bit, or a few."""
    damaged = bytearray(record)
    for _ in range(rnd.randint(1, 3)):
        damaged[rnd.randrange(len(damaged))] ^= 1 << rnd.randrange(8)
    return bytes(damaged)


def truncate(rnd: random.Random, record: bytes) -> bytes:
    """An end that is missing."""
    return record[: rnd.randrange(len(record))]


def repeat(rnd: random.Random, record: bytes) -> bytes:
    """A piece that comes twice."""
    start = rnd.randrange(len(record))
    end = min(len(record), start + rnd.randint(1, 40))
    return record[:end] + record[start:end] + record[end:]


def replace_value(rnd: random.Random, record: bytes) -> bytes:
    """A value that becomes another: wrong types, huge numbers, times at both edges."""
    at = [place for place, byte in enumerate(record) if byte == 0x3A]
    if not at:
        return record
    start = rnd.choice(at) + 1
    end = min((place for place in (record.find(b",", start), record.find(b"}", start)) if place > 0), default=start)
    return record[:start] + rnd.choice(LITERALS) + record[end:]


def repeat_name(rnd: random.Random, record: bytes) -> bytes:
    """A name that an object repeats, with another value."""
    names = (
        b"id",
        b"time",
        b"data",
        b"data_base64",
        b"sequence",
        b"tokens_in",
        b"action",
        b"x",
        b"specversion",
        b"type",
    )
    member = b'"' + rnd.choice(names) + b'":' + rnd.choice(LITERALS)
    at = [place for place, byte in enumerate(record) if byte in b"{}"]
    if not at:
        return record
    place = rnd.choice(at)
    return record[: place + 1] + member + b"," + record[place + 1 :] if record[place : place + 1] == b"{" else (
        record[:place] + b"," + member + record[place:])  # fmt: skip


def nest(rnd: random.Random, record: bytes) -> bytes:
    """A value nested around the allowed depth, or far beyond."""
    depth = rnd.choice((1, 30, 31, 32, 33, 34, 900, 5000))
    opening, closing = rnd.choice(((b"[", b"]"), (b'{"]":', b"}")))
    core = b'"[]"' if rnd.random() < 0.5 else b"1"
    return record.replace(b"4808", opening * depth + core + closing * depth).replace(
        b'"1042"', opening * depth + core + closing * depth
    )


def garble(rnd: random.Random, record: bytes) -> bytes:
    """Bytes that are not UTF-8, or not text, somewhere."""
    place = rnd.randrange(len(record) + 1)
    return (
        record[:place]
        + rnd.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0", b"\xef\xbb\xbf", b"\xf0\x9f\x92\xb6", b" ", b"\n"))
        + record[place:]
    )


MUTATIONS: tuple[Mutation, ...] = (flip, truncate, repeat, replace_value, repeat_name, nest, garble)


def mutated(rnd: random.Random) -> bytes:
    """A seed damaged in one to three ways; now and then, left alone."""
    record = rnd.choice(SEEDS)
    for _ in range(rnd.choice((0, 1, 1, 1, 1, 2, 3))):
        record = rnd.choice(MUTATIONS)(rnd, record) if record else record
    return record
