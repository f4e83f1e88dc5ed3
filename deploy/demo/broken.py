"""Records that no ingester may accept, one way of being broken after the other, each with the reason it must die of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# reason -> what such a record looks like, given a number that keeps records apart
Maker = Callable[[int], bytes]


def _event(number: int, *, without: str = "", **changed: str) -> bytes:
    attributes = {
        "specversion": '"1.0"',
        "id": f'"broken-{number}"',
        "source": '"/gateway/lab"',
        "type": '"llm.request"',
        "subject": '"acme/key-00"',
        "time": '"2026-10-07T07:07:07.000Z"',
        "data": '{"model":"small","region":"eu","tokens_in":1,"tokens_out":"1","cached":false}',
        **changed,
    }
    kept = (f'"{name}":{value}' for name, value in attributes.items() if name != without)
    return ("{" + ",".join(kept) + "}").encode()


def _too_large(number: int) -> bytes:
    return _event(number, data='{"model":"' + "x" * (1024 * 1024) + '"}')


def _correction(number: int) -> bytes:
    return _event(number, type='"tally.usage.correction.v1"', data='{"action":"retract"}')


MAKERS: Mapping[str, tuple[Maker, ...]] = {
    "empty_record": (lambda _: b"",),
    "invalid_utf8": (lambda number: _event(number).replace(b"small", b"sm\xff\xfell"),),
    "invalid_json": (
        lambda number: _event(number)[:-17],
        lambda number: _event(number, data='{"tokens_in":NaN}'),
        lambda number: f"tokens_in={number}".encode(),
    ),
    "too_deep": (lambda number: _event(number, data='{"a":' + "[" * 40 + "]" * 40 + "}"),),
    "not_an_event": (
        lambda number: _event(number, without="specversion"),
        lambda number: b"[%d]" % number,
    ),
    "missing_attribute": (
        lambda number: _event(number, without="id"),
        lambda number: _event(number, without="subject"),
        lambda number: _event(number, without="type"),
    ),
    "invalid_attribute": (
        lambda number: _event(number, source='""'),
        lambda number: _event(number, subject=str(number)),
    ),
    "invalid_time": (lambda number: _event(number, time='"2026-10-07T07:07:07"'),),
    "time_out_of_range": (lambda number: _event(number, time='"1970-01-21T17:20:00Z"'),),
    "invalid_payload": (lambda number: _event(number, data=f"[{number}]"),),
    "number_out_of_range": (lambda number: _event(number, data='{"tokens_in":1000000000000000}'),),
    "invalid_correction": (_correction,),
}
ONCE: Mapping[str, Maker] = {"too_large": _too_large}
"""Made a single time: a mebibyte each."""


def broken(number: int) -> tuple[str, bytes]:
    """The `number`-th broken record and its reason: number 0 is the large one, then the ways take turns."""
    if number < len(ONCE):
        reason = tuple(ONCE)[number]
        return reason, ONCE[reason](number)
    reasons = tuple(MAKERS)
    turn, place = divmod(number - len(ONCE), len(reasons))
    makers = MAKERS[reasons[place]]
    return reasons[place], makers[turn % len(makers)](number)
