"""A hundred thousand damaged messages through the real broker: each ends somewhere with a reason, its neighbours too.

`pytest --hypothesis-profile=long tests/stories/test_mutated.py` sends ten million.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import settings as profile

from agents.publisher import Publisher, Record
from schemas.dead_letter import Reason
from schemas.usage_event import RECORD_MAX
from tests.builders import event
from tests.deployments import Deployment
from tests.pipeline.records import mutated
from tests.stories import october

pytestmark = pytest.mark.services

MESSAGES = 10_000_000 if profile.get_current_profile_name() == "long" else 100_000
ROUND = 20_000
NEIGHBOURS = 500
WITHIN_S = 120
HEADERS: Sequence[tuple[tuple[str, bytes], ...]] = (
    (),
    (("content-type", b"application/cloudevents+json"),),
    (("content-type", b"text/html; charset=\xff"),),
    (("ce_specversion", b"1.0"), ("ce_id", b"\xff\xfe")),
    (("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/b"), ("ce_type", b"call"), ("ce_subject", b"a")),
    (("ce_specversion", b""), ("ce_time", b"yesterday")),
)
ENDED = """
SELECT (SELECT sum(events) FROM v_ingest_coverage WHERE topic = 'usage.events'),
  (SELECT count() FROM corrections FINAL), (SELECT count() FROM dead_letters FINAL WHERE topic = 'usage.events'),
  (SELECT count() FROM dead_letters FINAL WHERE topic = 'usage.events' AND (reason = '' OR reason NOT IN $reasons))
"""


def damaged(rnd: random.Random, count: int) -> list[Record]:
    """Messages in one to three ways unlike a usage event; now and then one of a mebibyte, or with any key."""
    found: list[Record] = [(rnd.choice((b"a", b"", None, b"\xff\0")), mutated(rnd)) for _ in range(count)]
    for _ in range(3):
        value = event("a", "2026-10-05 10:00", {"text": "x" * RECORD_MAX})[1]
        found[rnd.randrange(count)] = (b"a", value if rnd.random() < 0.5 else b"\xf0" * RECORD_MAX)
    return found


async def test_every_damaged_message_ends_as_event_correction_or_dead_letter_and_no_neighbour_is_skipped(
    deployment: Deployment,
) -> None:
    worker = deployment.worker("ingest", flood_stops=False)
    await deployment.begin(october.BEGINS)
    rnd, neighbours = random.Random(7), 0
    partitions = await deployment.logs.partitions("usage.events")
    for start in range(0, MESSAGES, ROUND):
        records = damaged(rnd, ROUND)
        for place in sorted(rnd.sample(range(ROUND), NEIGHBOURS), reverse=True):
            neighbours += 1
            records.insert(place, event("neighbour", "2026-10-06 10:00", {"n": neighbours}, source="/neighbour"))
        headers = HEADERS[start // ROUND % len(HEADERS)]
        async with Publisher(deployment.settings, "usage.events", partitions=partitions, headers=headers) as publisher:
            await publisher.publish(records)
    await deployment.stored(within_s=WITHIN_S * MESSAGES // 100_000)
    assert worker.exit_code is None
    reasons = "(" + ", ".join(f"'{reason}'" for reason in Reason) + ")"
    events, corrections, dead, without_reason = deployment.rows(ENDED.replace("$reasons", reasons))[0]
    assert events + corrections + dead == sum(await deployment.logs.end_offsets("usage.events"))
    assert min(events, corrections, dead) > MESSAGES // 1000 and without_reason == 0
    stored = (
        "SELECT count(), uniqExact(id), sum(JSONExtractUInt(data, 'n')) FROM events FINAL WHERE source = '/neighbour'"
    )
    kept = [place for place in range(0, MESSAGES, ROUND) if HEADERS[place // ROUND % len(HEADERS)] in STRUCTURED]
    count = deployment.rows(stored)[0][0]
    assert count == len(kept) * NEIGHBOURS


STRUCTURED = (HEADERS[0], HEADERS[1], HEADERS[2], HEADERS[5])
"""Headers under which a neighbour is an event; under the others it is judged as binary mode, like its round."""
