"""What is admitted is stored: the verdict is the ingester's own; a scope takes away and never adds."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.intake.admission import OUT_OF_SCOPE, admit
from pipeline.intake.validation import Rejection, validate
from schemas.dead_letter import Reason
from schemas.token import Scope
from schemas.usage_event import CORRECTION_TYPE
from tests.pipeline.records import mutated

NOW_MS = 1_790_000_000_000
ACME = Scope(subjects=("acme",), sources=("/acme",))


def event(**changed: object) -> bytes:
    plain = {
        "specversion": "1.0", "id": "1", "source": "/acme", "type": "call", "subject": "acme/key-1",
        "time": "2026-09-21T10:00:00Z", "data": {"tokens": 1},
    }  # fmt: skip
    return json.dumps({**plain, **changed}).encode()


def correction(**content: object) -> bytes:
    return event(type=CORRECTION_TYPE, id="fix", data={"source": "/acme", "id": "1", "action": "retract", **content})


def reasons(*values: bytes, scope: Scope = ACME) -> list[tuple[int, str]]:
    admission = admit(values, now_ms=NOW_MS, wall_clock=True, scope=scope)
    assert len(admission.admitted) + len(admission.refused) == len(values)
    return [(each.place, each.reason) for each in admission.refused]


def test_good_events_are_admitted_under_their_subject_beside_bad_ones() -> None:
    admission = admit([event(), b"{", event(subject="b")], now_ms=NOW_MS, wall_clock=True)
    assert [(each.place, each.key) for each in admission.admitted] == [(0, b"acme/key-1"), (2, b"b")]
    assert [(each.place, each.reason) for each in admission.refused] == [(1, Reason.INVALID_JSON)]
    assert (
        admission.refused[0].help == "The record is not JSON (NaN and Infinity are not). Serialise with a JSON library."
    )


def test_nothing_is_admitted_that_is_an_hour_ahead_on_a_wall_clock() -> None:
    ahead = event(time="2026-09-22T10:00:00Z")
    assert reasons(ahead) == [(0, Reason.TIME_AHEAD)]
    assert not admit([ahead], now_ms=NOW_MS, wall_clock=False).refused


def test_a_neighbours_subject_and_a_neighbours_source_are_out_of_scope() -> None:
    assert reasons(event(), event(subject="acme-2"), event(source="/acme-2"), event(subject="acme")) == [
        (1, OUT_OF_SCOPE), (2, OUT_OF_SCOPE)
    ]  # fmt: skip


def test_a_repeated_attribute_does_not_smuggle_a_subject_in() -> None:
    twice = event().replace(b'"subject": "acme/key-1"', b'"subject": "acme/key-1", "subject": "neighbour"')
    assert reasons(twice) == [(0, OUT_OF_SCOPE)]


def test_a_correction_may_touch_only_events_of_the_senders_own_sources_and_subjects() -> None:
    other = {"type": "call", "subject": "neighbour", "time": "2026-09-21T10:00:00Z"}
    assert reasons(correction()) == []
    assert reasons(correction(source="/neighbour")) == [(0, OUT_OF_SCOPE)]
    assert reasons(correction(action="replace", event=other)) == [(0, OUT_OF_SCOPE)]
    assert reasons(correction(action="replace", event={**other, "subject": "acme/key-2"})) == []


def test_a_customers_subjects_are_those_that_were_his_at_the_time_of_the_event() -> None:
    scope = Scope(customers=("umbrella",), sources=("*",))

    def owner_of(subject: str, at_ms: int) -> str:
        return "umbrella" if subject == "key-1" and at_ms >= 1_790_000_000_000 - 1 else subject

    def judged(time: str, subject: str) -> int:
        values = [event(time=time, subject=subject)]
        return len(admit(values, now_ms=NOW_MS, wall_clock=False, scope=scope, owner_of=owner_of).admitted)

    assert judged("2026-09-21T14:13:20Z", "key-1") == 1
    assert judged("2026-09-21T10:00:00Z", "key-1") == 0
    assert judged("2026-09-21T14:13:20Z", "key-2") == 0
    assert judged("2026-09-21T10:00:00Z", "umbrella") == 1


@given(st.integers(0, 2**32), st.integers(0, 5))
def test_what_is_admitted_is_what_the_ingester_accepts(seed: int, count: int) -> None:
    rnd = random.Random(seed)
    values = [mutated(rnd) for _ in range(count)]
    admission = admit(values, now_ms=NOW_MS, wall_clock=True)
    accepted = {
        place for place, value in enumerate(values)
        if not isinstance(validate(value, None, (), NOW_MS, wall_clock=True), Rejection)
    }  # fmt: skip
    assert {each.place for each in admission.admitted} == accepted
    assert sorted([each.place for each in (*admission.admitted, *admission.refused)]) == list(range(len(values)))
