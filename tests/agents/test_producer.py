"""Events that a program makes: ids derived from what happened, numbers exactly as they are, no floats."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from agents.producer import EventRefused, event_id, usage_event
from schemas.dead_letter import Reason

AT = datetime(2026, 11, 3, 10, 15, 30, 123_456, tzinfo=UTC)


def made(**changed: Any) -> bytes:
    given: dict[str, Any] = {
        "source": "/gateway/eu-1", "subject": "acme/key-7", "of": ("req-8f1c", 2), "time": AT,
        "data": {"tokens_in": 4808, "seconds": Decimal("0.30"), "model": "large"},
    }  # fmt: skip
    return usage_event("llm.request", **(given | changed))


def test_an_event_is_the_same_bytes_whenever_and_wherever_it_is_made_again() -> None:
    event = made()
    assert json.loads(event) == {
        "specversion": "1.0", "id": "62aa0fde-eb8f-5c0e-aca0-488a10955ecf", "source": "/gateway/eu-1",
        "type": "llm.request", "subject": "acme/key-7", "time": "2026-11-03T10:15:30.123+00:00",
        "datacontenttype": "application/json", "data": {"model": "large", "seconds": "0.30", "tokens_in": 4808},
    }  # fmt: skip
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    shuffled = {"model": "large", "seconds": Decimal("0.30"), "tokens_in": 4808}
    assert made(time=elsewhere, data=shuffled) == event


def test_ids_differ_with_the_source_and_with_every_part_and_are_not_joined_by_a_character() -> None:
    ids = [
        event_id("/a", "b", "c"), event_id("/a", "b/c"), event_id("/a/b", "c"), event_id("/a", "b", "c", 1),
        event_id("/a", "b", "c", "1"),
    ]  # fmt: skip
    assert len(set(ids)) == 5


@pytest.mark.parametrize(
    ("changed", "reason", "said"),
    [
        ({"data": {"seconds": 0.3}}, Reason.INVALID_PAYLOAD, "data.seconds: is a float"),
        ({"time": AT.replace(tzinfo=None)}, Reason.INVALID_TIME, "has no zone"),
        ({"subject": ""}, Reason.INVALID_ATTRIBUTE, "subject"),
        ({"data": {"n": 10**15}}, Reason.NUMBER_OUT_OF_RANGE, "10"),
    ],
)
def test_an_event_that_would_be_a_dead_letter_is_refused_before_it_is_sent(
    changed: dict[str, Any], reason: Reason, said: str
) -> None:
    with pytest.raises(EventRefused, match=said) as refused:
        made(**changed)
    assert refused.value.reason is reason
